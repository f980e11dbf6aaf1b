"""What goes into an index: labels of a taxonomy by name, of a table, or of a file with one label a line."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tutelage.errors import DataError
from tutelage.records.tables import ENDINGS, is_missing, text_columns
from tutelage.records.taxonomy import TAXONOMIES, concepts, labels
from tutelage.serve.contract import Entry
from tutelage.serve.snapshot import place_of

OPTIONAL = ("concept", "code", "preferred", "group", "language")


def entries(name: str, folder: Path | None = None) -> list[Entry]:
    """Entries of ``sample:LANGUAGES`` (``sample``: English), ``esco:LANGUAGES``, a table or a text file.

    A table (CSV, TSV, JSONL, Parquet) has a column ``label`` and, where it likes, ``concept``, ``code``,
    ``preferred``, ``group`` and ``language``. Labels of one concept share its URI, or, where there is none, its code;
    with neither every text is a concept. ``preferred`` is the text that its concept is shown by, default: the concept's
    first label in the language. Entries of one text, concept and language stand once.

    Raises:
        ConfigError, DataError: nothing of that name; a fault in its rows; no label.

    >>> entries("sample:en,de")[0].language
    'en'
    """
    name = "sample:en" if name == "sample" else name
    if name.partition(":")[0] in TAXONOMIES:
        found = [
            Entry(text, each.uri, each.code, each.preferred, each.group, each.language)
            for each in concepts(name, folder)
            for text in each.labels
        ]
    elif name.lower().removesuffix(".gz").endswith(ENDINGS):
        found = _with_preferred(_rows(name))
    else:
        if not is_missing(name) and not Path(name).is_file():
            raise DataError(
                f"'{name}': neither labels by name nor a file. Wanted sample:LANGUAGES, esco:LANGUAGES, a table with a "
                "column label, or a text file with a label a line."
            )
        found = [Entry(each.text, each.concept, "", each.text, "", "") for each in labels(name)]
    return _once(found, place_of)


def _rows(name: str) -> Iterator[Entry]:
    count = 0
    for label, concept, code, preferred, group, language in text_columns(name, ("label",), OPTIONAL):
        count += 1
        yield Entry(label, concept or code or label, code, preferred, group, language)
    if not count:
        raise DataError(f"{name}: no row in it. Wanted a header with a column label, and at least one row.")


def _with_preferred(rows: Iterator[Entry]) -> list[Entry]:
    first: dict[tuple[str, str], str] = {}
    found = list(rows)
    for entry in found:
        first.setdefault((entry.concept, entry.language), entry.preferred or entry.text)
    return [
        entry if entry.preferred else entry._replace(preferred=first[entry.concept, entry.language]) for entry in found
    ]


def once_a_concept(found: Iterable[Entry]) -> list[Entry]:
    """The first entry of each text and concept: a text that two languages share is shown once."""
    return _once(found, lambda entry: (entry.text, entry.concept))


def _once(found: Iterable[Entry], key: Callable[[Entry], tuple[str, ...]]) -> list[Entry]:
    first: dict[tuple[str, ...], Entry] = {}
    for entry in found:
        first.setdefault(key(entry), entry)
    return list(first.values())
