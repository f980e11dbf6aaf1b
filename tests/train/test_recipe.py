"""A recipe is closed, typed and checked whole: every mistake is one line with the key in it."""

import re
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from tutelage.errors import ConfigError
from tutelage.train.recipe import SHIPPED, Recipe, TrainSource, load_recipe, shipped
from tutelage.train.run import prepare

SMALL = "output: out\ndata: {train: [{source: sample:en}]}\nevaluate: {sets: ['sample-heldout:en']}\n"


@pytest.fixture
def recipe(tmp_path):
    """Write a recipe file; by default the smallest one."""

    def write(text=SMALL):
        path = tmp_path / "my.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def refused(path, *overrides):
    with pytest.raises(ConfigError) as fault:
        load_recipe(path, overrides)
    assert "\n" not in str(fault.value)
    return str(fault.value)


def test_every_shipped_recipe_loads():
    assert {"demo", "demo_sample", "job_titles", "turkish_matryoshka", "gistembed"} <= set(shipped())
    for name in shipped():
        assert load_recipe(name).output.parts[0] == "runs"


# What the authors' cards and scripts say of their runs.
PUBLISHED = {
    "job_titles": {
        "model.name": "BAAI/bge-m3", "model.max_length": 512, "guide.max_length": 128,
        "guide.name": "sentence-transformers/all-MiniLM-L12-v2", "sampling.sampler": "no_duplicates",
        "sampling.batch_size": 64, "sampling.mix": "proportional", "loss.temperature": 0.01, "loss.margin": 0,
        "loss.margin_strategy": "absolute", "loss.contrast_anchors": True, "loss.contrast_positives": True,
        "loss.drop_same_text": False, "loss.drop_same_group": False, "loss.dims": None, "training.epochs": 5,
        "training.accumulation": 2, "training.learning_rate": 5e-5, "training.schedule": "linear",
        "training.warmup": 0.05, "training.weight_decay": 0, "training.precision": "fp16", "training.seed": 42,
        "training.evaluate_every": 200,
    },
    "turkish_matryoshka": {
        "model.name": "BAAI/bge-m3", "model.max_length": 8192, "guide.name": None,
        "sampling.sampler": "no_duplicates", "sampling.batch_size": 2048, "loss.temperature": 0.05,
        "loss.contrast_anchors": False, "loss.contrast_positives": False, "loss.dims": [1024, 768, 512, 256],
        "loss.drop_same_text": False, "loss.drop_same_group": False, "training.epochs": 1,
        "training.accumulation": 1, "training.learning_rate": 5e-5, "training.schedule": "cosine",
        "training.warmup": 0.05, "training.weight_decay": 0.01, "training.precision": "bf16",
        "training.evaluate_every": 12, "training.save_only_model": True,
    },
    "gistembed": {
        "model.name": "BAAI/bge-small-en-v1.5", "model.max_length": 512, "guide.name": "WhereIsAI/UAE-Large-V1",
        "sampling.batch_size": 16, "loss.temperature": 0.01, "loss.margin": 0, "loss.contrast_anchors": True,
        "loss.contrast_positives": True, "loss.drop_same_text": False, "loss.drop_same_group": False,
        "training.epochs": 40, "training.learning_rate": 5e-6, "training.warmup": 0.1, "training.precision": "bf16",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_system_is_as_published(name):
    tree = load_recipe(name).model_dump(mode="json")
    found = {key: tree[key.partition(".")[0]][key.partition(".")[2]] for key in PUBLISHED[name]}
    assert found == PUBLISHED[name]
    assert [each["temperature"] for each in tree["data"]["train"]] == [None] * len(tree["data"]["train"])


def test_every_key_of_a_shipped_recipe_takes_effect():
    for name in shipped():
        written = yaml.safe_load((SHIPPED / f"{name}.yaml").read_text())
        resolved = load_recipe(name).model_dump(mode="json")
        for section, options in written.items():
            if isinstance(options, dict) and section != "sample":
                for key in options.keys() - {"train", "triplets"}:  # these may be names alone
                    assert resolved[section][key] == options[key], f"{name}: {section}.{key}"


@pytest.mark.parametrize("name", shipped())
def test_the_resolved_recipe_loads_as_the_same_recipe(recipe, name):
    loaded = load_recipe(name, ["name=éleveuse", "training.learning_rate=5e-5"])
    assert load_recipe(recipe(loaded.to_yaml())) == loaded


def test_the_resolved_recipe_spells_out_every_default(recipe):
    tree = yaml.safe_load(load_recipe(recipe()).to_yaml())
    assert list(tree) == list(Recipe.model_fields)
    for key, field in Recipe.model_fields.items():
        if isinstance(tree[key], dict):
            assert list(tree[key]) == list(field.annotation.model_fields)


def test_a_recipe_is_frozen(recipe):
    with pytest.raises(ValidationError, match="frozen"):
        load_recipe(recipe()).loss.margin = 0.1


@pytest.mark.parametrize("number", ["5e-5", "5E-5", "5.0e-5", "0.00005"])
def test_a_power_of_ten_is_a_number(recipe, number):
    for loaded in (
        load_recipe(recipe(f"{SMALL}training: {{learning_rate: {number}}}\n")),
        load_recipe(recipe(), [f"training.learning_rate={number}"]),
    ):
        assert loaded.training.learning_rate == 5e-5


def test_a_name_with_an_e_in_it_stays_text(recipe):
    assert load_recipe(recipe(), ["name=e5-base"]).name == "e5-base"


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("training.epochs=2", lambda recipe: recipe.training.epochs == 2),
        ("loss.contrast_anchors=false", lambda recipe: recipe.loss.contrast_anchors is False),
        ("guide.name=null", lambda recipe: recipe.guide.name is None),
        ("guide.name=[tfidf, start]", lambda recipe: recipe.guide.names == ("tfidf", "start")),
        ("guide={name: [tfidf, start], combine: max}", lambda recipe: recipe.guide.title == "max of tfidf, start"),
        ("guide.name=[tfidf]", lambda recipe: recipe.guide.name == recipe.guide.title == "tfidf"),
        ("evaluate.metrics=[map, ndcg@5]", lambda recipe: recipe.evaluate.metrics == ("map", "ndcg@5")),
        ("data.train=[{source: a=b.csv}]", lambda recipe: recipe.data.train[0].source == "a=b.csv"),
        ("output=runs/b", lambda recipe: recipe.output == Path("runs/b")),
    ],
)
def test_an_override_sets_its_key(recipe, override, read):
    assert read(load_recipe(recipe(), [override]))
    assert not read(load_recipe(recipe()))


