"""Triplets, scored pairs, Turkish sets and gendered titles: what is read, what is refused, what each name means."""

import gzip

import pytest

from tutelage.errors import ConfigError, DataError
from tutelage.records import judged
from tutelage.records.concepts import Concept
from tutelage.records.gender import both_forms, gendered_titles
from tutelage.records.retrieval import RetrievalSet
from tutelage.records.scored import ScoredPairs, read_scored
from tutelage.records.triplets import read_triplets
from tutelage.records.turkish import read_cnli, read_tquad


def refused(kind, function, *args):
    with pytest.raises(kind) as fault:
        function(*args)
    return str(fault.value)


@pytest.fixture
def table(tmp_path):
    def write(name, *rows):
        path = tmp_path / name
        text = "".join("\t".join(row) + "\n" for row in rows)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write


def test_triplets_are_named_after_their_file_and_keep_their_order(table):
    found = read_triplets(table("dev.tsv", ("query", "no", "yes"), ("a", "n", " p "), ("a", "n2", "p2")),
                          ("query", "yes", "no"))  # fmt: skip
    assert (found.name, len(found)) == ("dev", 2)
    assert (found.anchors, found.positives, found.negatives) == (["a", "a"], ["p", "p2"], ["n", "n2"])


def test_triplets_without_three_columns_are_refused(tmp_path):
    assert refused(DataError, read_triplets, "dev.csv", ("query", "answer")) == (
        "dev.csv: 2 columns named. Wanted three: anchor, positive, negative."
    )


def test_scored_pairs_are_read_with_their_numbers(table):
    head, *rows = [("score", "sentence1", "sentence2", "more"), ("0.5", "a", "b", "x"), ("5", ' "c" ', "d", "y")]
    found = read_scored(table("sts.tsv", head, *rows))
    assert found == ScoredPairs("sts", ["a", '"c"'], ["b", "d"], [0.5, 5.0])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("s1", "sentence2", "score"), ("a", "b", "1")], "row 2: no column 'sentence1'. "
         "Wanted: sentence1, sentence2, score."),
        ([("sentence1", "sentence2", "score"), ("a", " ", "1")], "row 2: a sentence is empty. "
         "Remove the row or fix its source."),
        ([("sentence1", "sentence2", "score"), ("a", "b", "high")], "row 2: 'score' is 'high', "
         "where a number was wanted. Mend the row."),
        ([("sentence1", "sentence2", "score"), ("a", "b", "nan")], "row 2: 'score' is 'nan', "
         "where a number was wanted. Mend the row."),
    ],
)  # fmt: skip
def test_a_faulty_row_of_scored_pairs_is_named(table, rows, message):
    path = table("sts.tsv", *rows)
    assert refused(DataError, read_scored, path) == f"{path} {message}"


def test_a_sentence_that_is_null_is_not_the_word_none(tmp_path):
    path = tmp_path / "sts.jsonl"
    path.write_text('{"sentence1": null, "sentence2": "b", "score": 1}\n')
    assert refused(DataError, read_scored, path) == (
        f"{path} row 1: a sentence is empty. Remove the row or fix its source."
    )


def test_scores_that_are_all_alike_rank_nothing(table):
    path = table("sts.tsv", ("sentence1", "sentence2", "score"), ("a", "b", "1"), ("c", "d", "1.0"))
    assert refused(DataError, read_scored, path) == (
        f"{path}: 1 distinct scores. Wanted two at least, or nothing can be ranked."
    )


def test_a_question_finds_its_passage_among_all_and_clusters_by_it(table, tmp_path):
    table("contexts.tsv.gz", ("c_id", "context"), ("c1", "one"), ("c2", "two"), ("c3", "three"))
    table("dev.tsv", ("q_id", "question", "c_id"), ("q1", "who", "c2"), ("q2", "what", "c2"))
    found = read_tquad(tmp_path, "dev")
    assert (found.name, list(found.corpus)) == ("tquad:dev", ["c1", "c2", "c3"])
    assert found.relevance == {"q1": {"c2"}, "q2": {"c2"}}
    assert found.cluster == {"q1": "c2", "q2": "c2"}
    assert not found.exclude_self


CNLI = [("premise", "hypothesis", "gold_label"), ("A", "a+", "1"), ("B", "b-", "0"), ("A", "a-", "0"),
        ("A", "a++", "1"), ("C", "c+", "1")]  # fmt: skip


def test_a_premise_with_both_labels_makes_every_triplet_it_can(table):
    found = read_cnli(table("dev.tsv.gz", *CNLI))
    assert list(zip(found.anchors, found.positives, found.negatives, strict=True)) == [
        ("A", "a+", "a-"), ("A", "a++", "a-")
    ]  # fmt: skip


def test_cnli_without_a_triplet_or_with_another_label_is_refused(table):
    none, other = table("none.tsv", *CNLI[:3]), table("other.tsv", *CNLI, ("C", "c", "2"))
    assert refused(DataError, read_cnli, none) == (
        f"{none}: no premise has a hypothesis of either label, so there is no triplet."
    )
    assert refused(DataError, read_cnli, other) == f"{other}: gold_label '2'. Wanted 1 (follows) or 0 (does not)."


@pytest.mark.parametrize(
    ("label", "forms"),
    [
        ("Krankenpfleger/Krankenpflegerin", ("Krankenpfleger", "Krankenpflegerin")),
        ("técnico en obras / técnica en obras", ("técnico en obras", "técnica en obras")),
        ("sellier-garnisseur/sellière-garnisseuse en automobile", None),
        ("Schichtleiter/in Bergbau", None),
        ("Fahrer/-in", None),
        ("recepcionista de hotel/recepcionista de hotel", None),
        ("Lehrkraft", None),
        ("a/b/c", None),
        ("Koch/", None),
    ],
)
def test_only_two_whole_forms_are_taken(label, forms):
    assert both_forms(label) == forms


