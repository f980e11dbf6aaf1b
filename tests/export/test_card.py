"""Our section stands in sentence-transformers' own card: figures, recipe, attributions."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from tutelage.evaluate.report import HEADINGS, before_after_rows, compare, provenance
from tutelage.evaluate.retrieval import RetrievalResult
from tutelage.export.card import ATTRIBUTIONS, attributions, complete_card, markdown_table, section

RECIPE = "name: demo\ndata:\n  source: sample:en\n"


@pytest.fixture
def report() -> dict[str, Any]:
    queries = ["q0", "q1", "q2"]
    before, after = (
        {"sample-heldout:en": RetrievalResult("sample-heldout:en", queries, queries, {"map": np.array(values)})}
        for values in ([0.1, 0.2, 0.3], [0.3, 0.2, 0.9])
    )
    return {"name": "demo", **provenance(), **compare(before, after), "recipe": trained_on("sample:en")}


def trained_on(*sources: str) -> dict[str, Any]:
    return {"data": {"train": [{"source": source} for source in sources]}}


def test_the_section_holds_the_table_the_recipe_and_the_machine(report: dict[str, Any]) -> None:
    text = section(report, RECIPE)
    lines = text.splitlines()
    assert lines[0] == "## Before and after"
    assert "| " + " | ".join(HEADINGS) + " |" in lines
    assert "| " + " | ".join(before_after_rows(report)[0]) + " |" in lines
    assert f"```yaml\n{RECIPE}```\n" in text
    assert f"Fine-tuned with tutelage {report['versions']['tutelage']} (commit {report['commit'] or 'unknown'})" in text
    assert report["finished"][:10] in text


def test_outside_a_checkout_the_commit_is_unknown(report: dict[str, Any]) -> None:
    assert "(commit unknown)" in section({**report, "commit": None}, RECIPE)


@pytest.mark.parametrize(
    ("sources", "judged_on", "named"),
    [
        (["cnli-tr:train", "stsb-tr:train"], "tquad:dev", ["stsb-tr", "cnli-tr", "tquad"]),
        (["sample:en"], "sample-heldout:en", []),
        (["esco:en,de"], "sample-heldout:en", ["esco"]),
        (["sample:en"], "esco-heldout:en", ["esco"]),
        (["talentclef:es"], "sample-heldout:en", ["talentclef"]),
        (["esco:en", "talentclef:es"], "sample-heldout:en", ["esco", "talentclef"]),
    ],
)
def test_sources_are_attributed_where_a_run_trains_or_is_judged_on_them(
    sources: list[str], judged_on: str, named: list[str], report: dict[str, Any]
) -> None:
    text = section({**report, "recipe": trained_on(*sources), "after": {judged_on: {}} | report["after"]}, RECIPE)
    assert [name for name, attribution in ATTRIBUTIONS.items() if attribution in text] == named


def test_sets_of_every_kind_are_attributed(report: dict[str, Any]) -> None:
    kinds = {"triplets": {"cnli-tr:dev": {}}, "general": {}, "gender": {"esco-gender:de": {}}}
    assert attributions({**report, **kinds}) == [ATTRIBUTIONS["esco"], ATTRIBUTIONS["cnli-tr"]]


LOG = [
    {"loss": 1.0, "drop_guide": 0.1, "drop_text": 0.0, "drop_partition": 0.25},
    {"loss": 0.5, "drop_guide": 0.3, "drop_text": 0.0, "drop_partition": 0.75},
]
MORE = {
    "triplets": {"dev": {"dev-16d_cosine_accuracy": {"before": 0.5, "after": 0.75, "low": 0.1, "high": 0.4}}},
    "general": {"stsb-tr:dev": {"metric": "spearman", "before": 0.5, "after": 0.25, "low": -0.5, "high": -0.1}},
    "gender": {"esco-gender:de": {"before": 0.5, "after": 0.5, "low": None, "high": None, "pairs": 9}},
    "dims": {"sample-heldout:en": {"16": {"map": 0.5}, "8": {"map": 0.25}}},
    "judged": {"sample-heldout:en": {"queries": 1000, "entries": 259}},
    "queries_seen": {"sample-heldout:en": 12},
    "guide": {"name": "my-guide", "fingerprint": "3f9c00000000", "texts": 1234},
    "training": {"log": LOG, "left_out": {"tquad:train": 12}},
}
EVIDENCE = """
### Beyond retrieval

| set | figure | before | after | gain | 95 % interval |
| --- | --- | --- | --- | --- | --- |
| dev | dev-16d_cosine_accuracy | 0.5000 | 0.7500 | +0.2500 | +0.1000 +0.4000 |
| stsb-tr:dev | spearman | 0.5000 | 0.2500 | -0.2500 | -0.5000 -0.1000 |
| esco-gender:de | rank-biased overlap of both forms | 0.5000 | 0.5000 | +0.0000 | unknown |

### Matryoshka widths

| set | metric | 16 | 8 |
| --- | --- | --- | --- |
| sample-heldout:en | map | 0.5000 | 0.2500 |

### What was measured on

| set | holds |
| --- | --- |
| sample-heldout:en | 1,000 queries, 259 entries, 12 of the queries also in training |

### Guide and dropped candidates

Guide: my-guide, fingerprint 3f9c00000000, 1,234 texts embedded once.

| dropped as, share of the candidates | first logged | last logged | mean |
| --- | --- | --- | --- |
| guide | 0.1000 | 0.3000 | 0.2000 |
| same text | 0.0000 | 0.0000 | 0.0000 |
| of the softmax sum | 0.2500 | 0.7500 | 0.5000 |

### How it was made
"""


def test_the_section_holds_every_kind_of_evidence(report: dict[str, Any]) -> None:
    text = section({**report, **MORE}, RECIPE)
    assert EVIDENCE in text
    assert "Left out of tquad:train, since a set above holds their texts: 12 rows." in text
    assert f"### Data and licences\n\n* {ATTRIBUTIONS['esco']}\n* {ATTRIBUTIONS['stsb-tr']}\n" in text


def test_what_was_not_measured_has_no_heading(report: dict[str, Any]) -> None:
    headings = [line for line in section(report, RECIPE).splitlines() if line.startswith("#")]
    assert headings == ["## Before and after", "### How it was made"]


def test_the_section_goes_before_the_cards_details_and_changes_nothing_else(
    tiny: SentenceTransformer, report: dict[str, Any], tmp_path: Path
) -> None:
    tiny.save_pretrained(str(tmp_path / "model"))
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    complete_card(tmp_path / "model", report, RECIPE)
    completed = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    ours = section(report, RECIPE)
    assert completed.startswith("---\n")
    assert completed.count(ours) == 1
    assert completed.replace(ours, "") == card
    assert completed.index(ours) + len(ours) == completed.index("## Model Details")


def test_a_card_without_that_heading_gets_the_section_at_its_end(report: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Another card für uns\n", encoding="utf-8")
    complete_card(tmp_path, report, RECIPE)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert text == "# Another card für uns\n\n" + section(report, RECIPE)


def test_the_completed_model_still_loads(tiny: SentenceTransformer, report: dict[str, Any], tmp_path: Path) -> None:
    tiny.save_pretrained(str(tmp_path / "model"))
    complete_card(tmp_path / "model", report, RECIPE)
    again = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    np.testing.assert_array_equal(again.encode(["nurse"]), tiny.encode(["nurse"]))


def test_a_markdown_table_has_a_rule_under_its_headings() -> None:
    assert markdown_table(("a", "b"), [["1", "2"]]) == ["| a | b |", "| --- | --- |", "| 1 | 2 |"]
