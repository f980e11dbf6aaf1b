"""`docs/recipe.md`: every key of a recipe with its default, from the records and the comments beside their fields."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from itertools import takewhile
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from tutelage.export.card import markdown_table
from tutelage.train.recipe import Recipe

INTRODUCTION = """# Every key of a recipe

A recipe is one YAML file; [the shipped ones](../recipes) are examples. It is checked whole before a model is loaded: an
unknown key, a value out of range and keys that contradict each other are refused in one line. `tutelage recipe check
my.yaml` prints it with every default spelled out; `--set section.key=value` overrides a key. Under `sample` a file may
say what it would be where no data folder is named: keys such as `data.train`, with their values.

This page is written from [the records](../src/tutelage/train/recipe) (`make docs`)."""


def page() -> str:
    """The page."""
    top = [name for name, section in Recipe.model_fields.items() if _record(section.annotation) is None]
    parts = [INTRODUCTION, *_table(Recipe, top)]
    for name, field in Recipe.model_fields.items():
        if (record := _record(field.annotation)) is not None:
            parts += ["", f"## {name}", "", *_section(record)]
    return "\n".join(parts) + "\n"


def _section(record: type[BaseModel]) -> Iterator[str]:
    """A record, and after it every record that one of its keys holds a list of."""
    yield from [inspect.getdoc(record) or "", *_table(record, list(record.model_fields))]
    for name, field in record.model_fields.items():
        if (inner := _record(field.annotation)) is not None:
            yield from ["", f"### one of `{name}`" if "tuple" in str(field.annotation) else f"### `{name}`", ""]
            yield from _section(inner)


def _table(record: type[BaseModel], names: list[str]) -> list[str]:
    notes = _notes(record)
    rows = [
        [f"`{name}`", _default(field), " ".join(filter(None, (notes.get(name, ""), _options(field.annotation))))]
        for name, field in ((name, record.model_fields[name]) for name in names)
    ]
    return ["", *markdown_table(("key", "default", "meaning"), rows)]


def _notes(record: type[BaseModel]) -> dict[str, str]:
    """Field -> the comment beside it, or the lines of comment above it."""
    source = textwrap.dedent(inspect.getsource(record))
    lines, found = source.splitlines(), {}
    for node in ast.parse(source).body[0].body:  # type: ignore[attr-defined]  # a class has a body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            beside = lines[node.end_lineno - 1][node.end_col_offset :].partition("#")[2].strip()  # type: ignore[operator]
            before = reversed(lines[: node.lineno - 1])
            above = [*takewhile(lambda line: line.strip().startswith("#"), before)][::-1]
            found[node.target.id] = beside or " ".join(line.strip("# ") for line in above)
    return found


def _options(annotation: Any) -> str:
    """The names that a key may have for a value, where these are all."""
    kinds = [annotation, *get_args(annotation), *(inner for kind in get_args(annotation) for inner in get_args(kind))]
    names = [name for kind in kinds if get_origin(kind) is Literal for name in get_args(kind)]
    return f"({', '.join(f'`{name}`' for name in names)})" if names else ""


def _default(field: Any) -> str:
    if field.default is PydanticUndefined:
        return "wanted"
    if isinstance(field.default, BaseModel):
        return "see below"
    value = list(field.default) if isinstance(field.default, tuple) else field.default
    return f"`{'null' if value is None else str(value).lower() if isinstance(value, bool) else value}`"


def _record(annotation: Any) -> type[BaseModel] | None:
    """The record that a key holds, or holds several of."""
    kinds = [annotation, *(inner for kind in (annotation, *get_args(annotation)) for inner in get_args(kind))]
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
