"""Retrieval sets from a folder, from a zip and from labels."""

from zipfile import ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.errors import DataError
from tutelage.records.concepts import Label
from tutelage.records.retrieval import RetrievalSet, labels_set, read_retrieval, translations_set

FILES = {
    "queries": "q_id\tjobtitle\nq1\tNurse\nq2\tE\u0301leveuse\n",
    "corpus_elements": 'c_id\tjobtitle\nc1\tRN\nc2\t"pig farmer\nc3\tRN\n',
    "qrels.tsv": "q1\t0\tc1\t1\nq1\t0\tc3\t2\nq2\t0\tc2\t0\n",
}


@pytest.fixture
def folder(tmp_path):
    """Write the three files with some changed, or (None) left out."""

    def write(name="val", **changes):
        home = tmp_path / name
        home.mkdir()
        for file, content in {**FILES, **{key.replace("qrels", "qrels.tsv"): v for key, v in changes.items()}}.items():
            if content is not None:
                (home / file).write_bytes(content.encode() if isinstance(content, str) else content)
        return home

    return write


def zipped(path, members):
    with ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def refused(path):
    with pytest.raises(DataError) as fault:
        read_retrieval(path)
    return str(fault.value)


def test_a_folder_gives_queries_corpus_and_relevance(folder):
    assert read_retrieval(folder(), "val") == RetrievalSet(
        "val",
        queries={"q1": "Nurse", "q2": "Éleveuse"},
        corpus={"c1": "RN", "c2": '"pig farmer', "c3": "RN"},
        relevance={"q1": frozenset({"c1", "c3"})},
    )


@pytest.mark.parametrize("inner", ["", "val/", "a/b/"])
def test_a_zip_reads_like_its_folder(folder, tmp_path, inner):
    path = zipped(tmp_path / "val.zip", {inner + name: content for name, content in FILES.items()})
    assert read_retrieval(path, "val") == read_retrieval(folder(), "val")


def test_a_zip_of_two_sets_is_refused(tmp_path):
    path = zipped(tmp_path / "both.zip", {f"{home}/{name}": FILES[name] for home in ("en", "de") for name in FILES})
    assert refused(path).startswith(f"{path}: ")


@pytest.mark.parametrize(
    "names",
    [("queries.tsv", "corpus_elements.tsv", "qrels"), ("queries", "corpus_element", "qrels.tsv")],
)
def test_files_may_have_their_other_names(folder, tmp_path, names):
    home = tmp_path / "other"
    home.mkdir()
    for name, content in zip(names, FILES.values(), strict=True):
        (home / name).write_text(content)
    assert read_retrieval(home, "val") == read_retrieval(folder(), "val")


def test_lower_case_reaches_queries_and_corpus(folder):
    found = read_retrieval(folder(), lower=True)
    assert found.queries["q1"] == "nurse"
    assert found.corpus["c1"] == "rn"


def test_a_set_is_called_by_its_path_unless_named(folder):
    home = folder("v1.2")
    assert read_retrieval(home).name == str(home)
    assert read_retrieval(home, "mine").name == "mine"


def test_blank_lines_of_qrels_are_passed_over(folder):
    assert read_retrieval(folder(qrels=f"\n{FILES['qrels.tsv']}\n")).relevance == {"q1": {"c1", "c3"}}


def test_negative_relevance_counts_as_none(folder):
    assert read_retrieval(folder(qrels="q1 0 c1 1\nq1 0 c2 -2\n")).relevance == {"q1": {"c1"}}


FAULTS = {
    "a missing file": ({"queries": None}, ": no file 'queries'. Found: corpus_elements, qrels.tsv."),
    "a third column": (
        {"queries": "q_id\tjobtitle\tx\nq1\tNurse\ty\n"},
        "/queries row 2: 3 columns. Wanted two: id and text, split by a tab.",
    ),
    "an empty text": (
        {"corpus_elements": "c_id\tjobtitle\nc1\t \n"},
        "/corpus_elements row 2: the text is empty. Remove the row or fix its source.",
    ),
    "a repeated id": (
        {"queries": "q_id\tjobtitle\nq1\tNurse\nq1\tRN\n"},
        "/queries row 3: id 'q1' stands twice. Ids must be unique.",
    ),
    "an empty file": ({"queries": ""}, "/queries: empty file. Wanted a header line and at least one row."),
    "another encoding": (
        {"queries": "q_id\tjobtitle\nq1\tMüller\n".encode("latin-1")},
        "/queries line 2: byte 0xfc is not UTF-8. Save the file as UTF-8 and run again.",
    ),
    "qrels of three fields": (
        {"qrels": "q1\t0\tc1\t1\nq1\tc1\t1\n"},
        "/qrels.tsv row 2: 'q1\tc1\t1'. Wanted four fields: query id, 0, corpus id, relevance.",
    ),
    "qrels with a header": (
        {"qrels": "q_id\titer\tc_id\trel\n"},
        "/qrels.tsv row 1: 'q_id\titer\tc_id\trel'. Wanted four fields: query id, 0, corpus id, relevance.",
    ),
    "relevance that only looks like a number": (
        {"qrels": "q1 0 c1 --1\n"},
        "/qrels.tsv row 1: 'q1 0 c1 --1'. Wanted four fields: query id, 0, corpus id, relevance.",
    ),
}


