"""Data by name: what each name means, and what is said where there is nothing of that name."""

import gzip
import shutil

import pytest

from tutelage.errors import ConfigError, DataError
from tutelage.records import judged, sources, taxonomy
from tutelage.records.data_folder import HOW_TO_GET_DATA, SAMPLE, data_folder, talentclef_files
from tutelage.records.splits import comparable, split_by_concept


@pytest.fixture(autouse=True)
def _no_data_folder_is_named(request, monkeypatch):
    if "data" not in request.fixturenames:
        monkeypatch.delenv("TUTELAGE_DATA", raising=False)


@pytest.fixture
def folder(tmp_path):
    """A folder laid out like real data, filled from the sample."""
    for part in ("esco", "talentclef25/train", "talentclef25/validation/en"):
        (tmp_path / part).mkdir(parents=True)
    shutil.copy(SAMPLE / "en.csv", tmp_path / "esco/en.csv")
    (tmp_path / "esco/de.csv.gz").write_bytes(gzip.compress((SAMPLE / "de.csv").read_bytes()))
    (tmp_path / "talentclef25/train/es.tsv").write_text("isco/C2221\toccupation/n\tenfermera\tenfermero\n")
    (tmp_path / "talentclef25/train/en.resampled.tsv").write_text("isco/C2221\toccupation/n\tnurse\tRN\n")
    home = tmp_path / "talentclef25/validation/en"
    (home / "queries").write_text("q_id\tjobtitle\nq1\tnurse\n")
    (home / "corpus_elements").write_text("c_id\tjobtitle\nc1\tRN\nc2\twelder\n")
    (home / "qrels.tsv").write_text("q1\t0\tc1\t1\n")
    return tmp_path


def refused(kind, function, *args):
    with pytest.raises(kind) as fault:
        function(*args)
    return str(fault.value)


def test_the_data_folder_is_the_one_given_else_the_variable(tmp_path, monkeypatch):
    assert data_folder() is None
    monkeypatch.setenv("TUTELAGE_DATA", str(SAMPLE))
    assert data_folder() == SAMPLE
    assert data_folder(tmp_path) == tmp_path


def test_a_data_folder_that_does_not_exist_is_refused(tmp_path):
    path = tmp_path / "nothing"
    assert refused(ConfigError, data_folder, path) == f"data folder {path}: no such folder. {HOW_TO_GET_DATA}"


def test_languages_stand_one_after_another():
    found = taxonomy.concepts("sample:tr,en")
    assert [concept.language for concept in found] == ["tr"] * 305 + ["en"] * 305


def test_esco_is_read_plain_and_gzipped(folder):
    assert [c.language for c in taxonomy.concepts("esco:en,de", folder)] == ["en"] * 305 + ["de"] * 305


@pytest.mark.parametrize("name", ["sample", "sample:", "isco:en", "esco"])
def test_a_name_that_means_no_labels_is_refused(name):
    assert refused(ConfigError, taxonomy.concepts, name) == (
        f"'{name}': unknown labels. Wanted sample:LANGUAGE or esco:LANGUAGE, as in esco:en,de."
    )


def test_a_language_that_the_sample_lacks_is_refused_with_those_it_has():
    assert refused(ConfigError, taxonomy.concepts, "sample:en,fr") == (
        f"'sample:en,fr': no labels in 'fr'. {SAMPLE} has: de, en, es, tr."
    )


def test_a_language_that_the_folder_lacks_is_refused_with_those_it_has(folder):
    assert refused(ConfigError, taxonomy.concepts, "esco:fr", folder) == (
        f"'esco:fr': no labels in 'fr'. {folder / 'esco'} has: de, en. {HOW_TO_GET_DATA}"
    )


def test_a_folder_without_esco_is_refused(tmp_path):
    assert refused(ConfigError, taxonomy.concepts, "esco:en", tmp_path) == (
        f"'esco:en': no labels in 'en'. {tmp_path / 'esco'} has: no CSV file. {HOW_TO_GET_DATA}"
    )


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (taxonomy.labels, "esco:en"),
        (sources.pairs, "talentclef:es"),
        (judged.retrieval_set, "talentclef:en"),
        (judged.retrieval_set, "esco-heldout:en"),
    ],
)
def test_real_data_without_a_folder_is_refused(function, name):
    named = name.replace("-heldout", "")
    assert refused(ConfigError, function, name) == (
        f"'{named}' needs real data and no data folder is named. {HOW_TO_GET_DATA}"
    )


def test_a_file_of_labels_gives_each_line_once(tmp_path):
    path = tmp_path / "titles.txt"
    path.write_text("nurse\n\n  welder\nnurse\n")
    assert [(label.text, label.concept) for label in taxonomy.labels(str(path))] == [
        ("nurse", "nurse"),
        ("welder", "welder"),
    ]


def test_a_file_without_labels_is_refused(tmp_path):
    path = tmp_path / "titles.txt"
    path.write_text(" \n")
    assert refused(DataError, taxonomy.labels, str(path)) == f"{path}: no label in it. Wanted one label a line."


