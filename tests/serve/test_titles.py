"""From the command line: labels to an index, a table of titles to a table of concepts."""

import gzip
import json
import sys
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from server_fixture import FakeEngine

from tutelage import cli
from tutelage.errors import DataError, TutelageError
from tutelage.records.streams import reading
from tutelage.serve.contract import ConceptHit, Entry, Match
from tutelage.serve.engine import TorchEngine
from tutelage.serve.match import Matcher
from tutelage.serve.snapshot import Snapshot
from tutelage.serve.titles import ADDED, Summary, match_table

LABELS = (
    "label,concept,code,preferred,group,language\n"
    "nurse,c1,2221.1,nurse,2221,en\nKrankenpfleger,c1,2221.1,Krankenpfleger,2221,de\n"
    "welder,c2,7212.3,welder,7212,en\nممرض,c1,2221.1,ممرض,2221,ar\n"
)


@pytest.fixture
def call(monkeypatch, capsys):
    """Call the command with these words; its exit code, and what it said."""

    def called(*words):
        monkeypatch.setattr(sys, "argv", ["tutelage", *map(str, words)])
        with pytest.raises(SystemExit) as leaving:
            cli.main()
        said = capsys.readouterr()
        return leaving.value.code, said.out, said.err

    return called


@pytest.fixture
def model(tiny, tmp_path):
    tiny.save_pretrained(str(tmp_path / "model"))
    return tmp_path / "model"


@pytest.fixture
def place(call, model, tmp_path):
    (tmp_path / "labels.csv").write_text(LABELS, encoding="utf-8")
    code, out, err = call("index", model, tmp_path / "labels.csv", tmp_path / "index")
    assert code == 0
    assert "4 labels, 2 concepts." in out
    assert "confidence will be the score itself.\n" in err
    return tmp_path / "index"


def rows_of(path):
    with reading(path) as stream:
        return list(stream.rows)


def test_a_table_of_titles(call, place, tmp_path):
    titles = 'id,title,note\n1,nurse,=1+1\n2,"wel\nder","a ""b"", c"\n3,,\n4,ممرض,+5\n5,welder,@x\n'
    (tmp_path / "t.csv").write_text("\ufeff" + titles, encoding="utf-8")
    words = ("match", tmp_path / "t.csv", "--index", place, "--out", tmp_path / "m.csv", "--threshold", "0.999")
    code, out, _ = call(*words)
    assert code == 0
    assert out == f"5 rows: 3 known, 2 unknown.\nWritten: {tmp_path / 'm.csv'}\n"
    found = rows_of(tmp_path / "m.csv")
    assert [list(row)[3:] for row in found] == [list(ADDED)] * 5
    assert [(row["id"], row["title"], row["note"]) for row in found] == [
        ("1", "nurse", "=1+1"), ("2", "wel\nder", 'a "b", c'), ("3", "", ""), ("4", "ممرض", "+5"),
        ("5", "welder", "@x"),
    ]  # fmt: skip
    assert [row["concept"] for row in found] == ["c1", "Unknown", "Unknown", "c1", "c2"]
    nurse, broken, empty, arabic, _ = found
    assert (nurse["code"], nurse["label"], nurse["matched_label"]) == ("2221.1", "nurse", "nurse")
    assert (nurse["score"], nurse["confidence"], nurse["alternatives"]) == ("1.0", "1.0", "welder")
    assert (arabic["label"], arabic["matched_language"]) == ("ممرض", "ar")
    assert (broken["label"], len(broken["alternatives"].split(" | "))) == ("", 2)
    assert (empty["score"], empty["confidence"], empty["alternatives"]) == ("", "0.0", "")


