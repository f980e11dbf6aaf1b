"""Two steps of each full-size recipe over a small XLM-R and small data: all but size is as at full size.

What the recipe says of loss, schedule, sampling, evaluation and checkpoints stands; models, data, widths, batch size,
and a precision that a CPU lacks do not.
"""

import json
import math
from importlib.resources import files

import numpy as np
import pytest
from conftest import tiny_xlmr
from sentence_transformers import SentenceTransformer

from tutelage.encode.encoder import encode
from tutelage.train.recipe import Recipe, load_recipe, shipped
from tutelage.train.run import run_recipe

FULL_SIZE = ("job_titles", "turkish_matryoshka", "gistembed")
WIDTH = 64  # of the small model
LABELS = ("sample", "esco", "esco-mix", "sample-mix", "talentclef")
TELECOM = str(files("tutelage.records") / "sample" / "telecom_tr.jsonl")


def stand_in(source):
    """The sample's labels in the source's languages, or its Turkish texts, with all else that the source says."""
    kind, _, languages = source["source"].partition(":")
    if kind in LABELS:
        known = [language for language in languages.split(",") if language in ("en", "de", "es", "tr")]
        texts = {"source": f"sample:{','.join(known) or 'en'}"}
    else:
        triplets = kind == "cnli-tr" or len(source["columns"]) == 3
        texts = {"source": TELECOM, "columns": ["query", "positive", "negative"][: 2 + triplets]}
    return {**source, **texts, "batch_size": source["batch_size"] and 4}


def small(name, model, home):
    """A recipe at the size of a test."""
    tree = load_recipe(name).model_dump(mode="json")
    training, judged, dims = tree["training"], tree["evaluate"], tree["loss"]["dims"]
    tree["output"] = str(home / name)
    tree["model"] |= {"name": model, "max_length": 16}
    tree["guide"] |= {"name": tree["guide"]["name"] and model, "max_length": 16, "store": None}
    tree["data"] |= {"train": [stand_in(source) for source in tree["data"]["train"]], "verdicts": []}
    tree["sampling"]["batch_size"] = 8
    tree["loss"]["dims"] = dims and [dim * WIDTH // max(dims) for dim in dims]
    training |= {"max_steps": 2, "precision": "fp32", "log_every": 1}
    training |= {every: training[every] and 1 for every in ("evaluate_every", "save_every")}
    judged |= {"sets": ["sample-heldout:en"], "optional": [], "gender": []}
    judged["best"] = judged["best"] and {**judged["best"], "set": "sample-heldout:en"}
    judged["triplets"] = [{"source": str(home / "dev.csv")}] * bool(judged["triplets"])
    judged["general"] = [str(home / "sts.tsv")] * bool(judged["general"])
    return Recipe.model_validate(tree)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with the small model and two small sets to be judged by."""
    home = tmp_path_factory.mktemp("full_size")
    tiny_xlmr(home / "parts").save_pretrained(str(home / "xlmr"))
    (home / "dev.csv").write_text("anchor,positive,negative\nhayvan bakıcısı,bakıcı,arıcı\n", encoding="utf-8")
    rows = [f"{score}\t{'bir ' * score}adam\tbir adam geldi" for score in range(1, 6)]
    (home / "sts.tsv").write_text("\n".join(["score\tsentence1\tsentence2", *rows]) + "\n", encoding="utf-8")
    return home


def test_the_small_model_is_of_the_kind_of_bge_m3(home):
    model = SentenceTransformer(str(home / "xlmr"), device="cpu")
    assert [type(module).__name__ for module in model] == ["Transformer", "Pooling", "Normalize"]
    assert type(model[0].auto_model).__name__ == "XLMRobertaModel"
    assert type(model.tokenizer).__name__ == "XLMRobertaTokenizer"
    ids = model.preprocess(["Krankenpflegerin"])["input_ids"][0].tolist()
    assert (ids[0], ids[-1]) == (0, 2)
    assert 3 not in ids[1:-1], "the pieces do not cover the sample"
    assert np.linalg.norm(model.encode("hemşire")) == pytest.approx(1)


def test_no_full_size_recipe_is_missing():
    assert set(FULL_SIZE) & set(shipped()) == set(FULL_SIZE)


@pytest.mark.parametrize("name", ["demo_sample", *(name for name in FULL_SIZE if name in shipped())])
def test_two_steps_of_a_full_size_recipe(name, home):
    recipe = small(name, str(home / "xlmr"), home)
    report = run_recipe(recipe)
    losses = [entry["loss"] for entry in report["training"]["log"]]
    assert len(losses) == report["training"]["steps"] == 2
    assert all(math.isfinite(loss) and loss > 0 for loss in losses)
    assert report["before"] != report["after"]
    assert set(report.get("dims", {}).get("sample-heldout:en", {})) == {str(dim) for dim in recipe.loss.dims or ()}
    assert bool(report.get("general")) == bool(recipe.evaluate.general)
    stock = SentenceTransformer(str(recipe.output / "model"), device="cpu")
    texts = ["hemşire", "Krankenpfleger"]
    np.testing.assert_allclose(encode(stock, texts), stock.encode(texts), atol=1e-6)
    assert json.loads((recipe.output / "report.json").read_text(encoding="utf-8")) == report