@pytest.mark.parametrize(("name", "anchor"), [("talentclef:es", "enfermera"), ("talentclef:en", "nurse")])
def test_talentclef_pairs_are_the_official_or_the_redrawn_file(folder, name, anchor):
    assert list(sources.pairs(name, folder)["anchor"]) == [anchor]


def test_talentclef_pairs_that_are_not_there_are_refused(folder):
    home = folder / "talentclef25" / "train"
    assert refused(ConfigError, sources.pairs, "talentclef:zh", folder) == (
        f"'talentclef:zh': {home} has no zh.tsv. {HOW_TO_GET_DATA}"
    )


def test_talentclef_pairs_tell_their_language(folder):
    assert sources.pairs("talentclef:es", folder)["language"] == ["es"]


def test_the_organisers_file_goes_before_one_that_was_drawn_anew(folder):
    home = folder / "talentclef25/train"
    (home / "taskA_training_en.tsv").write_text("isco/C2221\toccupation/n\tnurse\tregistered nurse\n")
    names = [path.name for path in talentclef_files("en", folder)]
    assert names == ["taskA_training_en.tsv", "en.resampled.tsv"]
    assert list(sources.pairs("talentclef:en", folder)["positive"]) == ["registered nurse"]


@pytest.mark.parametrize(
    ("name", "labels", "across"),
    [
        ("esco:en,de", "esco:en,de", False),
        ("sample-mix:en,tr", "sample:en,tr", True),
        ("talentclef:en", "", False),
        ("my-mix:en,de", "", True),
        ("data/sample.csv", "", False),
    ],
)
def test_some_sources_of_pairs_are_drawn_from_labels(name, labels, across):
    assert sources.label_source(name) == labels
    assert sources.across_languages(name) == across


@pytest.mark.parametrize("name", ["esco-mix:en", "esco-mix:", "esco-mix:en-de", "esco-mix:en,en"])
def test_pairs_across_languages_want_two(name):
    assert refused(ConfigError, sources.label_source, name) == (
        f"'{name}': wanted two languages or more that pair with each other, as in esco-mix:en,de."
    )


@pytest.mark.parametrize(
    "content",
    ["conceptUri,preferredLabel,altLabels\n{uri},护士,注册护士\n", "conceptUri,label\n{uri},护士\n{uri},注册护士\n"],
    ids=["as ESCO", "one a row"],
)
def test_translated_titles_of_ones_own_are_a_language_with_the_english_groups(folder, content):
    nurse = next(concept for concept in taxonomy.concepts("esco:en", folder) if "registered nurse" in concept.labels)
    (folder / "esco/zh.csv").write_text(
        content.format(uri=nurse.uri) + "unknown,焊工" + "," * content.count("alt") + "\n"
    )
    found = taxonomy.labels("esco:zh", folder)
    assert [tuple(label) for label in found] == [
        ("护士", nurse.uri, nurse.group, "zh"),
        ("注册护士", nurse.uri, nurse.group, "zh"),
        ("焊工", "unknown", "", "zh"),
    ]
    assert nurse.group == "2221"


