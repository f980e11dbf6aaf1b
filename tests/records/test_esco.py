"""ESCO's occupations file, in the portal's form and in that of older releases."""

import csv
import gzip
import json
import unicodedata

import pyarrow as pa
import pyarrow.parquet
import pytest

from tutelage.errors import DataError
from tutelage.records.concepts import Concept, labels_of
from tutelage.records.esco import read_esco

URI = "http://data.europa.eu/esco/occupation/{}".format
NURSE = {
    "conceptUri": URI("n"),
    "iscoGroup": "http://data.europa.eu/esco/isco/C2221",
    "code": "2221.1",
    "preferredLabel": "nurse",
    "altLabels": "registered nurse\nRN",
    "description": "Cares for\npatients.",
}


@pytest.fixture
def occupations(tmp_path):
    """Write rows as ``en.csv``; a row is the nurse with some columns changed, or (None) taken out."""

    def write(*changes, name="en.csv"):
        rows = [{key: value for key, value in {**NURSE, **change}.items() if value is not None} for change in changes]
        path = tmp_path / name
        with (gzip.open if name.endswith(".gz") else open)(path, "wt", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, rows[0])
            table.writeheader()
            table.writerows(rows)
        return path

    return write


def refused(path):
    with pytest.raises(DataError) as fault:
        read_esco(path, "en")
    return str(fault.value)


@pytest.mark.parametrize("name", ["en.csv", "en.csv.gz"])
def test_every_field_is_read(occupations, name):
    assert read_esco(occupations({}, name=name), "en") == [
        Concept(URI("n"), "2221", "2221.1", "en", "nurse", ("registered nurse", "RN"), "Cares for\npatients.")
    ]


def test_older_releases_lack_code_and_description(occupations):
    [concept] = read_esco(occupations({"code": None, "description": None}), "en")
    assert (concept.code, concept.description) == ("", "")


@pytest.mark.parametrize("group", ["http://data.europa.eu/esco/isco/C2221", "2221"])
def test_a_group_is_its_number(occupations, group):
    [concept] = read_esco(occupations({"iscoGroup": group}), "en")
    assert concept.group == "2221"


def test_a_concept_since_removed_has_no_group(occupations):
    [concept] = read_esco(occupations({"iscoGroup": ""}), "en")
    assert concept.group == ""


def test_gender_forms_joined_by_a_slash_stay_one_label(occupations):
    [concept] = read_esco(occupations({"preferredLabel": "Krankenpfleger/Krankenpflegerin"}), "de")
    assert concept.preferred == "Krankenpfleger/Krankenpflegerin"


def test_labels_are_distinct_and_the_preferred_one_leads(occupations):
    [concept] = read_esco(occupations({"altLabels": "RN\n\n nurse \nmale nurse\nRN\n"}), "en")
    assert concept.labels == ["nurse", "RN", "male nurse"]


def test_a_concept_without_other_labels_has_one(occupations):
    [concept] = read_esco(occupations({"altLabels": ""}), "en")
    assert concept.labels == ["nurse"]


def test_a_concept_may_name_no_group_at_all(occupations):
    [concept] = read_esco(occupations({"iscoGroup": None}), "en")
    assert concept.group == ""


TITLES = [("n", "护士"), ("w", "焊工"), ("n", " 注册护士 "), ("n", "护士")]


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_titles_of_ones_own_stand_one_a_row(tmp_path, ending):
    path = tmp_path / f"zh.{ending}"
    rows = [{"conceptUri": URI(concept), "label": title} for concept, title in TITLES]
    if ending == "parquet":
        pyarrow.parquet.write_table(pa.Table.from_pylist(rows), path)
    elif ending == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        delimiter = {"csv": ",", "tsv": "\t"}[ending]
        path.write_text("".join(delimiter.join(cells) + "\n" for cells in [list(rows[0]), *(r.values() for r in rows)]))
    nurse, welder = read_esco(path, "zh")
    assert nurse == Concept(URI("n"), "", "", "zh", "护士", ("注册护士", "护士"))
    assert nurse.labels == ["护士", "注册护士"]
    assert welder == Concept(URI("w"), "", "", "zh", "焊工")


def test_titles_of_ones_own_may_name_their_group(tmp_path):
    path = tmp_path / "zh.csv"
    path.write_text("conceptUri,label,iscoGroup\nn,护士,\nn,注册护士,http://data.europa.eu/esco/isco/C2221\n")
    [concept] = read_esco(path, "zh")
    assert concept.group == "2221"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("conceptUri,label\nn,护士\nn, \n", " row 3: 'label' is empty. Remove the row or fix its source."),
        ("conceptUri,label\n,护士\n", " row 2: 'conceptUri' is empty. Remove the row or fix its source."),
        (
            "uri,label\nn,护士\n",
            ": no column conceptUri. Columns: uri, label. Wanted: the occupations file of ESCO's CSV download "
            "(https://esco.ec.europa.eu), or one title a row under conceptUri, label.",
        ),
    ],
)
def test_faulty_titles_are_refused(tmp_path, content, message):
    path = tmp_path / "zh.csv"
    path.write_text(content)
    assert refused(path) == f"{path}{message}"


def test_lower_case_spares_the_description(occupations):
    [concept] = read_esco(occupations({}), "en", lower=True)
    assert concept.labels == ["nurse", "registered nurse", "rn"]
    assert concept.description == "Cares for\npatients."


def test_labels_carry_concept_group_and_language(occupations):
    labels = labels_of(read_esco(occupations({}), "en"))
    assert [label.text for label in labels] == ["nurse", "registered nurse", "RN"]
    assert {label[1:] for label in labels} == {(URI("n"), "2221", "en")}


def test_another_file_is_refused_with_its_columns(occupations):
    path = occupations({"preferredLabel": None, "altLabels": None})
    assert refused(path) == (
        f"{path}: no column preferredLabel, altLabels. Columns: conceptUri, iscoGroup, code, description. "
        "Wanted: the occupations file of ESCO's CSV download (https://esco.ec.europa.eu), or one title a row under "
        "conceptUri, label."
    )


def test_an_empty_preferred_label_is_refused(occupations):
    path = occupations({"preferredLabel": " ", "altLabels": "", "description": ""})
    assert refused(path) == f"{path} row 2: 'preferredLabel' is empty. Remove the row or fix its source."


def test_a_repeated_concept_is_refused(occupations):
    flat = {"altLabels": "", "description": ""}
    path = occupations(flat, flat)
    assert refused(path) == f"{path} row 3: concept {URI('n')} stands twice. Keep one of the rows."


@pytest.mark.parametrize(
    ("language", "concepts", "labels"),
    [("en", 3039, 33412), ("de", 3039, 18765), ("es", 3039, 16803), ("fr", 2942, 14598), ("sv", 3007, 6887)],
)
def test_real_releases_are_read_whole(data, language, concepts, labels):
    found = read_esco(data / "esco" / f"{language}.csv.gz", language)
    assert len(found) == concepts
    assert sum(1 + len(concept.alternatives) for concept in found) == labels


@pytest.mark.parametrize("language", ["en", "de", "es"])
def test_real_labels_are_canonical(data, language):
    texts = [label.text for label in labels_of(read_esco(data / "esco" / f"{language}.csv.gz", language))]
    assert all(text and text == text.strip() and unicodedata.is_normalized("NFC", text) for text in texts)


def test_releases_share_concepts(data):
    uris = [{concept.uri for concept in read_esco(data / "esco" / f"{name}.csv.gz", name)} for name in ("en", "de")]
    assert uris[0] == uris[1]