def test_the_last_override_wins(recipe):
    assert load_recipe(recipe(), ["loss.margin=0.1", "loss.margin=0.2"]).loss.margin == 0.2


UNKNOWN = {
    "loss.temprature=0.02": "loss: unknown option 'temprature'. Options: temperature, margin, margin_strategy, "
    "contrast_anchors, contrast_positives, directions, partition_mode, hardness_mode, "
    "hardness_strength, drop_same_text, drop_same_group, dims, group.",
    "los.margin=0": "recipe: unknown option 'los'. Options: name, output, model, guide, data, sampling, loss, "
    "training, evaluate.",
    "data.train=[{source: a, colums: [q, a]}]": "data.train.0: unknown option 'colums'. "
    f"Options: {', '.join(TrainSource.model_fields)}.",
}


@pytest.mark.parametrize(("override", "message"), UNKNOWN.items())
def test_an_unknown_key_is_refused_with_those_that_exist(recipe, override, message):
    path = recipe()
    assert refused(path, override) == f"{path}: {message}"


OUT_OF_RANGE = {
    "loss.temperature=0": "loss: 'temperature' is 0. Input should be greater than 0.",
    "loss.temperature=-0.1": "loss: 'temperature' is -0.1. Input should be greater than 0.",
    "loss.margin_strategy=both": "loss: 'margin_strategy' is 'both'. Input should be 'absolute' or 'relative'.",
    "sampling.batch_size=1": "sampling: 'batch_size' is 1. Input should be greater than or equal to 2.",
    "data.held_out=1": "data: 'held_out' is 1. Input should be less than 1.",
    "data.train=[]": "data: 'train' is []. Tuple should have at least 1 item after validation, not 0.",
    "training.epochs=many": "training: 'epochs' is 'many'. "
    "Input should be a valid number, unable to parse string as a number.",
    "training.warmup=-1": "training: 'warmup' is -1. Input should be greater than or equal to 0.",
    "name=1": "recipe: 'name' is 1. Input should be a valid string.",
}


