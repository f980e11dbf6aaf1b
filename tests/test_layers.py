"""Imports point one way, those inside functions too, and importing the package stays light."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tutelage

PACKAGE = Path(tutelage.__file__).parent
FLOORS = {
    "__main__": 8,
    "cli": 7,
    "train": 6,
    "export": 5,
    "evaluate": 4,
    "serve": 4,
    "sampling": 3,
    "guide": 3,
    "encode": 2,
    "records": 1,
    "losses": 0,
    "errors": 0,
    "recipes": 0,
}


def folder_of(module: str) -> str:
    """The stage of a dotted name: "tutelage.train.run" is "train"; the package's own front door is ""."""
    return module.partition(".")[2].partition(".")[0]


def imported(tree: ast.AST, module: str, is_package: bool) -> Iterator[str]:
    """Every module of ours that the tree names in an import, wherever it stands; relative ones are resolved."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")[: len(module.split(".")) - node.level + is_package]
                base = ".".join([*parents, *([base] if base else [])])
            found = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in found if name.split(".")[0] == "tutelage")


def climbing(package: Path) -> list[str]:
    """Imports that go to a higher floor, or to another folder of the same one."""
    bad = []
    for file in sorted(package.rglob("*.py")):
        parts = ["tutelage", *file.relative_to(package).with_suffix("").parts]
        is_package = parts[-1] == "__init__"
        module = ".".join(parts[:-1] if is_package else parts)
        stage = folder_of(module)
        if not stage:  # The front door of the package loads its public names from every floor, on first use.
            continue
        for name in imported(ast.parse(file.read_text(encoding="utf-8")), module, is_package):
            target = folder_of(name)
            if target == "__version__" or target == stage:
                continue
            if FLOORS.get(target, 99) >= FLOORS[stage]:
                bad.append(f"{file.relative_to(package)} ({stage}) imports {name}: move the shared part down")
    return bad


def test_every_folder_has_a_floor() -> None:
    parts = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert parts - {"__init__"} == set(FLOORS)


def test_imports_go_to_lower_floors_or_the_own_folder() -> None:
    assert climbing(PACKAGE) == []


@pytest.mark.parametrize(
    "line",
    [
        "from tutelage.train.run import run_recipe",
        "import tutelage.cli",
        "from tutelage import train",
        "def late():\n    from tutelage.guide.store import GuideStore",
        "from ..evaluate import report",
        "from tutelage import GuideStore",
    ],
)
def test_an_import_that_climbs_is_found(line: str, tmp_path: Path) -> None:
    (tmp_path / "sampling").mkdir()
    (tmp_path / "sampling" / "batches.py").write_text(line + "\n")
    (found,) = climbing(tmp_path)
    assert found.startswith("sampling/batches.py (sampling) imports tutelage")


@pytest.mark.parametrize(
    "line", ["from tutelage.records.texts import text_ids", "from . import other", "from tutelage import __version__"]
)
def test_an_import_that_does_not_climb_is_none(line: str, tmp_path: Path) -> None:
    (tmp_path / "sampling").mkdir()
    (tmp_path / "sampling" / "batches.py").write_text(line + "\n")
    assert climbing(tmp_path) == []


@pytest.mark.parametrize("module", ["tutelage", "tutelage.cli"])
def test_importing_loads_no_heavy_package(module: str) -> None:
    heavy = "{'torch', 'transformers', 'sentence_transformers', 'datasets', 'scipy', 'numpy'}"
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