@pytest.mark.parametrize("source", ["t.jsonl", "t.tsv", "t.csv.gz", "t.parquet"])
def test_every_format_finds_the_same(call, place, tmp_path, source):
    (tmp_path / "t.csv").write_text("title\nnurse\nwelder\nxyz\n", encoding="utf-8")
    first = tmp_path / source
    if source == "t.csv.gz":
        first.write_bytes(gzip.compress((tmp_path / "t.csv").read_bytes()))
    elif source == "t.parquet":
        pq.write_table(pa.table({"title": ["nurse", "welder", "xyz"]}), first)
    elif source == "t.jsonl":
        first.write_text('{"title": "nurse"}\n{"title": "welder"}\n{"title": "xyz"}\n', encoding="utf-8")
    else:
        first.write_text("title\nnurse\nwelder\nxyz\n", encoding="utf-8")
    for target in ("m.jsonl", "m.parquet", "m.tsv"):
        code, _, _ = call("match", first, "--index", place, "--out", tmp_path / target, "--threshold", "0.999")
        assert code == 0
        found = rows_of(tmp_path / target)
        assert [(row["title"], row["concept"]) for row in found] == [
            ("nurse", "c1"), ("welder", "c2"), ("xyz", "Unknown"),
        ]  # fmt: skip
    listed = rows_of(tmp_path / "m.jsonl")[0]["alternatives"]
    assert listed == rows_of(tmp_path / "m.parquet")[0]["alternatives"]
    assert [(each["concept"], each["code"], each["label"]) for each in listed] == [("c2", "7212.3", "welder")]


def test_options_of_a_match(call, place, model, tmp_path):
    (tmp_path / "t.jsonl").write_text('{"job": "nurse"}\n{"job": null}\n{"job": 7}\n{}\n', encoding="utf-8")
    words = ("match", tmp_path / "t.jsonl", "--index", place, "--out", tmp_path / "m.jsonl", "--threshold", "0")
    code, out, _ = call(*words, "--languages", "de", "--groups", "2", "-k", "1", "--model", model, "--json")
    assert code == 0
    assert json.loads(out) == {"rows": 4, "known": 2, "truncated": 0, "unknown": 2, "out": str(tmp_path / "m.jsonl")}
    found = rows_of(tmp_path / "m.jsonl")
    assert [row["concept"] for row in found] == ["c1", "Unknown", "c1", "Unknown"]
    assert [row["matched_label"] for row in found] == ["Krankenpfleger", "", "Krankenpfleger", ""]
    assert [row["alternatives"] for row in found] == [[]] * 4


def test_languages_may_have_spaces_between_and_must_be_the_indexs(call, place, tmp_path):
    (tmp_path / "t.csv").write_text("title\nممرض\nKrankenpfleger\n", encoding="utf-8")
    words = ("match", tmp_path / "t.csv", "--index", place, "--out", tmp_path / "m.csv", "--threshold", "0")
    code, _, _ = call(*words, "--languages", "de, ar", "--groups", " 2221 ,")
    assert code == 0
    assert {row["matched_language"] for row in rows_of(tmp_path / "m.csv")} == {"de", "ar"}
    code, _, err = call(*words, "--languages", "en,fr")
    assert code == 2
    assert err.endswith(
        f"ConfigError: match: --languages fr: index {place} has no such labels. Its languages: ar, de, en.\n"
    )


def test_search_in_an_index(call, place, model):
    code, out, _ = call("search", model, "nurse", "--index", place, "-k", "2", "--json")
    assert code == 0
    [result] = json.loads(out)["results"]
    assert result["hits"][0]["concept"] == "c1"
    assert result["hits"][0]["score"] == pytest.approx(1, abs=1e-6)


def test_brackets_and_colons_are_shown_as_they_stand(call, model, tmp_path):
    (tmp_path / "[b]").mkdir()
    corpus = tmp_path / "[b]" / "titles.txt"
    corpus.write_text("Entwickler [m/w/d]\n:nurse:\n[bold]x\n", encoding="utf-8")
    code, out, _ = call("search", model, "x [/b]", "--corpus", corpus)
    assert code == 0
    assert all(shown in out for shown in ("x [/b]", "Entwickler [m/w/d]", ":nurse:", "[bold]x"))


