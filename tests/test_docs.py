"""What is written is true: blocks run, generated parts are fresh, names that messages mention exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from tutelage.cli import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
sys.path.insert(0, str(ROOT / "docs"))
import generate  # noqa: E402


def test_the_command_line_reference_is_what_help_says():
    assert generate.CLI.read_text(encoding="utf-8") == generate.cli(), "stale: run `make docs`"


def test_the_reference_of_recipe_keys_is_what_the_records_say():
    assert generate.KEYS.read_text(encoding="utf-8") == generate.recipe_keys(), "stale: run `make docs`"


def test_the_page_of_benchmarks_shows_the_kept_results():
    assert generate.BENCHMARKS.read_text(encoding="utf-8") == generate.benchmarks(), "stale: run `make docs`"


@pytest.mark.parametrize("table", [generate.performance_table, generate.at_work], ids=lambda table: table.__name__)
def test_every_row_that_the_readme_is_to_show_is_there(table):
    rows = generate.benchmarked(table.HEADINGS, table.BENCHMARKS)
    assert all(any(row.startswith(f"| {beginning}") for row in rows) for beginning in table.SHOWN)


def test_every_recipe_key_is_explained():
    rows = [line for line in generate.recipe_keys().splitlines() if line.startswith("| `")]
    assert len(rows) > 70
    bare = [row for row in rows if row.endswith("|  |")]
    assert not bare, "keys without a comment: " + ", ".join(row.split("`")[1] for row in bare)


def test_the_readme_shows_the_figures_of_the_kept_report():
    assert generate.readme() == README, "stale: run `make docs`"


def test_the_python_of_the_readme_runs_and_is_twelve_lines(tmp_path, monkeypatch):
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in block.splitlines() if line]) <= 12
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "README.md", "exec"), {})


def known_options():
    commands = [get_command(app)]
    for command in commands:
        commands += getattr(command, "commands", {}).values()
    parameters = [parameter for command in commands for parameter in command.params]
    return {name for each in parameters for name in (*each.opts, *each.secondary_opts)} | {"--help"}


SHELL_LINES = [
    line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines() if line
]


@pytest.mark.parametrize("line", SHELL_LINES)
def test_commands_of_the_readme_exist(line):
    words = line.partition("#")[0].split()
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return
    if words[0] in (".", "printf"):
        return
    assert words[0] == "tutelage"
    command = get_command(app)
    while words[1:] and words[1] in getattr(command, "commands", {}):
        command = command.commands[words.pop(1)]
    assert not hasattr(command, "commands"), f"no such command in: {line}"
    assert {word for word in words if word.startswith("--")} <= known_options()


@pytest.mark.parametrize("path", sorted((ROOT / "src").rglob("*.py")), ids=lambda path: path.stem)
def test_options_and_commands_that_messages_name_exist(path):
    source = path.read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", source))
    assert (
        named - {"--always", "--abbrev", "--exclude", "--error-unmatch", "--porcelain", "--force-reinstall"}
        <= known_options()
    )


def test_the_readme_tree_names_every_folder():
    folders = {path.parent.name for path in (ROOT / "src" / "tutelage").glob("*/__init__.py")}
    assert all(f"  {folder}/" in README for folder in folders)


def test_help_is_quick_to_import():
    code = "import sys, tutelage.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
