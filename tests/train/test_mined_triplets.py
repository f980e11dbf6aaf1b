"""Mined triplets: a file that says how it was made, holds no right answer, and is a source for the next recipe."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tutelage.encode.models import MINILM
from tutelage.errors import ConfigError, DataError
from tutelage.guide.mining import MiningRules
from tutelage.guide.seen_pairs import Pair
from tutelage.records.attributions import origins
from tutelage.records.pairs import IDENTITY_COLUMNS
from tutelage.records.taxonomy import labels
from tutelage.records.texts import text_ids
from tutelage.train.build import guide_store, texts_of, training_data
from tutelage.train.judging import described
from tutelage.train.mining import METADATA, _concepts, mine_triplets
from tutelage.train.recipe import DataRecipe, load_recipe
from tutelage.train.run import prepare


@pytest.fixture
def guide(tiny, tmp_path):
    """Settings of a recipe over the tiny model."""
    tiny.save_pretrained(str(tmp_path / "start"))
    return [f"model.name={tmp_path / 'start'}", f"guide.name={tmp_path / 'start'}", f"output={tmp_path / 'run'}"]


def mined(source, path, **options):
    about = mine_triplets(source, path, progress=False, **options)
    return about, pq.read_table(path)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """The sample's triplets under its real guide, mined twice into one folder."""
    folder = tmp_path_factory.mktemp("mined")
    return folder, *(
        mined("demo_sample", folder / name, overrides=[f"output={folder}/run"]) for name in ("a.parquet", "b.parquet")
    )


def test_no_negative_is_of_the_anchors_concept_or_text(sample):
    _, (about, table), _ = sample
    rows = table.to_pylist()
    concepts = {}
    for label in labels("sample:en"):
        concepts.setdefault(label.text, set()).add(label.concept)
    assert len(rows) > 1000
    assert all(not concepts[row["anchor"]] & concepts[row["negative"]] for row in rows)
    assert all(concepts[row["anchor"]] & concepts[row["positive"]] for row in rows)
    assert all(row["anchor"] != row["negative"] for row in rows)
    assert all({row["concept"]} == concepts[row["anchor"]] & concepts[row["positive"]] for row in rows)
    assert all({row["concept_negative"]} == concepts[row["negative"]] for row in rows)
    assert {row["language"] for row in rows} == {"en"}
    groups = {label.concept: label.group for label in labels("sample:en")}
    assert all(row["group"] == groups[row["concept"]] for row in rows)
    assert all(row["negative_score"] <= 0.95 * row["positive_score"] + 1e-6 for row in rows)
    assert json.loads(table.schema.metadata[METADATA]) == about
    assert about["settings"]["relative_margin"] == 0.05
    assert about["triplets"] == len(rows)
    assert about["model"] == MINILM
    assert len(about["fingerprint"]) == 12


def test_of_several_guides_the_nearest_finds_negatives(guide, tmp_path):
    (tmp_path / "pairs.csv").write_text(
        "anchor,positive\n" + "".join(f"job {i},task {i * 37 % 50}\n" for i in range(40))
    )
    data = [f"data.train=[{{source: '{tmp_path / 'pairs.csv'}'}}]", "sampling={batch_size: 8}"]

    def settings(name):
        return [*guide, *data, f"guide={{name: {name}, dtype: float32}}"]

    rules = MiningRules(num_negatives=1, relative_margin=None)  # to random weights all texts are near
    both = [*settings("[tfidf, start]"), "guide.combine=max"]
    about, table = mined("demo_sample", tmp_path / "t.parquet", overrides=both, rules=rules)
    scores = []
    for name in ("tfidf", "start"):
        alone = load_recipe("demo_sample", settings(name))
        store = guide_store(alone, texts_of(prepare(alone, None).train), tmp_path / f"by-{name}", overwrite=False)
        sides = [store.vectors(text_ids(table.column(side).to_pylist())) for side in ("anchor", "negative")]
        scores.append((sides[0] * sides[1]).sum(1))
    assert about["model"] == "max of tfidf, start"
    assert len(table) == 40
    torch.testing.assert_close(torch.maximum(*scores), torch.tensor(table.column("negative_score").to_pylist()))


def test_the_file_is_a_source_of_triplets_and_says_the_same_every_time(sample):
    folder, (_, table), (_, again) = sample
    assert again.equals(table)
    source = f"data.train=[{{source: '{folder / 'a.parquet'}', columns: [anchor, positive, negative]}}]"
    (rows,) = training_data(load_recipe("demo_sample", [source]).data, None, []).values()
    assert rows.column_names == ["anchor", "positive", "negative", *IDENTITY_COLUMNS]
    for name in rows.column_names:
        assert rows[name][:] == table.column(name).to_pylist()


def test_it_names_what_is_owed_to_whom(sample):
    folder, (about, _), _ = sample
    assert about["sources"] == ["sample:en"]
    assert origins([f"{folder}/a.parquet", "esco:en"]) == {f"{folder}/a.parquet": "sample:en"}


def test_a_table_of_pairs_is_mined_by_the_model_that_is_named(tmp_path):
    pairs = [("nurse", "registered nurse"), ("carer", "care assistant"), ("welder", "arc welder"), ("cook", "chef")]
    (tmp_path / "pairs.csv").write_text("anchor,positive\n" + "".join(f"{a},{p}\n" for a, p in pairs))
    about, table = mined(
        str(tmp_path / "pairs.csv"), tmp_path / "t.parquet", model=MINILM, rules=MiningRules(num_negatives=1)
    )
    negative = {row["anchor"]: row["negative"] for row in table.to_pylist()}
    assert negative["nurse"] == "care assistant"
    assert about["model"] == MINILM
    assert set(table.column("concept").to_pylist()) == {""}


