"""Retrieval sets: queries, a corpus, and which entries of the corpus are right for each query."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from zipfile import ZipFile, is_zipfile

from tutelage.errors import DataError
from tutelage.records.concepts import Label
from tutelage.records.tables import decode, delimited_rows
from tutelage.records.texts import canonical, text_id


@dataclass(frozen=True)
class RetrievalSet:
    """Queries, corpus and relevance by id.

    ``exclude_self``: a corpus entry with the query's own id is left out of that query's ranking (for sets in which
    every label is a query and an entry), and is then no right one of it either. ``cluster``: queries with one value
    are not independent (labels of one concept), and intervals resample whole clusters. ``held_out``: no text of the
    set may be trained on.

    Raises:
        DataError: a relevance row names an unknown query or entry, or no query has a relevant entry.
    """

    name: str
    queries: dict[str, str]
    corpus: dict[str, str]
    relevance: dict[str, frozenset[str]]
    exclude_self: bool = False
    cluster: dict[str, str] = field(default_factory=dict)
    held_out: bool = False

    def __post_init__(self) -> None:
        if unknown := self.relevance.keys() - self.queries.keys():
            raise DataError(_unknown(self.name, "query", unknown, len(self.queries)))
        if missing := frozenset().union(*self.relevance.values()) - self.corpus.keys():
            raise DataError(_unknown(self.name, "corpus", missing, len(self.corpus)))
        if self.exclude_self and any(query in right for query, right in self.relevance.items()):
            others = {query: right - {query} for query, right in self.relevance.items()}
            object.__setattr__(self, "relevance", others)
        if not any(self.relevance.values()):
            raise DataError(f"{self.name}: no query has a relevant entry, so nothing can be measured. Check the qrels.")

    @cached_property
    def asked(self) -> list[str]:
        """The queries that have a right entry: the others are in no mean."""
        return [query for query in self.queries if self.relevance.get(query)]

    @cached_property
    def digest(self) -> str:
        """Stands for what is asked, in which corpus, and what is right: figures of equal digests may be compared."""
        right = ["\t".join(sorted(self.relevance[name])) for name in self.asked]
        parts = (self.asked, [self.queries[name] for name in self.asked], right, self.corpus, self.corpus.values())
        whole = "\n\n".join("\n".join(part) for part in parts) + str(self.exclude_self)
        return blake2b(whole.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _unknown(name: str, what: str, ids: Iterable[str], known: int) -> str:
    ids = sorted(ids)
    return (
        f"{name}: qrels name {len(ids)} unknown {what} id{'s' if len(ids) > 1 else ''} (first: '{ids[0]}'); "
        f"{known} are known. Use the qrels that belong to these files."
    )


def read_retrieval(path: str | Path, name: str = "", *, lower: bool = False) -> RetrievalSet:
    """A folder or zip of three files, as TalentCLEF ships them.

    ``queries`` (header ``q_id<TAB>text``), ``corpus_elements`` (header ``c_id<TAB>text``) and ``qrels.tsv`` (no
    header: ``q_id 0 c_id relevance``, TREC); each may also end in ``.tsv``. A query without a relevant entry is
    kept here and left out of the means, as everywhere in the field.

    Raises:
        DataError: a file is missing, a row has the wrong number of columns, an id stands twice, qrels name unknown ids.
    """
    path = Path(path)
    files = _members(path)
    name = name or str(path)
    queries = _texts(files, path, ("queries", "queries.tsv"), lower)
    corpus = _texts(files, path, ("corpus_elements", "corpus_element", "corpus_elements.tsv", "corpus.tsv"), lower)
    where, text = _pick(files, path, ("qrels.tsv", "qrels"))
    relevance: dict[str, set[str]] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        cells = line.split()
        if not cells:
            continue
        if len(cells) != 4 or not re.fullmatch(r"-?[0-9]+", cells[3]):
            raise DataError(f"{where} row {number}: '{line}'. Wanted four fields: query id, 0, corpus id, relevance.")
        if int(cells[3]) > 0:
            relevance.setdefault(cells[0], set()).add(cells[2])
    return RetrievalSet(name, queries, corpus, {query: frozenset(ids) for query, ids in relevance.items()})


def _members(path: Path) -> dict[str, bytes]:
    """File name (without folders) -> content; a zip's single inner folder is looked through."""
    if path.is_dir():
        return {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()}
    if path.is_file() and is_zipfile(path):
        with ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
            names = [Path(info.filename).name for info in members]
            if twice := [name for name in names if names.count(name) > 1]:
                raise DataError(f"{path}: holds '{twice[0]}' in several folders. Give a zip of one set.")
            return {name: archive.read(info) for name, info in zip(names, members, strict=True)}
    raise DataError(f"{path}: neither a folder nor a zip. Wanted one with queries, corpus_elements and qrels.tsv.")


