"""The report is whole or absent, holds both sides and their difference, and its tables fit a screen."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from tutelage.evaluate import report as report_module
from tutelage.evaluate.report import (
    HEADINGS,
    PACKAGES,
    before_after_rows,
    before_after_table,
    compare,
    metrics_table,
    provenance,
    write_json,
)
from tutelage.evaluate.retrieval import RetrievalResult
from tutelage.evaluate.significance import holm


def result(name: str, **values: list[float]) -> RetrievalResult:
    queries = [f"q{i}" for i in range(len(next(iter(values.values()))))]
    return RetrievalResult(name, queries, queries, {metric: np.array(column) for metric, column in values.items()})


BEFORE = {"talentclef:en": result("talentclef:en", map=[0.2, 0.4, 0.6], mrr=[1.0, 0.0, 0.5])}
AFTER = {"talentclef:en": result("talentclef:en", map=[0.5, 0.4, 0.9], mrr=[1.0, 0.0, 0.0])}


@pytest.fixture
def report() -> dict[str, Any]:
    return {"name": "demo", **compare(BEFORE, AFTER)}


def printed(table: Any, width: int = 80) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_compare_holds_both_sides_the_difference_and_the_queries(report: dict[str, Any]) -> None:
    assert report["before"] == {"talentclef:en": pytest.approx({"map": 0.4, "mrr": 0.5})}
    assert report["after"] == {"talentclef:en": pytest.approx({"map": 0.6, "mrr": 1 / 3})}
    assert report["queries"] == {"talentclef:en": 3}
    gain = report["difference"]["talentclef:en"]["map"]
    assert gain["mean"] == pytest.approx(0.2)
    assert (gain["wins"], gain["ties"], gain["losses"]) == (2, 1, 0)
    assert gain["low"] <= gain["mean"] <= gain["high"]
    assert report["difference"]["talentclef:en"]["mrr"]["losses"] == 1


def test_compare_survives_the_way_through_a_file(report: dict[str, Any], tmp_path: Path) -> None:
    write_json(tmp_path / "report.json", report)
    assert json.loads((tmp_path / "report.json").read_text()) == report


def test_write_json_keeps_letters_and_ends_in_a_newline(tmp_path: Path) -> None:
    write_json(tmp_path / "report.json", {"label": "Krankenpfleger für 护士"})
    text = (tmp_path / "report.json").read_text(encoding="utf-8")
    assert "Krankenpfleger für 护士" in text
    assert text.endswith("}\n")


def test_write_json_replaces_what_was_there(tmp_path: Path) -> None:
    write_json(tmp_path / "report.json", {"run": "first, with a longer text"})
    write_json(tmp_path / "report.json", {"run": 2})
    assert json.loads((tmp_path / "report.json").read_text()) == {"run": 2}
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]


def test_a_write_that_fails_leaves_the_old_report_and_nothing_beside_it(tmp_path: Path) -> None:
    write_json(tmp_path / "report.json", {"run": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "report.json", {"run": 2, "bad": object()})
    assert json.loads((tmp_path / "report.json").read_text()) == {"run": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]


def test_provenance_names_the_time_the_versions_and_the_machine() -> None:
    found = provenance()
    assert set(found) == {"finished", "commit", "versions", "machine"}
    assert set(found["versions"]) == {*PACKAGES, "python"}
    assert found["machine"]["cores"] > 0
    assert json.loads(json.dumps(found)) == found


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with the library's errors.py in it, and the report looking there."""
    home = tmp_path / "tutelage"
    (home / "evaluate").mkdir(parents=True)
    (home / "errors.py").write_text("")
    monkeypatch.setattr(report_module, "__file__", str(home / "evaluate" / "report.py"))
    for words in (["init", "-q"], ["add", "tutelage/errors.py"], ["commit", "-q", "-m", "first"]):
        author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *author, *words], cwd=tmp_path, check=True, capture_output=True)
    return home


def test_a_checkouts_commit_has_a_plus_where_its_files_differ(checkout: Path) -> None:
    commit = provenance()["commit"]
    assert len(commit) == 12
    (checkout.parent / "notes.txt").write_text("beside the library")
    assert provenance()["commit"] == commit
    (checkout / "errors.py").write_text("changed")
    assert provenance()["commit"] == f"{commit}+"


def test_the_commit_of_a_project_into_whose_environment_the_library_was_installed_is_not_ours(checkout: Path) -> None:
    subprocess.run(["git", "rm", "-q", "--cached", "tutelage/errors.py"], cwd=checkout.parent, check=True)
    (checkout.parent / ".gitignore").write_text("tutelage/")
    assert provenance()["commit"] is None


def test_p_values_are_corrected_over_the_sets_metric_by_metric() -> None:
    random = np.random.default_rng(0)

    def results(shift: float) -> dict[str, RetrievalResult]:
        rows = {name: random.normal(shift, 0.3, 40) for name in "ab"}
        return {name: result(name, map=row.tolist(), mrr=(2 * row).tolist()) for name, row in rows.items()}

    found = compare(results(0), results(0.15))["difference"]
    for metric in ("map", "mrr"):
        of = [found[name][metric] for name in "ab"]
        assert [each["p_holm"] for each in of] == holm(np.array([each["p"] for each in of])).tolist()
        assert any(each["p_holm"] > each["p"] for each in of), "nothing was corrected"


def test_rows_hold_figures_gain_and_interval(report: dict[str, Any]) -> None:
    gain = report["difference"]["talentclef:en"]["map"]
    assert before_after_rows(report) == [
        ["talentclef:en", "3", "map", "0.4000", "0.6000", "+0.2000", f"{gain['low']:+.4f} {gain['high']:+.4f}"]
    ]


def test_rows_come_in_the_order_of_sets_and_metrics_asked(report: dict[str, Any]) -> None:
    report["difference"]["mine"] = report["difference"]["talentclef:en"]
    report["queries"]["mine"] = 3
    for stage in ("before", "after"):
        report[stage]["mine"] = report[stage]["talentclef:en"]
    rows = before_after_rows(report, metrics=("mrr", "map", "unmeasured"))
    assert [(row[0], row[2]) for row in rows] == [(s, m) for s in ("talentclef:en", "mine") for m in ("mrr", "map")]


def test_the_before_after_table_fits_80_columns_without_the_query_counts(report: dict[str, Any]) -> None:
    text = printed(before_after_table(report))
    assert "demo: before and after" in text
    shown = [column for column, heading in enumerate(HEADINGS) if heading != "queries"]
    for row in (HEADINGS, before_after_rows(report)[0]):
        assert all(row[column] in text for column in shown)
    assert "…" not in text


def test_the_metrics_table_has_a_row_a_set_and_a_column_a_metric() -> None:
    lines = printed(metrics_table({"en": {"map": 0.5, "mrr": 0.25}, "de": {"map": 0.125, "mrr": 1}}, ["mrr", "map"]))
    rows = [line.split() for line in lines.splitlines() if line.strip()]
    assert rows[0] == ["set", "mrr", "map"]
    assert rows[-2:] == [["en", "0.2500", "0.5000"], ["de", "1.0000", "0.1250"]]