@pytest.mark.parametrize(("changes", "message"), FAULTS.values(), ids=FAULTS)
def test_a_fault_names_file_and_row(folder, changes, message):
    path = folder(**changes)
    assert refused(path) == f"{path}{message}"


@pytest.mark.parametrize(
    ("qrels", "message"),
    [
        ("q9 0 c1 1\n", ": qrels name 1 unknown query id (first: 'q9'); 2 are known."),
        ("q9 0 c1 1\nq8 0 c1 1\n", ": qrels name 2 unknown query ids (first: 'q8'); 2 are known."),
        ("q1 0 c9 1\n", ": qrels name 1 unknown corpus id (first: 'c9'); 3 are known."),
    ],
)
def test_qrels_of_other_files_are_refused(folder, qrels, message):
    home = folder(qrels=qrels)
    assert refused(home) == f"{home}{message} Use the qrels that belong to these files."


@pytest.mark.parametrize("qrels", ["", "q1 0 c1 0\n"])
def test_a_set_that_measures_nothing_is_refused(folder, qrels):
    home = folder(qrels=qrels)
    assert refused(home) == f"{home}: no query has a relevant entry, so nothing can be measured. Check the qrels."


@pytest.mark.parametrize("name", ["nothing", "notes.txt"])
def test_neither_folder_nor_zip_is_refused(tmp_path, name):
    (tmp_path / "notes.txt").write_text("no zip")
    path = tmp_path / name
    assert (
        refused(path) == f"{path}: neither a folder nor a zip. Wanted one with queries, corpus_elements and qrels.tsv."
    )


def by_text(found):
    """Query text -> texts judged right."""
    return {found.queries[query]: {found.corpus[entry] for entry in right} for query, right in found.relevance.items()}


def labels(**concepts):
    return [Label(text, concept, "", "en") for concept, texts in concepts.items() for text in texts.split()]


def test_the_other_labels_of_a_concept_are_right():
    found = labels_set("s", labels(c1="nurse RN carer", c2="welder solderer"))
    assert by_text(found) == {
        "nurse": {"RN", "carer"},
        "RN": {"nurse", "carer"},
        "carer": {"nurse", "RN"},
        "welder": {"solderer"},
        "solderer": {"welder"},
    }


def test_a_shared_text_is_right_for_all_its_concepts():
    found = labels_set("s", labels(c2="driver chauffeur", c1="driver golfer"))
    assert by_text(found)["driver"] == {"chauffeur", "golfer"}
    assert len(found.corpus) == 3
    assert {found.queries[key]: concept for key, concept in found.cluster.items()} == {
        "driver": "c1",
        "chauffeur": "c2",
        "golfer": "c1",
    }


def test_a_label_without_partner_asks_nothing():
    found = labels_set("s", labels(c1="nurse RN", c2="welder"))
    assert "welder" in found.corpus.values()
    assert "welder" not in found.queries.values()


concepts = st.dictionaries(st.sampled_from(["c1", "c2", "c3"]), st.lists(st.sampled_from("abcdef"), min_size=2))


@given(concepts.filter(lambda found: any(len(set(texts)) > 1 for texts in found.values())))
def test_a_labels_set_equals_its_definition(found):
    rows = [Label(text, concept, "", "en") for concept, texts in found.items() for text in texts]
    want = {
        a.text: {b.text for x in rows for b in rows if x.text == a.text and x.concept == b.concept} - {a.text}
        for a in rows
    }
    got = labels_set("s", rows)
    assert by_text(got) == {query: right for query, right in want.items() if right}
    assert sorted(got.corpus.values()) == sorted(set(want))
    assert got.exclude_self
    assert got.queries.keys() == got.cluster.keys() <= got.corpus.keys()


def test_labels_without_any_partner_are_refused():
    with pytest.raises(DataError, match=r"^s: no query has a relevant entry"):
        labels_set("s", labels(c1="nurse", c2="welder"))


def test_a_translations_set_asks_each_label_for_those_of_its_concept_in_the_other_language():
    found = translations_set(
        "mix",
        labels(c1="nurse RN", c2="barista", c3="english", c4="nurse"),
        labels(c1="Krankenpfleger", c2="barista Kaffeekoch", c4="Amme", c5="deutsch"),
    )
    assert by_text(found) == {
        "nurse": {"Krankenpfleger", "Amme"},
        "RN": {"Krankenpfleger"},
        "barista": {"barista", "Kaffeekoch"},
    }
    assert set(found.corpus.values()) == {"Krankenpfleger", "barista", "Kaffeekoch", "Amme", "deutsch"}
    assert not found.exclude_self
    assert found.held_out
    clusters = {found.queries[query]: cluster for query, cluster in found.cluster.items()}
    assert clusters == {"nurse": "c1", "RN": "c1", "barista": "c2"}


def test_languages_without_a_common_concept_are_refused():
    with pytest.raises(DataError, match=r"^mix: no query has a relevant entry"):
        translations_set("mix", labels(c1="nurse"), labels(c2="Amme"))