def test_index_in_figures(call, model, tmp_path):
    code, out, _ = call("index", model, "sample:en", tmp_path / "index", "--json")
    assert code == 0
    found = json.loads(out)
    assert (found["kind"], found["version"], found["concepts"]) == ("exact", "000001", 305)
    assert found["languages"] == {"en": found["entries"]}
    assert found["reliability"]["queries"] > 50
    assert found["notes"]["model"] == str(model)


def test_mistakes_are_one_line(call, place, model, tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    (tmp_path / "u.csv").write_text("title,code\nnurse,2\n", encoding="utf-8")

    def refused(*words):
        code, _, err = call(*words)
        assert code == 2
        assert err.count("\n") == 1
        return err

    out = ("--out", tmp_path / "m.csv")
    said = refused("match", tmp_path / "t.csv", "--index", place, *out)
    assert "which column holds the titles? Columns: a, b. Name one: --column NAME." in said
    assert "no column 'c'" in refused("match", tmp_path / "t.csv", "--index", place, *out, "--column", "c")
    assert "has a column 'code', which a match adds" in refused("match", tmp_path / "u.csv", "--index", place, *out)
    (tmp_path / "v.csv").write_text("title\nnurse\n", encoding="utf-8")
    assert "no finished index there" in refused("match", tmp_path / "v.csv", "--index", tmp_path / "no", *out)
    said = refused("match", tmp_path / "t.csv", "--index", place, "--out", tmp_path / "t.csv")
    assert "the table itself" in said
    assert "holds files that are no index" in refused("index", model, "sample:en", model)
    assert "--corpus and --index" in refused("search", model, "x", "--index", place, "--corpus", "sample:en")
    assert not (tmp_path / "m.csv").exists()


class Answers:
    """In a matcher's place: every title means the nurse, then so many other concepts as are asked for."""

    engine = FakeEngine()

    def match(self, texts, k=3, languages=(), groups=()):
        nurse = Entry("nurse", "c1", "2221.1", "nurse", "2221", "en")
        hits = [ConceptHit(f"c{n}", "2221.1", "nurse", "2221", nurse, 1.0) for n in range(1, k + 1)]
        return [Match(text, bool(text), 1.0, hits if text else []) for text in texts]


def matched(source, target, **how):
    return match_table(Answers, source, target, progress=False, **how)


@pytest.mark.parametrize(("target", "said"), [("m.xlsx", "unknown ending '.xlsx'"), ("t.csv", "the table itself")])
def test_a_target_that_cannot_be_written_is_refused_before_a_model_is_loaded(tmp_path, target, said):
    (tmp_path / "t.csv").write_text("title\nnurse\n")
    with pytest.raises(TutelageError, match=said):
        match_table(
            partial(pytest.fail, "a model was asked for"), tmp_path / "t.csv", tmp_path / target, progress=False
        )


@pytest.mark.parametrize("target", ["m.csv", "m.tsv", "m.parquet", "m.jsonl"])
def test_a_column_that_the_first_row_lacks_is_kept_or_refused_never_lost(tmp_path, target):
    (tmp_path / "t.jsonl").write_text('{"title": "nurse"}\n{"title": "RN", "id": 7}\n', encoding="utf-8")
    if target == "m.jsonl":
        matched(tmp_path / "t.jsonl", tmp_path / target)
        assert [row.get("id") for row in rows_of(tmp_path / target)] == [None, 7]
    else:
        with pytest.raises(DataError, match=r"row 2 .*has a column 'id', which the first row lacks\. Write \.jsonl"):
            matched(tmp_path / "t.jsonl", tmp_path / target)
        assert not (tmp_path / target).exists()


@pytest.mark.parametrize("target", ["m.csv", "m.jsonl"])
def test_a_later_column_that_a_match_adds_is_not_overwritten(tmp_path, monkeypatch, target):
    monkeypatch.setattr("tutelage.serve.titles.ROWS_AT_ONCE", 2)
    rows = '{"title": "a"}\n{"title": "b"}\n{"title": "c"}\n{"title": "d", "code": "9"}\n'
    (tmp_path / "t.jsonl").write_text(rows, encoding="utf-8")
    with pytest.raises(DataError, match=r"t\.jsonl row 4 .*has a column 'code', which a match adds\. Rename it"):
        matched(tmp_path / "t.jsonl", tmp_path / target)


@pytest.mark.parametrize(
    ("target", "want"),
    [("m.csv", "nurse ?"), ("m.tsv", "nurse ?"), ("m.parquet", "nurse ?"), ("m.jsonl", "nurse \ud83d")],
)
def test_half_a_surrogate_pair_loses_no_row(tmp_path, target, want):
    rows = '{"title": "nurse \\ud83d", "deep": ["\\udfff"], "n": 0.1}\n{"title": "RN", "deep": [], "n": null}\n'
    (tmp_path / "t.jsonl").write_text(rows, encoding="utf-8")
    assert matched(tmp_path / "t.jsonl", tmp_path / target) == Summary(rows=2, known=2, truncated=0)
    found = rows_of(tmp_path / target)
    assert [row["title"] for row in found] == [want, "RN"]
    assert float(found[0]["n"]) == 0.1


@pytest.mark.parametrize("source", ["t.csv", "t.tsv", "t.jsonl"])
def test_the_types_of_what_is_added_do_not_depend_on_the_first_rows(tmp_path, monkeypatch, source):
    monkeypatch.setattr("tutelage.serve.titles.ROWS_AT_ONCE", 1)
    titles = ["", "nurse"]  # nothing is found for the first
    lines = (
        [json.dumps({"title": title}) for title in titles] if source == "t.jsonl" else ["title\tn", "\t1", "nurse\t2"]
    )
    text = "\n".join(lines).replace("\t", "," if source == "t.csv" else "\t")
    (tmp_path / source).write_text(text, encoding="utf-8")
    matched(tmp_path / source, tmp_path / "m.parquet", k=2)
    found = pq.read_table(tmp_path / "m.parquet")
    assert found.schema.field("score").type == ADDED["score"]
    assert found.schema.field("alternatives").type.value_type == ADDED["alternatives"].value_type
    assert [len(each) for each in found["alternatives"].to_pylist()] == [0, 1]


def test_rows_pass_in_batches(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("tutelage.serve.titles.ROWS_AT_ONCE", 4)
    engine = TorchEngine(tiny, "tiny")
    texts = ["nurse", "welder"]
    held = Snapshot.of([Entry(text, text, "", "", "", "") for text in texts], engine.encode(texts))
    matcher = object.__new__(Matcher)
    matcher.engine, matcher.index, matcher.threshold, matcher._calibration = engine, held, 0.999, None
    sizes = []
    encode = engine.encode
    monkeypatch.setattr(engine, "encode", lambda texts: sizes.append(len(texts)) or encode(texts))
    (tmp_path / "t.csv").write_text("title\n" + "nurse\nwelder\nwelder\n" * 3, encoding="utf-8")
    summary = match_table(lambda: matcher, tmp_path / "t.csv", tmp_path / "m.csv", progress=False)
    assert summary == Summary(rows=9, known=9, truncated=0)
    assert sizes == [2, 2, 1]


def test_a_csv_of_semicolons_is_read_by_its_header(call, place, tmp_path):
    source = tmp_path / "excel.csv"
    source.write_bytes('title;note\r\nnurse;a, b\r\n"welder; pipes";c\r\n'.encode("utf-8-sig"))
    code, _, _ = call("match", source, "--index", place, "--out", tmp_path / "out.csv")
    assert code == 0
    assert [(row["title"], row["note"]) for row in rows_of(tmp_path / "out.csv")] == [
        ("nurse", "a, b"), ("welder; pipes", "c"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"title": pa.array([b"nurse"])}, "'title' holds a bytes, where text was wanted"),
        (
            {"title": pa.array(["nurse"]), "note": pa.array(["x"]), "note ": pa.array(["y"])},
            "column 'note' stands twice",
        ),
    ],
)
def test_parquet_that_would_be_matched_or_kept_wrongly_is_refused(call, place, tmp_path, columns, said):
    table = pa.table(columns)
    pq.write_table(table.rename_columns([name.strip() for name in columns]), tmp_path / "a.parquet")
    code, _, err = call("match", tmp_path / "a.parquet", "--index", place, "--out", tmp_path / "out.parquet")
    assert (code, said in err) == (2, True), err
    assert not (tmp_path / "out.parquet").exists()