def _pick(files: dict[str, bytes], path: Path, names: tuple[str, ...]) -> tuple[str, str]:
    for name in names:
        if name in files:
            where = str(path / name)
            return where, decode(files[name], where)
    raise DataError(f"{path}: no file '{names[0]}'. Found: {', '.join(sorted(files)) or 'nothing'}.")


def _texts(files: dict[str, bytes], path: Path, names: tuple[str, ...], lower: bool) -> dict[str, str]:
    where, content = _pick(files, path, names)
    texts: dict[str, str] = {}
    for number, row in delimited_rows(content, where, "\t"):
        if len(row) != 2:
            raise DataError(f"{where} row {number}: {len(row)} columns. Wanted two: id and text, split by a tab.")
        if not next(iter(row)).lower().endswith("id"):
            raise DataError(
                f"{where} row 1: '{next(iter(row))}' is no header. Wanted a first line such as q_id<TAB>text."
            )
        key, value = row.values()
        text = canonical(value, lower=lower)
        if not text:
            raise DataError(f"{where} row {number}: the text is empty. Remove the row or fix its source.")
        if key in texts:
            raise DataError(f"{where} row {number}: id '{key}' stands twice. Ids must be unique.")
        texts[key] = text
    return texts


def labels_set(name: str, labels: Iterable[Label]) -> RetrievalSet:
    """Every label is a query; the corpus is all labels; right are the other labels of its concept.

    A text that stands under several concepts is one entry, right for all of them. Ids are text ids, so a query's
    own entry is known and left out. Labels without a partner stay in the corpus and ask nothing.
    """
    texts, concepts, members = _by_text(labels)
    relevance = {key: frozenset().union(*(members[c] for c in owners)) - {key} for key, owners in concepts.items()}
    relevance = {key: right for key, right in relevance.items() if right}
    return RetrievalSet(
        name,
        queries={key: texts[key] for key in relevance},
        corpus=texts,
        relevance=relevance,
        exclude_self=True,
        cluster={key: min(concepts[key]) for key in relevance},
        held_out=True,
    )


def translations_set(name: str, queries: Iterable[Label], corpus: Iterable[Label]) -> RetrievalSet:
    """Every label of one language is a query, the corpus is all labels of another; right are those of its concept.

    As `labels_set`, but a text that both languages share stays in the ranking: there it is a translation.
    """
    texts, concepts, _ = _by_text(queries)
    entries, _, members = _by_text(corpus)
    relevance = {key: frozenset().union(*(members.get(c, ()) for c in owners)) for key, owners in concepts.items()}
    relevance = {key: right for key, right in relevance.items() if right}
    return RetrievalSet(
        name,
        queries={key: texts[key] for key in relevance},
        corpus=entries,
        relevance=relevance,
        cluster={key: min(concepts[key]) for key in relevance},
        held_out=True,
    )


def _by_text(labels: Iterable[Label]) -> tuple[dict[str, str], dict[str, set[str]], dict[str, set[str]]]:
    """Of each text id the text and its concepts; of each concept its text ids."""
    texts: dict[str, str] = {}
    concepts: dict[str, set[str]] = {}
    members: dict[str, set[str]] = {}
    for label in labels:
        key = str(text_id(label.text))
        texts[key] = label.text
        concepts.setdefault(key, set()).add(label.concept)
        members.setdefault(label.concept, set()).add(key)
    return texts, concepts, members