@pytest.mark.parametrize(("override", "message"), OUT_OF_RANGE.items())
def test_a_value_out_of_range_is_refused(recipe, override, message):
    path = recipe()
    assert refused(path, override) == f"{path}: {message}"


@pytest.mark.parametrize(
    "override",
    ["loss.margin=.nan", "loss.temperature=.nan", "loss.temperature=.inf", "training.learning_rate=1e400"],
)
def test_what_is_no_finite_number_is_refused(recipe, override):
    key = override.partition("=")[0].partition(".")[2]
    assert f"'{key}'" in refused(recipe(), override)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["evaluate.best.set=esco-heldout:fr"], "best.set is 'esco-heldout:fr'; wanted one of evaluate.sets"),
        (["evaluate.best={set: S}"], "evaluate.best needs evaluations on the way. Set training.evaluate_every."),
        (
            ["evaluate.best={set: S}", "training.evaluate_every=20", "training.save_every=30"],
            "evaluate.best: save_every is 30; what is evaluated must be kept. Leave it out.",
        ),
        (["evaluate.best={set: S, metric: ndcg}", "training.evaluate_every=20"], "as in ndcg@10"),
    ],
)
def test_a_best_checkpoint_that_cannot_be_told_is_refused(recipe, overrides, message):
    path = recipe()
    first = load_recipe(path).evaluate.sets[0]
    assert message in refused(path, *(override.replace("set: S", f"set: '{first}'") for override in overrides))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("evaluate.optional=[S]", "stands twice among sets and optional. Name it once."),
        ("loss.dims=[8, 4, 8]", "dims are [8, 4, 8]; one stands twice. Name it once."),
    ],
)
def test_what_is_named_twice_is_refused(recipe, override, message):
    path = recipe()
    assert message in refused(path, override.replace("S", f"'{load_recipe(path).evaluate.sets[0]}'"))


@pytest.mark.parametrize(
    ("guide", "message"),
    [
        ("name: []", "'name' is []. Wanted the name of a guide, a list of names, or null for none."),
        ("name: 3", "'name' is 3. Wanted the name of a guide, a list of names, or null for none."),
        ("name: ''", "'name' is ''. Wanted the name of a guide, a list of names, or null for none."),
        ("name: [a, 3]", "'name' is ['a', 3]. Wanted the name of a guide, a list of names, or null for none."),
        ("name: [a, b, a]", "'name' is ['a', 'b', 'a']. 'a' stands twice. Name it once."),
        ("combine: max", "combine is 'max', which wants several guides. Name a list, or leave it out."),
        ("name: null, combine: mean", "combine is 'mean', which wants several guides. Name a list, or leave it out."),
        ("name: [a], combine: mean", "combine is 'mean', which wants several guides. Name a list, or leave it out."),
        ("name: [a, b], combine: sum", "'combine' is 'sum'. Input should be 'mean' or 'max'."),
        ("name: tfidf, prompt: 'q: '", "prompt is for guides that are models. Leave it out."),
        ("name: [tfidf, v.npy], max_length: 9", "max_length is for guides that are models. Leave it out."),
    ],
)
def test_guides_that_do_not_go_together_are_refused(recipe, guide, message):
    path = recipe()
    assert refused(path, f"guide={{{guide}}}") == f"{path}: guide: {message}"


@pytest.mark.parametrize("guide", ["name: [tfidf, start], combine: max", "name: [tfidf, start]", "name: null"])
def test_a_resolved_recipe_of_any_guides_loads_again(recipe, guide):
    loaded = load_recipe(recipe(), [f"guide={{{guide}}}"])
    assert load_recipe(recipe(loaded.to_yaml())) == loaded


