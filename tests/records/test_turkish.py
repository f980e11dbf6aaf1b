"""Turkish sets as training sources: what each split gives to learn from, and which texts it keeps apart."""

import pytest
from turkish_fixture import turkish_folder

from tutelage.errors import ConfigError, DataError
from tutelage.records import judged, sources
from tutelage.records.retrieval import RetrievalSet
from tutelage.records.scored import ScoredPairs
from tutelage.records.splits import comparable, judged_texts
from tutelage.records.triplets import TripletSet
from tutelage.records.turkish import training_rows


@pytest.fixture
def folder(tmp_path):
    return turkish_folder(tmp_path)


@pytest.mark.parametrize(
    ("name", "columns", "rows"),
    [
        (
            "cnli-tr:train",
            ["anchor", "positive", "negative"],
            [("Ali eve geldi.", "Ali evde.", "Ali yolda."), ("Ayşe okudu.", "Ayşe okur.", "Ayşe uyudu.")],
        ),
        (
            "tquad:train",
            ["anchor", "positive"],
            [
                ("Kim geldi?", "Ali eve geldi."),
                ("Nereye geldi?", "Ali eve geldi."),
                ("Ne yağdı?", "Kar yağdı."),
                ("Deniz ne renk?", "Deniz mavi."),
            ],
        ),
        (
            "stsb-tr:train",
            ["anchor", "positive"],
            [("Bir adam koşuyor.", "Adam koşuyor."), ("Köpek havlıyor.", "Bir köpek havlıyor.")],
        ),
    ],
)
def test_a_split_gives_its_rows_each_once(folder, name, columns, rows):
    found = sources.pairs(name, folder)
    assert found.column_names == columns
    assert [tuple(row.values()) for row in found] == rows


def test_scored_pairs_without_a_high_score_teach_nothing():
    with pytest.raises(DataError) as fault:
        training_rows(ScoredPairs("stsb-tr:train", ["a"], ["b"], [3.9]))
    assert str(fault.value) == (
        "stsb-tr:train: no row of different texts to learn from. (Scored pairs count from 4 of 5 on.)"
    )


@pytest.mark.parametrize("name", ["cnli-tr:train", "tquad:train", "stsb-tr:train"])
def test_a_split_that_is_not_at_hand_is_refused(name, tmp_path):
    file = f"turkish/{name.replace('-', '_').replace(':', '/')}.tsv"
    with pytest.raises(ConfigError, match=rf"'{name}': {tmp_path} has no {file}"):
        sources.pairs(name, tmp_path)
    with pytest.raises(ConfigError, match=f"'{name}': no data folder is named"):
        sources.pairs(name)


def test_of_a_corpus_only_the_right_entries_are_judged():
    found = RetrievalSet("t", {"q": "who", "p": "what"}, {"c": "right", "d": "filler"}, {"q": frozenset({"c"})})
    assert sorted(judged_texts(found)) == ["right", "what", "who"]
    assert list(judged_texts(TripletSet("t", ["a"], ["p"], ["n"]))) == ["a", "p", "n"]
    assert list(judged_texts(ScoredPairs("t", ["a"], ["b"], [1.0]))) == ["a", "b"]


@pytest.mark.parametrize(("name", "count"), [("cnli-tr:train", 831), ("tquad:train", 5792), ("stsb-tr:train", 1360)])
def test_real_splits_to_learn_from(data, name, count):
    found = sources.pairs(name, data)
    assert len(found) == count
    sides = [list(map(comparable, found[column])) for column in found.column_names]
    assert all(len({*texts}) == len(texts) for texts in zip(*sides, strict=True)), "a row holds one text twice"


def test_the_telecom_sample_teaches_four_fifths_and_judges_by_the_rest():
    learned, dev = sources.pairs("sample-telecom:train"), judged.triplet_set("sample-telecom:dev")
    assert (len(learned), len(dev)) == (120, 30)
    assert learned.column_names == ["anchor", "positive", "negative"]
    assert not {*learned["anchor"], *learned["positive"]} & {*dev.anchors, *dev.positives}
    with pytest.raises(ConfigError, match=r"no such split\. Wanted sample-telecom:train or sample-telecom:dev"):
        judged.triplet_set("sample-telecom:test")
