"""Training sets of job titles as files: TalentCLEF's rule, whole or not at all, and read back as they were drawn."""

import json
from collections import Counter
from math import comb

import pytest

from tutelage.errors import ConfigError, DataError
from tutelage.records import job_titles
from tutelage.records.attributions import ATTRIBUTIONS, TERMS, origins
from tutelage.records.data_folder import SAMPLE
from tutelage.records.job_titles import JobTitles, job_title_sets, write_job_titles
from tutelage.records.pairs import read_pairs
from tutelage.records.taxonomy import concepts, labels


def rows_of(folder, name):
    return list(read_pairs(folder / f"{name}.jsonl"))


def unordered(rows):
    return {frozenset((row["anchor"], row["positive"])) for row in rows}


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """The sample's sets in four languages, and their manifest."""
    out = tmp_path_factory.mktemp("data") / "deep" / "sets"
    return out, write_job_titles(out, JobTitles(languages=("en", "de", "tr"), max_pairs=4))


def test_every_concept_gives_all_its_pairs_or_as_many_as_asked_sorted_by_group(sample):
    out, _ = sample
    for language in ("en", "de", "tr"):
        rows = rows_of(out, f"full_{language}")
        counts = {concept.uri: len(concept.labels) for concept in concepts(f"sample:{language}")}
        want = {uri: min(4, comb(count, 2)) for uri, count in counts.items() if count > 1}
        assert Counter(row["concept"] for row in rows) == want
        assert [row["group"] for row in rows] == sorted(row["group"] for row in rows)
        assert len(unordered(rows)) == len(rows)
        known = {(label.text, label.concept, label.group, label.language) for label in labels(f"sample:{language}")}
        for row in rows:
            place = row["concept"], row["group"], row["language"]
            assert {(row["anchor"], *place), (row["positive"], *place)} <= known


def test_the_mix_pairs_languages_and_nothing_within_one(sample):
    out, _ = sample
    languages = {(label.text, label.concept): set() for label in labels("sample:en,de,tr")}
    for label in labels("sample:en,de,tr"):
        languages[label.text, label.concept].add(label.language)
    rows = rows_of(out, "mix")
    assert max(Counter(row["concept"] for row in rows).values()) == 7
    for row in rows:
        for side, language in zip(("anchor", "positive"), row["language"].split("-"), strict=True):
            assert language in languages[row[side], row["concept"]]
    pairs = {frozenset(row["language"].split("-")) for row in rows}
    assert pairs == {frozenset(pair) for pair in (("en", "de"), ("en", "tr"), ("de", "tr"))}
    assert [row["group"] for row in rows] == sorted(row["group"] for row in rows)


def test_the_manifest_tells_rule_counts_and_terms(sample):
    out, manifest = sample
    assert json.loads((out / "manifest.json").read_text(encoding="utf-8")) == manifest
    assert {path.name for path in out.iterdir()} == {"manifest.json", *(s["file"] for s in manifest["sets"].values())}
    name, told = next(iter(manifest["sets"].items()))
    assert origins([str(out / f"{name}.jsonl")]) == {str(out / f"{name}.jsonl"): told["source"]}
    assert list(manifest["sets"]) == ["full_en", "full_de", "full_tr", "mix"]
    for name, about in manifest["sets"].items():
        rows = rows_of(out, name)
        assert about["rows"] == len(rows)
        assert about["concepts"] == len({row["concept"] for row in rows}) == 305
        assert about["groups"] == len({row["group"] for row in rows})
        assert about["texts"] == len({row[side] for row in rows for side in ("anchor", "positive")})
    assert manifest["sets"]["mix"]["source"] == "sample:en sample:de sample:tr"
    assert (manifest["sets"]["full_de"]["source"], manifest["sets"]["full_de"]["max_pairs"]) == ("sample:de", 4)
    assert (manifest["attributions"], manifest["terms"]) == ([], [TERMS["sample"]])


