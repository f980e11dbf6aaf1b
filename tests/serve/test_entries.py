"""Labels by name, of tables and of text files become entries."""

import pytest

from tutelage.errors import ConfigError, DataError
from tutelage.serve.entries import entries, once_a_concept


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_sample_by_language():
    english, both = entries("sample"), entries("sample:en,de")
    assert {entry.language for entry in english} == {"en"}
    assert {entry.language for entry in both} == {"en", "de"}
    assert english == entries("sample:en") == both[: len(english)]
    nurse = next(entry for entry in english if entry.text == entry.preferred)
    assert nurse.concept
    assert nurse.group.isdigit()


def test_esco_by_language(data):
    found = entries("esco:en", data)
    [programmer] = {(e.code, e.preferred, e.group) for e in found if e.text == "software developer"}
    assert programmer == ("2512.4", "software developer", "2512")


def test_a_table_with_all_columns(tmp_path):
    header = "label,concept,code,preferred,group,language\n"
    path = write(tmp_path / "t.csv", header + "Pfleger,c1,2221.1,Krankenpfleger,2221,de\n")
    assert entries(path) == [("Pfleger", "c1", "2221.1", "Krankenpfleger", "2221", "de")]


def test_a_table_with_a_concept_takes_the_first_label_as_the_preferred_one(tmp_path):
    rows = "nurse\tc1\ten\nRN\tc1\ten\nHemşire\tc1\ttr\nnurse\tc1\ten\n"
    path = write(tmp_path / "t.tsv", "label\tconcept\tlanguage\n" + rows)
    assert [(e.text, e.preferred, e.language) for e in entries(path)] == [
        ("nurse", "nurse", "en"), ("RN", "nurse", "en"), ("Hemşire", "Hemşire", "tr"),
    ]  # fmt: skip


def test_labels_alone_are_concepts_of_their_own(tmp_path):
    for name, text in {"t.csv": "label\nnurse\ncook\n", "t.jsonl": '{"label": "nurse"}\n{"label": "cook"}\n'}.items():
        found = entries(write(tmp_path / name, text))
        assert [(e.text, e.concept, e.preferred) for e in found] == [("nurse",) * 3, ("cook",) * 3]
    found = entries(write(tmp_path / "t.txt", "nurse\n\n cook \nnurse\n"))
    assert [(e.text, e.concept, e.preferred) for e in found] == [("nurse",) * 3, ("cook",) * 3]


def test_a_table_is_one_however_its_ending_is_written(tmp_path):
    path = write(tmp_path / "Taxonomy.CSV", "label,concept\nnurse,c1\n")
    assert [(e.text, e.concept) for e in entries(path)] == [("nurse", "c1")]


def test_faults_are_named(tmp_path):
    with pytest.raises(DataError, match="no column 'label'"):
        entries(write(tmp_path / "a.csv", "title\nnurse\n"))
    with pytest.raises(DataError, match="row 3: 'label' is empty"):
        entries(write(tmp_path / "b.csv", "label\nnurse\n \n"))
    with pytest.raises(DataError, match="no row in it"):
        entries(write(tmp_path / "c.csv", "label\n"))
    with pytest.raises(DataError, match="no such file"):
        entries(str(tmp_path / "d.csv"))
    with pytest.raises(DataError, match="neither labels by name nor a file"):
        entries("esko:en")
    with pytest.raises(ConfigError, match="no labels in 'xx'"):
        entries("sample:xx")


def test_a_text_that_languages_share_is_shown_once():
    found = entries("sample:en")[:1]
    assert once_a_concept([found[0], found[0]._replace(language="de")]) == found
