"""The folder of real data that ``--data`` or ``TUTELAGE_DATA`` names, laid out as::

    esco/en.csv.gz ...        the occupations files of ESCO's CSV download, one a language (.csv or .csv.gz)
    talentclef25/train/       en.tsv ...             TalentCLEF 2025 Task A training pairs
    talentclef25/validation/  en/ es/ de/ zh/        queries, corpus_elements, qrels.tsv
    turkish/stsb_tr/          train.tsv, dev.tsv     scored sentence pairs (STSb-TR)
    turkish/tquad/            train.tsv, dev.tsv, contexts.tsv.gz   questions and passages (TQuAD)
    turkish/cnli_tr/          train.tsv.gz, dev.tsv.gz   premises and hypotheses (CNLI-TR)

A language that ESCO lacks may lie there too, as translated titles of yours: esco/zh.csv with ESCO's columns conceptUri,
preferredLabel, altLabels, or with one title a row under conceptUri, label. ISCO groups are then those of esco/en.csv.

Without the folder the sample inside the package serves: small, our own, for trying things out.
"""

import os
from importlib.resources import files
from pathlib import Path

from tutelage.errors import ConfigError

SAMPLE = Path(str(files("tutelage.records") / "sample"))
REDRAWN = ".resampled.tsv"
HOW_TO_GET_DATA = (
    "Get ESCO as CSV from https://esco.ec.europa.eu (Download) and TalentCLEF from doi:10.5281/zenodo.14002665, lay "
    "them out as esco/en.csv and talentclef25/validation/en/, and name the folder in TUTELAGE_DATA or --data."
)


def data_folder(given: str | Path | None = None) -> Path | None:
    """The folder of real data: ``given``, else ``TUTELAGE_DATA``, else none.

    Raises:
        ConfigError: the folder named does not exist.
    """
    named = given or os.environ.get("TUTELAGE_DATA")
    if not named:
        return None
    if not Path(named).is_dir():
        raise ConfigError(f"data folder {named}: no such folder. {HOW_TO_GET_DATA}")
    return Path(named)


def real_data(name: str, folder: Path | None) -> Path:
    """The folder, where there is one; ``name`` is what was asked for.

    Raises:
        ConfigError: no folder is named.
    """
    if folder is None:
        raise ConfigError(f"'{name}' needs real data and no data folder is named. {HOW_TO_GET_DATA}")
    return folder


def turkish_file(name: str, folder: Path | None, file: str) -> Path:
    """A file of the folder's Turkish data; ``name`` is what was asked for.

    Raises:
        ConfigError: no folder is named, or it has no such file.
    """
    path = (folder or Path()) / "turkish" / file
    if folder is None or not path.is_file():
        where = "no data folder is named" if folder is None else f"{folder} has no turkish/{file}"
        raise ConfigError(
            f"'{name}': {where}. Get the data set, lay it out as tutelage.records.data_folder says, and name the "
            "folder in TUTELAGE_DATA or --data."
        )
    return path


def talentclef_files(language: str, folder: Path) -> list[Path]:
    """TalentCLEF's training files of a language that are at hand, the organisers' before one that was drawn anew."""
    names = f"{language}.tsv", f"taskA_training_{language}.tsv", f"{language}{REDRAWN}"
    return [path for name in names if (path := folder / "talentclef25" / "train" / name).is_file()]