def test_the_seed_decides(tmp_path):
    one, again, other = (job_title_sets(JobTitles(("en", "de"), seed=seed)) for seed in (1, 1, 2))
    assert [each.rows.to_dict() for each in one.values()] == [each.rows.to_dict() for each in again.values()]
    assert one["full_en"].rows.to_dict() != other["full_en"].rows.to_dict()


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (JobTitles(("tr",)), ["full_tr"]),
        (JobTitles(("en", "de"), mix=()), ["full_en", "full_de"]),
        (JobTitles(("en", "de", "tr"), mix=("de", "tr")), ["full_en", "full_de", "full_tr", "mix"]),
    ],
)
def test_a_mix_is_of_the_languages_asked_for(wanted, names):
    sets = job_title_sets(wanted)
    assert list(sets) == names
    if "mix" in sets:
        assert {*sets["mix"].rows["language"]} == {"de-tr", "tr-de"}


@pytest.mark.parametrize("mix", [("en",), ("en", "en"), ("en", "tr")])
def test_a_mix_of_one_language_or_of_an_unknown_one_is_refused(mix):
    with pytest.raises(ConfigError) as fault:
        JobTitles(("en", "de"), mix=mix)
    assert str(fault.value) == f"mix of {', '.join(mix)}: wanted two or more of the languages en, de."


@pytest.fixture
def chinese(tmp_path):
    """Titles of a language that the sample lacks."""
    path = tmp_path / "my_titles.csv"
    nurse, other, *_ = concepts("sample:en")
    rows = [(nurse.uri, "护士"), (nurse.uri, "注册护士"), (other.uri, "焊工"), ("unknown", "无"), ("unknown", "没有")]
    path.write_text("conceptUri,label\n" + "".join(f"{uri},{title}\n" for uri, title in rows), encoding="utf-8")
    return path


def test_titles_of_ones_own_are_a_set_and_part_of_the_mix(tmp_path, chinese):
    manifest = write_job_titles(tmp_path / "sets", JobTitles(("en",), {"zh": chinese}))
    nurse = concepts("sample:en")[0]
    rows = {row["concept"]: row for row in rows_of(tmp_path / "sets", "full_zh")}
    assert {rows[nurse.uri][side] for side in ("anchor", "positive")} == {"护士", "注册护士"}
    assert (rows[nurse.uri]["group"], rows[nurse.uri]["language"]) == (nurse.group, "zh")
    assert rows.keys() == {nurse.uri, "unknown"}
    assert {row["concept"] for row in rows_of(tmp_path / "sets", "mix")} == {c.uri for c in concepts("sample:en")[:2]}
    assert manifest["sets"]["full_zh"]["source"] == str(chinese)
    assert manifest["sets"]["full_zh"]["groups"] == 1
    assert manifest["terms"] == [TERMS["sample"], TERMS["titles"]]


def test_titles_of_no_known_concept_are_refused(tmp_path):
    path = tmp_path / "zh.csv"
    path.write_text("conceptUri,label\nhttp://x/1,护士\n", encoding="utf-8")
    with pytest.raises(DataError) as fault:
        job_title_sets(JobTitles(("en",), {"zh": path}))
    assert str(fault.value) == (
        f"{path}: none of its 1 concepts is known (first: 'http://x/1'). Wanted conceptUri as in ESCO's own files: "
        f"'{concepts('sample:en')[0].uri}'."
    )


def test_official_files_are_taken_as_they_are_and_a_redrawn_one_is_none(tmp_path):
    (tmp_path / "esco").mkdir()
    (tmp_path / "talentclef25/train").mkdir(parents=True)
    for language in ("en", "de"):
        (tmp_path / f"esco/{language}.csv").write_bytes((SAMPLE / f"{language}.csv").read_bytes())
    row = "isco/C2221\toccupation/n\t{}\t{}\n"
    (tmp_path / "talentclef25/train/de.tsv").write_text(row.format("Pfleger", "Pflegerin"))
    (tmp_path / "talentclef25/train/en.resampled.tsv").write_text(row.format("nurse", "RN"))
    wanted = JobTitles(("en", "de"), official=True)
    manifest = write_job_titles(tmp_path / "sets", wanted, tmp_path)
    assert rows_of(tmp_path / "sets", "full_de") == [
        {"anchor": "Pfleger", "positive": "Pflegerin", "concept": "occupation/n", "group": "2221", "language": "de"}
    ]
    about = manifest["sets"]
    assert (about["full_de"]["source"], about["full_de"]["max_pairs"]) == ("talentclef:de", None)
    assert (about["full_en"]["source"], about["full_en"]["max_pairs"]) == ("esco:en", 10)
    assert manifest["attributions"] == [ATTRIBUTIONS["esco"], ATTRIBUTIONS["talentclef"]]
    assert manifest["terms"] == [TERMS["esco"], TERMS["talentclef"]]
    assert job_title_sets(JobTitles(("en", "de")), tmp_path)["full_de"].source == "esco:de"