def test_titles_keep_their_concept_and_the_corpus_is_every_label():
    labels = ["Koch/Köchin", "Lehrkraft", "Koch/Köchin"]
    found = gendered_titles("t", [Concept(f"c{i}", "1", "", "de", label) for i, label in enumerate(labels)])
    assert (found.forms, found.concepts) == ([("Koch", "Köchin")] * 2, ["c0", "c2"])
    assert found.corpus == ["Koch/Köchin", "Lehrkraft"]


def test_labels_without_forms_are_refused():
    assert refused(DataError, gendered_titles, "t", [Concept("c", "1", "", "en", "nurse")]) == (
        "t: no preferred label holds two forms joined by '/'. ESCO's de, es and fr do."
    )


@pytest.mark.parametrize("name", ["esco-gender", "esco-gender:", "sample-gender:de", "esco:de"])
def test_a_name_that_means_no_titles_is_refused(name):
    assert refused(ConfigError, judged.gendered, name) == (
        f"'{name}': unknown titles. Wanted esco-gender:LANGUAGE, as in esco-gender:de."
    )


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (judged.triplet_set, "cnli-tr:dev"),
        (judged.general_set, "stsb-tr:dev"),
        (judged.general_set, "tquad:dev"),
        (judged.retrieval_set, "tquad:dev"),
    ],
)
def test_real_data_without_a_folder_is_refused(function, name, monkeypatch):
    assert refused(ConfigError, function, name) == (
        f"'{name}': no data folder is named. Get the data set, lay it out as tutelage.records.data_folder says, and "
        "name the folder in TUTELAGE_DATA or --data."
    )


def test_a_split_that_the_folder_lacks_is_refused_as_data_that_is_not_at_hand(tmp_path):
    """Not as a fault in a file: an optional set is then passed over."""
    for function, name, file in (
        (judged.retrieval_set, "tquad:test", "tquad/test.tsv"),
        (judged.general_set, "stsb-tr:test", "stsb_tr/test.tsv"),
        (judged.triplet_set, "cnli-tr:test", "cnli_tr/test.tsv.gz"),
    ):
        assert refused(ConfigError, function, name, tmp_path).startswith(f"'{name}': {tmp_path} has no turkish/{file}.")


def test_a_general_set_is_a_table_or_any_retrieval_set(table):
    path = table("sts.tsv", ("sentence1", "sentence2", "score"), ("a", "b", "1"), ("c", "d", "2"))
    assert judged.general_set(str(path)).scores == [1, 2]
    folder = table("queries", ("q_id", "text"), ("q1", "nurse")).parent
    (folder / "corpus_elements").write_text("c_id\ttext\nc1\tRN\n")
    (folder / "qrels.tsv").write_text("q1 0 c1 1\n")
    assert isinstance(judged.general_set(str(folder)), RetrievalSet)
    assert refused(ConfigError, judged.general_set, "sample-heldout:en") == (
        "'sample-heldout:en': its concepts are of the training domain. Put it under evaluate.sets."
    )


@pytest.mark.parametrize(("split", "count"), [("dev", 1500), ("train", 5749)])
def test_real_scored_pairs_by_name(data, split, count):
    found = judged.general_set(f"stsb-tr:{split}", data)
    assert (found.name, len(found.scores), max(found.scores)) == (f"stsb-tr:{split}", count, 5)


def test_real_questions_and_triplets_by_name(data):
    found = judged.general_set("tquad:dev", data)
    assert (len(found.queries), len(found.corpus), len(set(found.cluster.values()))) == (1327, 531, 280)
    triplets = judged.triplet_set("cnli-tr:dev", data)
    assert (triplets.name, len(triplets), len(set(triplets.anchors))) == ("cnli-tr:dev", 223, 189)


@pytest.mark.parametrize(("language", "count"), [("de", 2703), ("es", 2405), ("fr", 2229)])
def test_real_gendered_titles_by_name(data, language, count):
    found = judged.gendered(f"esco-gender:{language}", data)
    assert len(found.forms) == count
    assert all(one != other for one, other in found.forms)


def test_a_family_is_all_labels_of_an_isco_group(tmp_path):
    (tmp_path / "esco").mkdir()
    rows = ["c1,2221,nurse,RN", "c2,2221,midwife,", "c3,7212,welder,solderer", "c4,,spy,"]
    table = "\n".join(["conceptUri,iscoGroup,preferredLabel,altLabels", *rows])
    (tmp_path / "esco" / "en.csv").write_text(table + "\n", encoding="utf-8")
    family = judged.retrieval_set("esco-family:en", tmp_path, share=0.999999)
    assert family.held_out
    right = {family.queries[q]: {family.corpus[c] for c in found} for q, found in family.relevance.items()}
    assert right == {
        "nurse": {"RN", "midwife"}, "RN": {"nurse", "midwife"}, "midwife": {"nurse", "RN"},
        "welder": {"solderer"}, "solderer": {"welder"},
    }  # fmt: skip
    assert "spy" not in family.corpus.values()


@pytest.mark.parametrize("name", ["sample-heldout:en", "sample-mix:en-de"])
def test_a_set_of_held_out_concepts_needs_some(name):
    with pytest.raises(ConfigError, match=rf"'{name}': no concept is held out for it \(data\.held_out is 0\)\. Leave"):
        judged.retrieval_set(name, share=0.0)
