"""Two systems over the same queries: figures, seeds, correction, what is left out, what is refused, the command."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tutelage import cli
from tutelage.errors import DataError
from tutelage.evaluate.compare import compare_rows, compare_systems, load_system
from tutelage.evaluate.per_query import PER_QUERY, save_per_query
from tutelage.evaluate.report import write_json
from tutelage.evaluate.retrieval import RetrievalResult
from tutelage.evaluate.significance import holm, paired_differences

QUERIES = [f"q{i}" for i in range(30)]
CLUSTER = [f"c{i // 2}" for i in range(30)]


def result(name: str, seed: int, gain: float = 0.0, dim: int | None = None) -> RetrievalResult:
    random = np.random.default_rng(seed)
    values = {metric: random.uniform(size=30) + gain for metric in ("map", "mrr")}
    return RetrievalResult(name, QUERIES, CLUSTER, values, dim=dim)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., str]:
    def write(name: str, *after: RetrievalResult, before: tuple[RetrievalResult, ...] = ()) -> str:
        (tmp_path / name).mkdir()
        save_per_query(tmp_path / name / PER_QUERY, {"before": before, "after": after})
        write_json(tmp_path / name / "report.json", {"name": f"the {name} run"})
        return str(tmp_path / name)

    return write


def compared(a: str, b: str, *metrics: str) -> dict[str, Any]:
    return compare_systems(load_system(a), load_system(b), metrics or ("map",))


def test_rows_hold_both_means_and_the_difference_of_b_over_a(run: Callable[..., str]) -> None:
    a, b = run("a", result("en", 0), result("de", 1)), run("b", result("en", 2, 0.2), result("de", 3))
    found = compared(a, b, "map", "mrr")
    assert (found["a"], found["b"]["name"]) == ({"name": "the a run", "runs": [a]}, "the b run")
    assert [(row["set"], row["metric"]) for row in found["rows"]] == [
        ("en", "map"), ("en", "mrr"), ("de", "map"), ("de", "mrr")
    ]  # fmt: skip
    first, want = found["rows"][0], paired_differences(result("en", 0).values, result("en", 2, 0.2).values, CLUSTER)
    assert (first["a"], first["b"]) == (result("en", 0).means["map"], result("en", 2, 0.2).means["map"])
    assert first["mean"] == pytest.approx(first["b"] - first["a"])
    for key in ("low", "high", "p", "wins", "losses"):
        assert first[key] == getattr(want["map"], key)
    assert first["queries"] == 30
    assert first["spread_a"] is None
    p = np.array([row["p"] for row in found["rows"]])
    assert [row["p_holm"] for row in found["rows"]] == holm(p).tolist() != p.tolist()


def test_a_run_against_itself_differs_in_nothing(run: Callable[..., str]) -> None:
    a = run("a", result("en", 0))
    (row,) = compared(a, a)["rows"]
    assert [row[key] for key in ("mean", "low", "high", "p", "p_holm", "wins", "ties", "losses")] == [
        0, 0, 0, 1, 1, 0, 30, 0
    ]  # fmt: skip


def test_seeds_are_averaged_and_their_scatter_is_told(run: Callable[..., str]) -> None:
    seeds = [run(f"s{seed}", result("en", seed)) for seed in range(3)]
    (row,) = compared(run("b", result("en", 9)), ",".join(seeds))["rows"]
    means = [result("en", seed).means["map"] for seed in range(3)]
    assert row["b"] == pytest.approx(np.mean(means))
    assert row["spread_b"] == pytest.approx(np.std(means, ddof=1))
    assert row["queries"] == 30
    (cells,) = compare_rows({"rows": [row]})
    assert cells[4] == f"{row['b']:.4f} ± {row['spread_b']:.4f}"


def test_sets_that_one_run_lacks_are_left_out_and_named(run: Callable[..., str]) -> None:
    a = run("a", result("en", 0), result("de", 1), result("es", 1))
    b1, b2 = run("b1", result("en", 2), result("de", 3), result("zh", 3)), run("b2", result("en", 4), result("zh", 3))
    found = compared(a, f"{b1},{b2}")
    assert [row["set"] for row in found["rows"]] == ["en"]
    assert found["left_out"] == ["de", "es", "zh"]


def test_stage_and_width_choose_what_is_compared(run: Callable[..., str]) -> None:
    folder = run("a", result("en", 0), result("en", 1, dim=8), before=(result("en", 2),))
    assert load_system(folder, stage="before").results["en"][0].means == result("en", 2).means
    assert load_system(folder, dim=8).results["en"][0].means == result("en", 1).means


def refused(function: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    with pytest.raises(DataError) as fault:
        function(*args, **kwargs)
    return str(fault.value)


def test_what_was_not_measured_is_refused(run: Callable[..., str], tmp_path: Path) -> None:
    a, b = run("a", result("en", 0)), run("b", result("de", 0))
    assert refused(load_system, a, stage="before", dim=8) == (
        f"{a}: nothing measured before training at 8 dimensions. Name another --stage or --dim."
    )
    assert refused(compared, a, b) == ("compare: no set is in both. A has en; B has de. Evaluate both on the same set.")
    assert refused(compared, a, a, "ndcg@7") == (
        "compare: 'en' was not measured by 'ndcg@7' in both. Both have: map, mrr."
    )
    assert refused(load_system, ",") == "compare: no folder is named. Give the output folder of a run."
    assert refused(load_system, str(tmp_path / "none")).startswith(f"{tmp_path / 'none' / PER_QUERY}: no such file.")


def test_a_set_of_the_same_name_with_other_queries_is_refused(run: Callable[..., str]) -> None:
    other = RetrievalResult("en", ["q1", "new"], ["c", "d"], {"map": np.zeros(2)})
    assert refused(compared, run("a", result("en", 0)), run("b", other)) == (
        "A and B: 'en' holds different queries (30 and 2; 'new' stands in one only). Evaluate both on the same set."
    )


def test_a_run_without_a_readable_report_is_called_by_its_folder(run: Callable[..., str]) -> None:
    folder = run("a", result("en", 0))
    for text in ("{", "[]", "{}"):
        (Path(folder) / "report.json").write_text(text)
        assert load_system(folder).name == "a"


def test_the_command_prints_every_figure_whole(
    run: Callable[..., str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a = run("a", result("esco-heldout:en", 0), result("de", 5))
    b = run("b", result("esco-heldout:en", 1, 0.3))

    def called(*more: str) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["tutelage", "compare", a, b, *more])
        with pytest.raises(SystemExit) as leaving:
            cli.main()
        assert leaving.value.code == 0
        return capsys.readouterr()

    found = json.loads(called("--json")[0])
    text, said = called()
    (row,) = compare_rows(found)
    assert " ".join(row) in " ".join(text.split())
    assert "…" not in text
    assert said == "Not in every run, so left out: de.\n"
