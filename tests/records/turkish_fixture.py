"""A folder of Turkish data of a few rows, laid out like the real one."""

import gzip
from pathlib import Path

FILES = {
    "cnli_tr/train.tsv.gz": [
        ("premise", "hypothesis", "gold_label"),
        ("Ali eve geldi.", "Ali evde.", "1"),
        ("Ali eve geldi.", "Ali yolda.", "0"),
        ("Ali eve geldi.", "Ali evde. ", "1"),
        ("Ali eve geldi.", "ali yolda.", "1"),
        ("Kar yağıyor.", "Hava soğuk.", "1"),
        ("Ayşe okudu.", "Ayşe okur.", "1"),
        ("Ayşe okudu.", "Ayşe uyudu.", "0"),
    ],
    "cnli_tr/dev.tsv.gz": [
        ("premise", "hypothesis", "gold_label"),
        ("Can koştu.", "Can hızlı.", "1"),
        ("Can koştu.", "AYŞE  uyudu.", "0"),
    ],
    "tquad/train.tsv": [
        ("q_id", "question", "answer", "c_id", "title"),
        ("q1", "Kim geldi?", "Ali", "c1", "t"),
        ("q2", "Nereye geldi?", "eve", "c1", "t"),
        ("q3", "Ne yağdı?", "kar", "c2", "t"),
        ("q6", "Deniz ne renk?", "mavi", "c4", "t"),
    ],
    "tquad/dev.tsv": [
        ("q_id", "question", "answer", "c_id", "title"),
        ("q4", "Hangi mevsim?", "yaz", "c3", "t"),
        ("q5", "NE yağdı?", "yağmur", "c3", "t"),
    ],
    "tquad/contexts.tsv.gz": [
        ("c_id", "context"),
        ("c1", "Ali eve geldi."),
        ("c2", "Kar yağdı."),
        ("c3", "Yaz geldi."),
        ("c4", "Deniz mavi."),
    ],
    "stsb_tr/train.tsv": [
        ("score", "sentence1", "sentence2"),
        ("4.000", "Bir adam koşuyor.", "Adam koşuyor."),
        ("3.999", "Bir kadın yüzüyor.", "Kadın suda."),
        ("5.000", "Kedi uyuyor.", "kedi  uyuyor."),
        ("4.500", "Köpek havlıyor.", "Bir köpek havlıyor."),
    ],
    "stsb_tr/dev.tsv": [
        ("score", "sentence1", "sentence2"),
        ("1.000", "Adam koşuyor.", "Yaz geldi."),
        ("2.000", "Bir kuş uçuyor.", "Kuş uçar."),
    ],
}


def turkish_folder(home: Path) -> Path:
    """Write the files under ``home``, which then is a folder of real data."""
    for name, rows in FILES.items():
        path = home / "turkish" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join("\t".join(row) + "\n" for row in rows).encode()
        path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return home