def test_what_is_longer_than_the_model_reads_is_told(call, tiny, tmp_path):
    model, place, long = tmp_path / "short", tmp_path / "labels", "x" * 40
    tiny.max_seq_length = 16
    tiny.save_pretrained(str(model))
    (tmp_path / "labels.csv").write_text(LABELS, encoding="utf-8")
    assert "longer than" not in call("index", model, tmp_path / "labels.csv", place)[2]
    (tmp_path / "titles.csv").write_text(f"title\nnurse\n{long}\n{long}\n")
    code, _, err = call("match", tmp_path / "titles.csv", "--index", place, "--out", tmp_path / "out.csv")
    assert (code, "2 titles are longer than the model reads" in err) == (0, True), err
    (tmp_path / "long.csv").write_text(f"label\nnurse\n{long}\n")
    _, _, err = call("index", model, tmp_path / "long.csv", tmp_path / "long")
    assert "1 labels are longer than the model reads" in err
    (tmp_path / "texts.csv").write_text(f"text\nnurse\n{long}\n{long}\n")
    _, out, err = call("embed", model, tmp_path / "texts.csv", tmp_path / "vectors", "--json")
    assert json.loads(out)["truncated"] == 1, "texts are embedded once"


def test_half_a_surrogate_pair_in_a_labels_code_is_told_before_anything_is_embedded(call, model, tmp_path):
    (tmp_path / "odd.jsonl").write_text('{"label": "nurse", "code": "c\\ud800"}\n')
    code, _, err = call("index", model, tmp_path / "odd.jsonl", tmp_path / "odd")
    assert (code, "row 1: 'code' holds half a surrogate pair" in err) == (2, True), err