@pytest.mark.parametrize("key", ["metrics=[ndcg]", "main=ndcg"])
def test_an_unknown_metric_is_refused_by_file_and_key(recipe, key):
    path = recipe()
    message = refused(path, f"evaluate.{key}")
    assert message.startswith(f"{path}: evaluate: '{key.partition('=')[0]}'")
    assert "ndcg@10" in message


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("output", "recipe: 'output' is missing. Add it."),
        ("data", "recipe: 'data' is missing. Add it."),
        ("evaluate", "recipe: 'evaluate' is missing. Add it."),
    ],
)
def test_a_missing_key_is_named(recipe, gone, message):
    path = recipe("".join(line for line in SMALL.splitlines(keepends=True) if not line.startswith(gone)))
    assert refused(path) == f"{path}: {message}"


def test_a_missing_key_of_a_section_is_named(recipe):
    path = recipe()
    assert refused(path, "data.train=[{columns: [q, a]}]") == f"{path}: data.train.0: 'source' is missing. Add it."


def test_further_faults_are_counted(recipe):
    path = recipe()
    assert refused(path, "loss.margin=a", "loss.temperature=0").endswith("(1 more)")


def test_a_key_written_twice_is_refused(recipe):
    path = recipe(f"{SMALL}loss: {{temperature: 0.1}}\nloss: {{margin: 0.2}}\n")
    assert "'loss'" in refused(path)


@pytest.mark.parametrize("text", ["", "- a\n", "demo\n"])
def test_what_is_no_mapping_is_refused(recipe, text):
    path = recipe(text)
    assert refused(path) == f"{path}: holds no mapping. Wanted keys such as: {', '.join(Recipe.model_fields)}."


def test_what_is_no_yaml_is_refused_with_its_place(recipe):
    path = recipe("output: [")
    assert re.fullmatch(rf"{re.escape(str(path))}: not YAML \(.*line 1, column \d+.*\)\.", refused(path))


def test_a_recipe_that_does_not_exist_is_refused(tmp_path):
    path = tmp_path / "my.yaml"
    assert refused(path) == f"{path}: no such file. Give the path of an existing file."


def test_an_unknown_name_is_refused_with_those_shipped():
    assert refused("demi") == f"recipe 'demi': no such name. Shipped: {', '.join(shipped())}; or give a .yaml."


def test_a_recipe_in_another_encoding_is_refused(tmp_path):
    path = tmp_path / "my.yaml"
    path.write_bytes("name: é".encode("latin-1"))
    assert refused(path) == f"{path} line 1: byte 0xe9 is not UTF-8. Save the file as UTF-8 and run again."


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("nonsense", "--set nonsense: wanted key=value, as in --set training.epochs=2."),
        ("=3", "--set =3: wanted key=value, as in --set training.epochs=2."),
        ("output.a=1", "--set output.a=1: 'output' holds a value, not keys. Name an existing section."),
    ],
)
def test_an_override_that_says_nothing_is_refused(recipe, override, message):
    assert refused(recipe(), override) == message


def test_an_override_that_is_no_yaml_is_refused(recipe):
    assert refused(recipe(), "name=[").startswith("--set name=[: ")


def test_triplets_may_be_named_without_their_columns():
    columns = ["query", "yes", "no"]
    given = f"evaluate.triplets=['cnli-tr:dev', {{source: dev.csv, columns: {columns}}}]"
    short, long = load_recipe("demo_sample", [given]).evaluate.triplets
    assert (short.source, short.columns) == ("cnli-tr:dev", ("anchor", "positive", "negative"))
    assert (long.source, list(long.columns)) == ("dev.csv", columns)


def test_what_a_file_would_be_without_data_is_read_only_then(recipe):
    path = recipe(f"{SMALL}sample:\n  training.epochs: 7\n  evaluate.main: mrr\n")
    plain, small = load_recipe(path), load_recipe(path, ["evaluate.main=map"], sample=True)
    assert (plain.training.epochs, small.training.epochs) == (1.0, 7.0)
    assert small.evaluate.main == "map"  # what is set by hand goes before


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("sample: 3", "'sample' holds no mapping. Wanted keys such as data.train, with their values."),
        ("sample: {name.x: 1}", "sample: name.x: 'name' holds a value, not keys. Name an existing section."),
    ],
)
def test_a_faulty_block_for_the_sample_is_refused(recipe, block, message):
    path = recipe(f"name: small\n{SMALL}{block}\n")
    with pytest.raises(ConfigError) as caught:
        load_recipe(path, sample=True)
    assert str(caught.value) == f"{path}: {message}"