def test_an_optional_source_that_is_not_at_hand_is_not_missed(tmp_path):
    path = tmp_path / "mine.yaml"
    pairs = [("nurse", "registered nurse"), ("carer", "care assistant"), ("welder", "arc welder"), ("cook", "chef")]
    (tmp_path / "pairs.csv").write_text("anchor,positive\n" + "".join(f"{a},{p}\n" for a, p in pairs))
    path.write_text(
        f"output: {tmp_path}/run\nguide: {{name: null}}\nsampling: {{batch_size: 2}}\n"
        f"data: {{train: [{{source: '{tmp_path}/pairs.csv', name: own}}, {{source: 'esco:en', optional: true}}]}}\n"
        "evaluate: {sets: ['sample-heldout:tr']}\n"
    )
    _, table = mined(str(path), tmp_path / "t.parquet", rules=MiningRules(num_negatives=1))
    assert set(table.column("source").to_pylist()) == {"own"}


def test_a_mining_that_finds_nothing_writes_nothing(guide, tmp_path):
    with pytest.raises(DataError, match="no negative passed the filters"):
        mine_triplets(
            "demo_sample", tmp_path / "t.parquet", overrides=guide, rules=MiningRules(max_score=-1.0), progress=False
        )
    assert not (tmp_path / "t.parquet").exists()


def test_an_unknown_source_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        mine_triplets(str(tmp_path / "none.csv"), tmp_path / "t.parquet")
    with pytest.raises(ConfigError, match="no labels in 'xx'"):
        mine_triplets("sample:xx", tmp_path / "t.parquet")


def test_a_negative_is_not_of_its_anchors_concept(sample, tmp_path):
    """Mined again from its own triplets, and audited: a hard negative stays allowed, and is of no concept there."""
    folder, (_, table), _ = sample
    rows = table.to_pylist()[:200]
    source = f"data.train=[{{source: '{folder / 'a.parquet'}', columns: [anchor, positive, negative]}}]"
    train = training_data(load_recipe("demo_sample", [source, "data.held_out=0"]).data, None, [])
    concepts = _concepts(train, DataRecipe(train=(str(folder / "a.parquet"),)), None)
    assert all(row["concept"] not in concepts.get(row["negative"], ()) for row in rows)
    pairs = [Pair(*text_ids([row["anchor"], row["negative"]]).tolist(), 0.0, 0.0, 0.0, 1) for row in rows]
    assert not any(each["same_concept"] for each in described({"dropped": pairs}, [*train.values()])["dropped"])


@pytest.mark.parametrize("said", ["never", "positive"])
def test_what_a_person_judged_is_no_negative(sample, tmp_path, said):
    folder, (_, before), _ = sample
    settings = [f"output={folder}/run"]
    pair = before["anchor"][0].as_py(), before["negative"][0].as_py()
    (tmp_path / "judged.csv").write_text(f"anchor,candidate,verdict\n{pair[0]},{pair[1]},{said}\n")
    verdicts = [*settings, f"data.verdicts=[{tmp_path / 'judged.csv'}]"]
    _, after = mined("demo_sample", tmp_path / "after.parquet", overrides=verdicts)

    def pairs(table):
        return set(zip(table["anchor"].to_pylist(), table["negative"].to_pylist(), strict=True))

    assert pair in pairs(before)
    assert not pairs(after) & {pair, pair[::-1]}
    assert not any("verdict" in concept for concept in after["concept_negative"].to_pylist())


def test_nothing_that_is_learned_from_is_written_over(guide, tmp_path):
    pairs = "anchor,positive\n" + "".join(f"word {i},other {i}\n" for i in range(40))
    (tmp_path / "own.parquet").write_bytes(b"")
    pq.write_table(pa.table({"anchor": ["a", "b"], "positive": ["c", "d"]}), tmp_path / "own.parquet")
    before = (tmp_path / "own.parquet").read_bytes()
    (tmp_path / "more.csv").write_text(pairs)
    settings = [*guide, f"data.train=[{tmp_path / 'own.parquet'}, {tmp_path / 'more.csv'}]", "sampling.batch_size=2"]
    settings += ["sampling.sampler=no_duplicates"]
    for source in ("demo_sample", str(tmp_path / "own.parquet")):
        with pytest.raises(ConfigError, match=r"own\.parquet: is read to learn from"):
            mine_triplets(source, tmp_path / "own.parquet", overrides=settings, progress=False)
    assert (tmp_path / "own.parquet").read_bytes() == before
    with pytest.raises(ConfigError, match=r"Name a file that ends in \.parquet"):
        mine_triplets("demo_sample", tmp_path / "t.csv", overrides=settings, progress=False)


def test_a_pair_is_one_in_both_directions_where_no_concept_says_so(tiny, tmp_path):
    words = [f"{a} {b}" for a in "abcdef" for b in "uvwxyz"]
    pairs = [*zip(words[::2], words[1::2], strict=True), *zip(words[1:-1:2], words[2::2], strict=True)]
    (tmp_path / "own.csv").write_text("anchor,positive\n" + "".join(f"{a},{b}\n" for a, b in pairs))
    tiny.save_pretrained(str(tmp_path / "start"))
    rules = MiningRules(num_negatives=30, relative_margin=None)
    mine_triplets(
        str(tmp_path / "own.csv"), tmp_path / "t.parquet", model=str(tmp_path / "start"), rules=rules, progress=False
    )
    table = pq.read_table(tmp_path / "t.parquet")
    found = set(zip(table["anchor"].to_pylist(), table["negative"].to_pylist(), strict=True))
    assert found
    assert not found & {pair[::way] for pair in pairs for way in (1, -1)}
