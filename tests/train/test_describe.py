"""A finished run's card: every section that published cards have, data by name, nothing but texts as columns."""

import re

import pytest
from datasets import Dataset

from tutelage.train.describe import describe_data
from tutelage.train.objective import GuidedLoss
from tutelage.train.recipe import DataRecipe, TrainSource, load_recipe
from tutelage.train.run import run_recipe

# Of the cards of two published models (JobBGE-m3, and a Turkish Matryoshka model), in their order, with ours.
SECTIONS = """
## Before and after
### Beyond retrieval
### Matryoshka widths
### What was measured on
### Guide and dropped candidates
### How it was made
## Model Details
### Model Description
### Model Sources
### Full Model Architecture
## Usage
### Direct Usage (Sentence Transformers)
## Evaluation
### Metrics
#### Retrieval
#### Triplet
## Training Details
### Training Datasets
#### sample:en
#### sample:de
### Training Hyperparameters
#### Non-Default Hyperparameters
#### All Hyperparameters
### Training Logs
### Framework Versions
## Citation
### BibTeX
#### Sentence Transformers
#### GuidedLoss
""".strip().splitlines()
FACTS = [
    "- sentence-transformers",
    "- dataset_size:",
    "- loss:GuidedLoss",
    "- source_sentence:",
    "model-index:",
    "- **Model Type:** Sentence Transformer",
    "- **Maximum Sequence Length:** 16 tokens",
    "- **Output Dimensionality:** 16 dimensions",
    "- **Similarity Function:** Cosine Similarity",
    "    - sample:en\n    - sample:de",
    "- **Languages:** de, en",
    "(0): Transformer({",
    "pip install -U sentence-transformers",
    "similarities = model.similarity(",
    "cosine_ndcg@200",
    "dev-8d_cosine_accuracy",
    "* Columns: <code>anchor</code> and <code>positive</code>\n",
    "* Approximate statistics based on the first 100 samples:",
    "* Samples:",
    '"temperature": 0.05',
    "- `learning_rate`: 0.0002",
    "- `gradient_accumulation_steps`: 1",
    "- PyTorch: ",
    "reimers-2019-sentence-bert",
    "solatorio2024gistembed",
    "gao2021scaling",
    "kusupati2024matryoshka",
]


@pytest.fixture(scope="module")
def card(tmp_path_factory):
    """Of a run on two sources, judged on the way, at two widths, on triplets too."""
    from conftest import tiny_model

    home = tmp_path_factory.mktemp("described")
    tiny_model(home / "parts").save_pretrained(str(home / "start"))
    (home / "dev.csv").write_text("anchor,positive,negative\nzookeeper,zoo worker,beekeeper\n")
    settings = [
        f"model.name={home / 'start'}", f"guide.name={home / 'start'}", f"output={home / 'run'}",
        "model.max_length=16", "sampling.batch_size=32", "loss.dims=[16, 8]", "training.max_steps=2",
        "training.precision=fp32", "training.log_every=1", "training.evaluate_every=2", "training.report_to=[]",
        "data.train=[{source: 'sample:en'}, {source: 'sample:de'}]", f"evaluate.triplets=[{home / 'dev.csv'}]",
    ]  # fmt: skip
    run_recipe(load_recipe("demo_sample", settings))
    return (home / "run" / "model" / "README.md").read_text(encoding="utf-8")


def test_a_card_has_every_section_of_published_ones(card):
    found = [line for line in card.splitlines() if re.match(r"##+ ", line)]
    assert [line for line in found if line in SECTIONS] == SECTIONS


@pytest.mark.parametrize("fact", FACTS)
def test_a_card_tells(card, fact):
    assert fact in card


def test_identity_columns_are_no_columns_of_a_card(card):
    training = card.partition("### Training Datasets")[2].partition("### Training Hyperparameters")[0]
    assert "<code>anchor</code>" in training
    assert "concept" not in training.replace("drop_same_group", "")
    assert "sample:occupation" not in card


def test_the_training_log_has_a_row_before_and_one_for_each_step_with_every_figure(card):
    lines = card.partition("### Training Logs")[2].partition("###")[0].strip().splitlines()
    head, _, *rows = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    assert [row[1] for row in rows] == ["-1", "1", "2"]
    assert head[2:] == [
        "Training Loss",
        "sample-heldout-en_cosine_map",
        "dev-16d_cosine_accuracy",
        "dev-8d_cosine_accuracy",
    ]
    assert "-" not in rows[0][3:]
    assert rows[1][3:] == ["-"] * 3
    assert "-" not in rows[2][2:]


def test_a_hub_data_set_is_named_with_its_id_and_a_single_one_by_its_source(tiny, monkeypatch):
    asked = []
    monkeypatch.setattr("sentence_transformers.base.model_card.get_dataset_info", asked.append)
    rows = Dataset.from_dict({"anchor": ["a"], "positive": ["b"], "concept": ["c"], "group": ["g"]})

    def describe(*sources):
        named = DataRecipe(train=sources).sets
        describe_data(tiny, dict.fromkeys(named, rows), named, dict.fromkeys(named, GuidedLoss(tiny, None)))

    with pytest.raises(AttributeError):  # the stand-in knows nothing of what it was asked for
        describe(TrainSource(source="me/pairs#train"))
    assert asked == ["me/pairs"]
    describe(TrainSource(source="tquad:train"))
    (about,) = tiny.model_card_data.train_datasets
    assert about["name"] == "tquad:train"
    assert about["columns"] == ["<code>anchor</code>", "<code>positive</code>"]
    assert tiny.model_card_data.language == ["tr"]
    describe(TrainSource(source="pairs.csv", name="mine"), TrainSource(source="tquad:train"))
    assert [about["name"] for about in tiny.model_card_data.train_datasets] == ["mine", "tquad:train"]
