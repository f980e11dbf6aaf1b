"""From a recipe's sources to sets: across languages, by name, optional, from files that say what a row belongs to."""

import re
from collections import Counter

import pytest
from datasets import Dataset

from tutelage.errors import ConfigError, DataError
from tutelage.records.job_titles import JobTitles, write_job_titles
from tutelage.records.judged import retrieval_set
from tutelage.records.splits import comparable, is_held_out
from tutelage.records.taxonomy import concepts, labels
from tutelage.sampling import ConceptBatches
from tutelage.train.audit import audit
from tutelage.train.build import one_or_several, refuse_empty_epoch, text_columns, texts_of, texts_only, training_data
from tutelage.train.recipe import DataRecipe, load_recipe

SHARE = 0.3


def built(*train, sets=(), **options):
    return one_or_several(training_data(DataRecipe(train=train, held_out=SHARE, **options), None, list(sets)))


def folded(texts):
    return {comparable(text) for text in texts}


def hidden(languages):
    return folded(label.text for label in labels(f"sample:{languages}") if is_held_out(label.concept, SHARE))


def test_a_mix_pairs_languages_without_held_out_concepts_and_secret_texts():
    """As `sample:de,tr` does: what a set holds leaves in either language, planted texts too."""
    held_out = retrieval_set("sample-mix:de-tr", share=SHARE)
    planted = {"Krankenschwester", "hemşire"}
    held_out.corpus.update({text: text for text in planted})
    mixed = built({"source": "sample-mix:de,tr", "max_pairs": 1000}, sets=[held_out])
    assert {*mixed["language"]} == {"de-tr", "tr-de"}
    assert not any(is_held_out(concept, SHARE) for concept in mixed["concept"])
    assert not folded(texts_of(mixed)) & (hidden("de,tr") | folded(planted))
    pooled = built({"source": "sample:de,tr", "max_pairs": 1000}, sets=[held_out])
    pairs = [
        {frozenset(pair) for pair in zip(rows["anchor"], rows["positive"], strict=True)} for rows in (pooled, mixed)
    ]
    across = [language for language in pooled["language"] if "-" in language]
    assert pairs[1] < pairs[0]
    assert len(mixed) >= len(across) > 1000
    assert len(built({"source": "sample-mix:de,tr", "max_pairs": 2}, seed=1)) < len(mixed)


def test_a_source_is_a_set_under_its_name():
    train = built({"source": "sample:en", "name": "full_en"}, "sample:de", "sample:en")
    assert list(train) == ["full_en", "sample:de", "sample:en"]


