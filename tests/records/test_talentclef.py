"""TalentCLEF's training pairs: four columns, no header."""

import unicodedata

import pytest

from tutelage.errors import DataError
from tutelage.records.talentclef import read_talentclef_pairs

GROUP, OCCUPATION = "http://data.europa.eu/esco/isco/C2221", "http://data.europa.eu/esco/occupation/n"


def titles(folder, *rows):
    path = folder / "es.tsv"
    path.write_text("".join(f"{GROUP}\t{OCCUPATION}\t{row}\n" for row in rows), encoding="utf-8")
    return path


def refused(path):
    with pytest.raises(DataError) as fault:
        read_talentclef_pairs(path, "es")
    return str(fault.value)


def test_a_row_is_a_pair_with_its_concept_group_and_language(tmp_path):
    assert list(read_talentclef_pairs(titles(tmp_path, "enfermera\tenfermero"), "es")) == [
        {"anchor": "enfermera", "positive": "enfermero", "concept": OCCUPATION, "group": "2221", "language": "es"}
    ]


def test_titles_become_canonical(tmp_path):
    [row] = read_talentclef_pairs(titles(tmp_path, " Pfleger\tA\u0308rztin"), "de", lower=True)
    assert (row["anchor"], row["positive"]) == ("pfleger", "ärztin")


def test_quotation_marks_are_characters(tmp_path):
    [row] = read_talentclef_pairs(titles(tmp_path, '"a\tb"'), "es")
    assert (row["anchor"], row["positive"]) == ('"a', 'b"')


@pytest.mark.parametrize("separator", ["\u2028", "\x85", "\x0b"])
def test_only_line_ends_end_a_row(tmp_path, separator):
    [row] = read_talentclef_pairs(titles(tmp_path, f"a{separator}b\tc"), "es")
    assert row["anchor"] == f"a{separator}b"


def test_a_row_without_four_columns_is_refused(tmp_path):
    path = titles(tmp_path, "a\tb", "a")
    assert refused(path) == f"{path} row 2: 3 columns. Wanted four: family, occupation, two titles."


def test_an_empty_title_is_refused(tmp_path):
    path = titles(tmp_path, "a\t ")
    assert refused(path) == f"{path} row 1: a title is empty. Remove the row or fix its source."


def test_an_empty_file_is_refused(tmp_path):
    path = titles(tmp_path)
    assert refused(path) == f"{path}: no rows. At least one is wanted."


REAL = [("es.tsv", 20724, 2893), ("de.tsv", 23023, 3001), ("en.resampled.tsv", 28880, 3011)]


@pytest.mark.parametrize(("name", "rows", "occupations"), REAL)
def test_real_pairs_are_read_whole(data, name, rows, occupations):
    pairs = read_talentclef_pairs(data / "talentclef25" / "train" / name, name[:2])
    assert pairs.num_rows == rows
    assert len(set(pairs["concept"])) == occupations


@pytest.mark.parametrize("name", ["es.tsv", "de.tsv"])
def test_real_pairs_are_distinct_canonical_texts(data, name):
    pairs = read_talentclef_pairs(data / "talentclef25" / "train" / name, name[:2])
    anchors, positives = list(pairs["anchor"]), list(pairs["positive"])
    pooled = {
        (concept, *sorted(pair))
        for concept, *pair in zip(pairs["concept"], anchors, positives, strict=True)
        if pair[0] != pair[1]
    }
    assert len(pooled) == pairs.num_rows
    assert all(t == t.strip() and unicodedata.is_normalized("NFC", t) for t in anchors + positives)
