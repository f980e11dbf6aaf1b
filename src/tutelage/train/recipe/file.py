"""A recipe's YAML file: found by name or path, overridden key by key, checked; its faults told in one line each."""

import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from tutelage.errors import ConfigError, TutelageError
from tutelage.records.tables import read_text
from tutelage.train.recipe.whole import Recipe

SHIPPED = Path(str(files("tutelage.recipes")))
SAMPLE = "sample"  # the key of what a file would be without real data


def load_recipe(source: str | Path, overrides: Sequence[str] = (), *, sample: bool = False) -> Recipe:
    """A recipe from a YAML file or by the name of a shipped one, with ``a.b=value`` overrides.

    A file may say under ``sample`` what it would be without real data: keys such as ``data.train`` with their values,
    which with ``sample`` are put in place of the file's own (before the overrides).

    Raises:
        ConfigError: no such recipe, YAML that does not parse, an unknown key, a value out of range. One line says
            which key, what came and what was wanted.

    Example::

        load_recipe("demo", ["training.epochs=2", "output=runs/short"])
    """
    path = Path(source)
    if not path.suffix:
        path = SHIPPED / f"{source}.yaml"
        if not path.is_file():
            raise ConfigError(f"recipe '{source}': no such name. Shipped: {', '.join(shipped())}; or give a .yaml.")
    try:
        tree = yaml.load(read_text(path), Loader=_Loader)
    except yaml.YAMLError as fault:
        raise ConfigError(f"{path}: not YAML ({' '.join(str(fault).split())}).") from None
    except TutelageError as fault:
        raise ConfigError(str(fault)) from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: holds no mapping. Wanted keys such as: {', '.join(Recipe.model_fields)}.")
    without_data = tree.pop(SAMPLE, {})
    if not isinstance(without_data, dict):
        raise ConfigError(f"{path}: '{SAMPLE}' holds no mapping. Wanted keys such as data.train, with their values.")
    for key, value in without_data.items() if sample else ():
        _put(tree, key, value, f"{path}: {SAMPLE}: {key}")
    for override in overrides:
        _set(tree, override)
    try:
        return Recipe.model_validate(tree)
    except ValidationError as fault:
        raise ConfigError(f"{path}: {_explain(fault)}") from None


class _Loader(yaml.SafeLoader):
    """Safe YAML in which 5e-5 is a number: YAML 1.1 reads it as text for want of a dot."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise yaml.constructor.ConstructorError(None, None, f"key '{twice[0]}' stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def shipped() -> list[str]:
    """Names of the recipes inside the package."""
    return sorted(file.stem for file in SHIPPED.glob("*.yaml"))


def _set(tree: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {override}: wanted key=value, as in --set training.epochs=2.")
    try:
        parsed = yaml.load(value, Loader=_Loader)
    except yaml.YAMLError as fault:
        raise ConfigError(f"--set {override}: not YAML ({' '.join(str(fault).split())}).") from None
    _put(tree, key, parsed, f"--set {override}")


def _put(tree: dict[str, Any], key: str, value: Any, where: str) -> None:
    """Set ``a.b`` to a value; ``where`` begins the complaint."""
    *parents, last = key.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"{where}: '{parent}' holds a value, not keys. Name an existing section.")
    tree[last] = value


WANTED = {  # in place of pydantic's words
    "tuple_type": "Wanted a list, as in [first, second]",
    "model_type": "Wanted keys, as in {name: value}",
    "model_attributes_type": "Wanted keys, as in {name: value}",
    "dict_type": "Wanted keys, as in {name: value}",
    "path_type": "Wanted a path",
}


def _explain(fault: ValidationError) -> str:
    """The first fault as where, what came, what was wanted."""
    # A list whose only entry is faulty is also "too short": that is one fault.
    errors = [e for e in fault.errors() if not (e["type"] == "too_short" and e["input"])]
    error = errors[0]
    more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
    *section, key = [str(part) for part in error["loc"]] or ["recipe"]
    where = ".".join(section) or "recipe"
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown option '{key}'. Options: {', '.join(_options(section))}.{more}"
    if error["type"] == "missing":
        return f"{where}: '{key}' is missing. Add it.{more}"
    message = WANTED.get(error["type"], error["msg"]).removeprefix("Value error, ")
    if isinstance(error["input"], dict) and error["type"] == "value_error":  # keys that do not go together
        return f"{'.'.join(map(str, error['loc'])) or 'recipe'}: {message.rstrip('.')}.{more}"
    return f"{where}: '{key}' is {error['input']!r}. {message[0].upper()}{message[1:].rstrip('.')}.{more}"


def _options(section: Sequence[str]) -> list[str]:
    """The keys that a section of the recipe knows."""
    record: type[BaseModel] = Recipe
    for part in section:
        if part in record.model_fields:
            kind = record.model_fields[part].annotation
            # A section is a record, or a tuple of records.
            record = next(inner for inner in (*get_args(kind), kind) if isinstance(inner, type))
    return list(record.model_fields)