@pytest.fixture
def empty(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.mark.parametrize("absent", ["esco:en", "esco-mix:en,de", "talentclef:zh", "no/such/file.csv", "sample:zh"])
def test_an_optional_source_that_is_not_at_hand_is_left_out(absent, empty):
    data = DataRecipe(train=("sample:tr", {"source": absent, "optional": True}))
    for folder in (None, empty):
        train = training_data(data, folder, [])
        assert list(train) == ["sample:tr"]
        with pytest.raises((ConfigError, DataError)):
            training_data(DataRecipe(train=("sample:tr", absent)), folder, [])


def test_sources_that_are_all_optional_and_not_at_hand_are_an_error():
    with pytest.raises(ConfigError) as fault:
        built({"source": "esco:en", "optional": True}, {"source": "none.csv", "optional": True})
    assert str(fault.value) == (
        "data.train: every source is optional, and the data of none is at hand. Get that of one."
    )


def test_an_optional_source_with_a_fault_in_it_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("anchor,positive\na,\n")
    with pytest.raises(DataError, match="'positive' is empty"):
        built("sample:en", {"source": str(tmp_path / "t.csv"), "optional": True})


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Written sets of the sample with every pair there is."""
    out = tmp_path_factory.mktemp("written") / "sets"
    write_job_titles(out, JobTitles(("de", "tr"), max_pairs=1000, mix_pairs=1000))
    return out


@pytest.mark.parametrize(("name", "source"), [("full_de", "sample:de"), ("mix", "sample-mix:de,tr")])
def test_a_written_set_is_split_like_the_source_that_it_was_drawn_from(sets, name, source):
    held_out = retrieval_set("sample-heldout:de", share=SHARE)
    held_out.corpus["planted"] = "Krankenschwester"
    read, drawn = (
        built(each, sets=[held_out])
        for each in ({"source": str(sets / f"{name}.jsonl")}, {"source": source, "max_pairs": 1000})
    )
    assert read.column_names == drawn.column_names
    one, other = (
        {(frozenset((row["anchor"], row["positive"])), row["concept"], row["group"]) for row in rows}
        for rows in (read, drawn)
    )
    assert one == other
    assert not folded(texts_of(read)) & {*hidden("de"), "krankenschwester"}


def test_a_written_set_brings_concepts_to_the_sampler_and_languages_to_the_audit(tiny, tmp_path):
    tiny.save_pretrained(str(tmp_path / "start"))
    write_job_titles(tmp_path / "sets", JobTitles(("de", "tr"), max_pairs=1, mix_pairs=1))
    names = [f"model.name={tmp_path / 'start'}", f"guide.name={tmp_path / 'start'}", f"output={tmp_path / 'run'}"]
    train = [{"source": str(tmp_path / "sets" / f"{name}.jsonl"), "name": name} for name in ("full_de", "mix")]
    recipe = load_recipe("demo_sample", [*names, f"data.train={train}", "sampling.batch_size=32"])
    rows = training_data(recipe.data, None, [])
    refuse_empty_epoch(recipe, rows)
    for each in rows.values():
        for batch in ConceptBatches(each, 32, drop_last=False):
            assert len({*each[batch]["concept"]}) == len(batch)
    found = audit(recipe, batches=1, progress=False)
    assert list(found["sets"]) == ["full_de", "mix"]
    assert {row["language_anchor"] for row in found["near"]} <= {"de", "tr", "de tr"}
    assert {row["language_candidate"] for row in found["near"]} >= {"de", "tr"}
    assert all(row["concept_anchor"].startswith("sample:occupation") for row in found["near"])


def test_identity_is_never_read_as_text():
    rows = Dataset.from_dict({name: ["x"] for name in ("anchor", "positive", "concept", "group", "language")})
    assert text_columns(rows) == texts_only({"": rows})[""].column_names == ["anchor", "positive"]
    assert list(texts_of(rows)) == ["x", "x"]


def test_an_accepted_pair_joins_a_written_set_and_no_text_of_a_held_out_concept_does(sets, tmp_path):
    """Whether or not any set asks for that concept."""
    source = str(sets / "full_de.jsonl")
    known = built(source)["anchor"][0]
    secret = next(label.text for label in labels("sample:de") if is_held_out(label.concept, SHARE))
    path = tmp_path / "judged.csv"
    path.write_text(f'anchor,candidate,verdict\n"{known}",a new title,positive\n"{known}","{secret}",positive\n')
    train = built(source, verdicts=[path])
    assert train["positive"][-1] == "a new title"
    assert train["concept"][-1] == train["concept"][0]
    assert not re.search(re.escape(secret), " ".join(train["positive"][-2:]))


def test_real_mixes_share_nothing_with_what_is_held_out(data):
    held_out = retrieval_set("esco-mix:de-es", data)
    recipe = DataRecipe(train=({"source": "esco-mix:de,es", "max_pairs": 5},))
    (train,) = training_data(recipe, data, [held_out]).values()
    assert len(train) > 10_000
    assert not folded(texts_of(train)) & folded([*held_out.queries.values(), *held_out.corpus.values()])
    assert {*train["language"]} == {"de-es", "es-de"}


def write_esco(folder, language, *rows):
    (folder / "esco").mkdir()
    table = "\n".join(["conceptUri,iscoGroup,preferredLabel,altLabels", *rows])
    (folder / "esco" / f"{language}.csv").write_text(table + "\n", encoding="utf-8")


def test_labels_stand_beside_the_first_sentence_of_their_own_concept_and_language():
    found = built({"source": "sample-descriptions:en", "max_pairs": 2})
    known = {concept.uri: concept for concept in concepts("sample:en")}
    assert len(found) > 200
    assert {*found["language"]} == {"en"}
    counts = Counter(found["concept"])
    assert max(counts.values()) == 2
    for anchor, positive, concept in zip(found["anchor"], found["positive"], found["concept"], strict=True):
        assert anchor in known[concept].labels
        assert known[concept].description.startswith(positive)
        assert positive
    assert not any(is_held_out(concept, SHARE) for concept in found["concept"])


def test_a_taxonomy_without_descriptions_makes_an_empty_set_which_is_refused(tmp_path):
    write_esco(tmp_path, "en", *(f"c{i},2221,nurse {i},carer {i}" for i in range(8)))
    with pytest.raises(ConfigError, match=r"'esco-descriptions:en' has no pair beside the held-out concepts"):
        training_data(DataRecipe(train=["esco-descriptions:en"], held_out=SHARE), tmp_path, [])


def test_forms_apart_are_labels_of_their_own(tmp_path):
    write_esco(tmp_path, "de", *(f"c{i},2221,Koch {i}/Köchin {i},Küchenchef {i}" for i in range(8)))

    def texts(**options):
        data = DataRecipe(train=[{"source": "esco:de", **options}], held_out=0.0)
        return {*texts_of(training_data(data, tmp_path, []))}

    assert "Koch 1/Köchin 1" in texts()
    assert {"Koch 1", "Köchin 1"} < texts(forms_apart=True)
    assert not any("/" in text for text in texts(forms_apart=True))


def test_a_form_that_stands_alone_under_a_held_out_concept_stays_hidden(tmp_path):
    """Koch/Köchin comes apart before the split, so neither form of a held-out label can be learned elsewhere."""
    out = next(f"c{i}" for i in range(100) if is_held_out(f"c{i}", SHARE))
    kept = [f"c{i}" for i in range(100) if not is_held_out(f"c{i}", SHARE)][:4]
    rows = [f"{uri},5120,Küchenhilfe {uri},Köchin" for uri in kept[:3]]
    write_esco(tmp_path, "de", f"{out},5120,Koch/Köchin,Beikoch", *rows, f"{kept[3]},5131,Kellner,Ober")
    data = DataRecipe(train=[{"source": "esco:de", "forms_apart": True}], held_out=SHARE)
    assert "Köchin" not in {*texts_of(training_data(data, tmp_path, []))}