def test_a_query_is_searched_for_in_its_canonical_form(call, place, model, monkeypatch):
    asked = []
    encode = TorchEngine.encode
    monkeypatch.setattr(
        TorchEngine, "encode", lambda self, texts, **how: asked.extend(texts) or encode(self, texts, **how)
    )
    assert call("search", model, " Ko\u0308chin ", "--index", place)[0] == 0
    assert asked == ["K\u00f6chin"]


def test_labels_of_one_code_are_one_concept_where_none_is_named(call, model, tmp_path):
    (tmp_path / "own.csv").write_text("label,code,language\nnurse,n1,en\nPfleger,n1,de\nwelder,w1,en\n")
    _, out, _ = call("index", model, tmp_path / "own.csv", tmp_path / "own")
    assert "3 labels, 2 concepts." in out


def test_an_index_finds_its_model_from_any_folder_or_says_how(call, place, model, tmp_path, monkeypatch):
    (tmp_path / "t.csv").write_text("title\nnurse\n")
    monkeypatch.chdir("/")
    code, _, err = call("match", tmp_path / "t.csv", "--index", place, "--out", tmp_path / "m.csv")
    assert code == 0
    assert "it is the score itself, as the threshold is" in err
    model.rename(tmp_path / "moved")
    code, _, err = call("match", tmp_path / "t.csv", "--index", place, "--out", tmp_path / "m.csv")
    assert (code, "which is not there now. Say where: --model." in err) == (2, True), err
    assert (
        call("match", tmp_path / "t.csv", "--index", place, "--out", tmp_path / "m.csv", "--model", tmp_path / "moved")[
            0
        ]
        == 0
    )


def test_a_place_that_cannot_be_is_one_line(call, place, model, tmp_path):
    (tmp_path / "file").touch()
    code, _, err = call("index", model, tmp_path / "labels.csv", tmp_path / "file" / "index")
    assert (code, err.strip().splitlines()[-1]) == (
        2,
        f"NotADirectoryError: {tmp_path / 'file' / 'index'}: Not a directory.",
    )