def test_training_sources_may_be_named_without_their_columns():
    short, long = load_recipe("demo_sample", ["data.train=['sample:en', {source: t.csv, columns: [q, a]}]"]).data.train
    assert short == TrainSource(source="sample:en")
    assert long.columns == ("q", "a")


def test_a_set_is_called_by_its_name_else_by_its_source_numbered_where_that_stands_again():
    train = "[{source: 'sample:en', name: full_en}, 'sample:de', 'sample:en', 'sample:de', 'sample:en']"
    names = load_recipe("demo_sample", [f"data.train={train}"]).data.names
    assert names == ["full_en", "sample:de", "sample:en", "sample:de #2", "sample:en #2"]


@pytest.mark.parametrize(
    ("name", "train"),
    [
        ("full", "[{source: a.csv, name: full}, {source: b.csv, name: full}]"),
        ("a.csv", "[{source: a.csv}, {source: b.csv, name: a.csv}]"),
        ("verdicts", "[{source: b.csv, name: verdicts}]"),
    ],
)
def test_two_sets_of_one_name_are_refused(recipe, name, train):
    path = recipe()
    assert refused(path, f"data.train={train}") == (
        f"{path}: data: train: the name '{name}' is taken. Give the set another."
    )


def test_pairs_across_one_language_are_refused_before_any_data_is_read(recipe):
    path = recipe()
    assert refused(path, "data.train=['esco-mix:en']") == (
        f"{path}: data.train.0: 'source' is 'esco-mix:en'. 'esco-mix:en': wanted two languages or more that pair with "
        "each other, as in esco-mix:en,de."
    )


SMALL_SYSTEMS = ("job_titles_small", "job_titles_best", "turkish_matryoshka_small", "gistembed_small")


@pytest.mark.parametrize("name", SMALL_SYSTEMS)
def test_the_small_recipes_need_no_data(name):
    """Without a data folder each is what its `sample` says, and that is all there."""
    given = load_recipe(name, sample=True)
    found = prepare(given, None)
    assert all(source.source.startswith("sample") for source in given.data.train)
    assert list(found.train) == list(given.data.sets)
    assert found.sets


@pytest.mark.parametrize("name", ["job_titles", "turkish_matryoshka", "gistembed"])
def test_the_recipes_of_the_systems_find_all_their_data(name, data):
    given = load_recipe(name)
    found = prepare(given, data)
    assert {*given.data.sets} - {*found.train} <= {
        "telecom",
        "full_zh",
        "mix_zh",
    }  # the user's own, left out where absent


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{source: 'sample:en', prompts: {query: 'find: '}}", "'query' is no column. Wanted: anchor, positive"),
        ("{source: pairs.csv, forms_apart: true}", "forms_apart is for labels of a taxonomy; pairs.csv has pairs"),
        ("{source: 'cnli-tr:train', max_pairs: 3}", "max_pairs is for labels of a taxonomy; cnli-tr:train has pairs"),
        ("{source: 'sample:en', columns: [q, a]}", "columns is for files and hub data sets; sample:en has its own"),
    ],
)
def test_a_key_that_would_do_nothing_is_refused(source, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_recipe("demo_sample", [f"data.train=[{source}]"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("data.train=pairs.jsonl", "data: 'train' is 'pairs.jsonl'. Wanted a list, as in [first, second]."),
        ("evaluate.sets=a", "evaluate: 'sets' is 'a'. Wanted a list, as in [first, second]."),
        ("output=", "recipe: 'output' is None. Wanted a path."),
        ("model=foo", "recipe: 'model' is 'foo'. Wanted keys, as in {name: value}."),
    ],
)
def test_what_was_wanted_is_said_in_yamls_words(given, said):
    with pytest.raises(ConfigError) as refused:
        load_recipe("demo_sample", [given])
    assert said in str(refused.value)