SMALL = JobTitles(("tr",), max_pairs=1)


def refused(out, **options):
    before = {path: path.is_file() and path.read_bytes() for path in out.parent.rglob("*")}
    with pytest.raises(ConfigError) as fault:
        write_job_titles(out, SMALL, **options)
    assert {path: path.is_file() and path.read_bytes() for path in out.parent.rglob("*")} == before
    return str(fault.value)


def test_sets_are_replaced_only_if_told(tmp_path):
    out = tmp_path / "sets"
    write_job_titles(out, JobTitles(("tr", "en"), max_pairs=2))
    assert refused(out) == (f"output {out}: holds sets already. Give --overwrite to replace them, or another folder.")
    write_job_titles(out, SMALL, overwrite=True)
    assert {path.name for path in out.iterdir()} == {"full_tr.jsonl", "manifest.json"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_not_ours_is_never_replaced(tmp_path, overwrite):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    (tmp_path / "file").write_text("")
    assert refused(tmp_path / "mine", overwrite=overwrite) == (
        f"output {tmp_path / 'mine'}: holds something other than such sets (thesis.txt). Give another folder."
    )
    assert refused(tmp_path / "file", overwrite=overwrite) == (
        f"output {tmp_path / 'file'}: a file, where a folder was wanted. Give another."
    )


@pytest.mark.parametrize("manifest", ['{"files": {}}', "[]", "not JSON", None])
def test_a_manifest_alone_makes_no_folder_ours(tmp_path, manifest):
    """Stores and checkpoints have one too; and a file of another's beside our sets is not ours."""
    out = tmp_path / "sets"
    write_job_titles(out, SMALL)
    if manifest is None:
        (out / "thesis.txt").write_text("years")
    else:
        (out / "manifest.json").write_text(manifest)
    before = {path.name for path in out.iterdir()}
    assert "holds something other than such sets" in refused(out, overwrite=True)
    assert {path.name for path in out.iterdir()} == before


def test_a_writing_that_is_cut_off_leaves_the_sets_of_before(tmp_path, monkeypatch):
    out = tmp_path / "sets"
    write_job_titles(out, SMALL)
    before = (out / "full_tr.jsonl").read_bytes()
    monkeypatch.setattr(job_titles.json, "dumps", lambda *args, **kwargs: 1 / 0)
    for folder in (out, tmp_path / "new"):
        with pytest.raises(ZeroDivisionError):
            write_job_titles(folder, JobTitles(("tr",)), overwrite=True)
    monkeypatch.undo()
    assert (out / "full_tr.jsonl").read_bytes() == before
    assert not (tmp_path / "new").exists()
    write_job_titles(tmp_path / "new", SMALL)
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")} == {"sets", "new"}


def test_real_sets_have_the_official_number_of_pairs_of_every_occupation(data):
    drawn = job_title_sets(JobTitles(), data)
    assert {name: len(each.rows) for name, each in drawn.items() if name != "mix"} == {
        "full_en": 28880,
        "full_de": 23023,
        "full_es": 20724,
    }
    assert 20_000 < len(drawn["mix"].rows) < 23_000
    official = job_title_sets(JobTitles(official=True, mix=()), data)
    assert [each.source for each in official.values()] == ["esco:en", "talentclef:de", "talentclef:es"]
    for name in ("full_de", "full_es"):
        assert Counter(drawn[name].rows["concept"]) == Counter(official[name].rows["concept"])