def test_any_other_source_of_pairs_is_a_table(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("q,a\nnurse,RN\n")
    assert list(sources.pairs(str(path), None, ("q", "a"))) == [{"anchor": "nurse", "positive": "RN"}]


def test_a_talentclef_set_is_called_by_its_name(folder):
    found = judged.retrieval_set("talentclef:en", folder)
    assert found.name == "talentclef:en"
    assert found.relevance == {"q1": {"c1"}}
    assert not found.exclude_self


def test_a_talentclef_set_that_is_not_there_is_refused(folder):
    home = folder / "talentclef25" / "validation" / "zh"
    assert refused(ConfigError, judged.retrieval_set, "talentclef:zh", folder) == (
        f"'talentclef:zh': no folder {home}. {HOW_TO_GET_DATA}"
    )


def test_a_set_of_ones_own_is_its_path(folder):
    assert judged.retrieval_set(str(folder / "talentclef25/validation/en")).queries == {"q1": "nurse"}


@pytest.mark.parametrize("name", ["no/such/set", "sample:en", "held-out"])
def test_a_name_that_means_no_set_is_refused_with_those_that_do(name):
    assert refused(ConfigError, judged.retrieval_set, name) == (
        f"'{name}': neither a set by name nor a folder. Names: sample-heldout:LANGUAGE, esco-heldout:LANGUAGE, "
        "esco-family:LANGUAGE, sample-mix:LANGUAGE-LANGUAGE, esco-mix:LANGUAGE-LANGUAGE, talentclef:LANGUAGE, "
        "tquad:SPLIT, mteb:TASK; a folder or zip holds queries, corpus_elements and qrels.tsv."
    )


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_held_out_sample_is_the_held_out_side_of_the_split(share):
    found = judged.retrieval_set("sample-heldout:en", share=share)
    train, held_out = split_by_concept(taxonomy.labels("sample:en"), share)
    assert set(found.corpus.values()) == {label.text for label in held_out}
    assert not {comparable(label.text) for label in train} & set(map(comparable, found.corpus.values()))
    assert found.exclude_self


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_mix_asks_held_out_labels_of_one_language_for_those_of_another(share):
    found = judged.retrieval_set("sample-mix:en-de", share=share)
    held_out = {
        language: split_by_concept(taxonomy.labels(f"sample:{language}"), share)[1] for language in ("en", "de")
    }
    assert set(found.corpus.values()) == {label.text for label in held_out["de"]}
    assert set(found.queries.values()) == {label.text for label in held_out["en"]}  # the sample has every concept twice
    concepts = {language: {} for language in held_out}
    for language, rows in held_out.items():
        for label in rows:
            concepts[language].setdefault(label.text, set()).add(label.concept)
    for query, right in found.relevance.items():
        asked = concepts["en"][found.queries[query]]
        assert right == {key for key, text in found.corpus.items() if concepts["de"][text] & asked}
        assert found.cluster[query] == min(asked)


def test_a_mix_follows_the_seed_of_the_split():
    one, other = (judged.retrieval_set("sample-mix:en-de", seed=seed) for seed in (0, 1))
    assert one.queries.keys() != other.queries.keys()


@pytest.mark.parametrize("name", ["sample-mix:en", "sample-mix:en-", "esco-mix:en-de-es"])
def test_a_mix_without_two_languages_is_refused(name):
    kind = name.partition(":")[0]
    assert refused(ConfigError, judged.retrieval_set, name) == (
        f"'{name}': wanted two languages, of queries and of corpus, as in {kind}:en-de."
    )


def test_a_mix_of_a_language_that_is_not_there_is_refused():
    assert refused(ConfigError, judged.retrieval_set, "sample-mix:en-fr") == (
        f"'sample:fr': no labels in 'fr'. {SAMPLE} has: de, en, es, tr."
    )


def test_every_set_of_a_data_folder_is_asked_for_by_naming_the_folder(folder):
    assert judged.named_sets([str(folder)]) == (["esco-heldout:en", "talentclef:en"], folder)


def test_sets_by_name_are_taken_from_the_folder_named_beside_them(folder):
    assert judged.named_sets(["talentclef:en", str(folder)]) == (["talentclef:en"], folder)


def test_without_data_the_held_out_sample_is_asked_for():
    assert judged.named_sets([]) == (["sample-heldout:en"], None)


@pytest.mark.parametrize(("language", "count"), [("es", 20724), ("de", 23023), ("en", 28880)])
def test_real_pairs_by_name(data, language, count):
    assert sources.pairs(f"talentclef:{language}", data).num_rows == count


@pytest.mark.parametrize(("language", "count"), [("en", 3039), ("es", 3039), ("fr", 2942), ("sv", 3007)])
def test_real_concepts_by_name(data, language, count):
    assert len(taxonomy.concepts(f"esco:{language}", data)) == count


@pytest.mark.parametrize(
    ("language", "queries", "corpus", "qrels", "most"),
    [
        ("en", 105, 2619, 2420, 53),
        ("es", 185, 4661, 7579, 138),
        ("de", 203, 4729, 8417, 120),
        ("zh", 103, 2513, 2319, 73),
    ],
)
def test_real_validation_sets_by_name(data, language, queries, corpus, qrels, most):
    found = judged.retrieval_set(f"talentclef:{language}", data)
    counts = [len(right) for right in found.relevance.values()]
    assert (len(found.queries), len(found.corpus), sum(counts), max(counts)) == (queries, corpus, qrels, most)
    assert found.relevance.keys() == found.queries.keys()


def test_the_real_held_out_set_shares_nothing_with_training(data):
    train, held_out = split_by_concept(taxonomy.labels("esco:en", data))
    found = judged.retrieval_set("esco-heldout:en", data)
    assert 250 < len({label.concept for label in held_out}) < 360
    assert set(map(comparable, found.corpus.values())).isdisjoint(comparable(label.text) for label in train)


def test_everything_real_is_found(data):
    names, _ = judged.named_sets([str(data)])
    assert names == ["esco-heldout:en", "talentclef:de", "talentclef:en", "talentclef:es", "talentclef:zh"]


@pytest.mark.parametrize("languages", ["en-es", "de-en"])
def test_the_real_mix_shares_no_text_with_training_on_either_language(data, languages):
    found = judged.retrieval_set(f"esco-mix:{languages}", data)
    assert len(found.corpus) > 2000 or languages != "de-en"
    for language, texts in zip(languages.split("-"), (found.queries, found.corpus), strict=True):
        train, _ = split_by_concept(taxonomy.labels(f"esco:{language}", data))
        assert set(map(comparable, texts.values())).isdisjoint(comparable(label.text) for label in train)
    assert min(map(len, found.relevance.values())) >= 1
