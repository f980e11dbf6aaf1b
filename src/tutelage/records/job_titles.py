"""The training sets of a job-title matcher as files: one of each language (`full_en` ...), one across them (`mix`).

The rule is that of TalentCLEF 2025's training files, told from the files themselves: of an occupation's distinct
labels, preferred and other, so many distinct unordered pairs at random, in a random order inside the pair, sorted by
ISCO group.
"""

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from datasets import Dataset

from tutelage import __version__
from tutelage.errors import ConfigError, DataError
from tutelage.records import taxonomy
from tutelage.records.attributions import ATTRIBUTIONS, MANIFEST, TERMS
from tutelage.records.concepts import Concept, labels_of, with_groups
from tutelage.records.data_folder import REDRAWN, talentclef_files
from tutelage.records.esco import read_esco
from tutelage.records.pairs import CONCEPT, GROUP, concept_pairs
from tutelage.records.talentclef import read_talentclef_pairs

MIX = "mix"
RULE = (
    "distinct labels of an occupation (preferred and other), at most max_pairs distinct unordered pairs of them at "
    "random, in a random order inside the pair, sorted by ISCO group; mix: only pairs of labels in two languages"
)


@dataclass(frozen=True)
class JobTitles:
    """Which sets are wanted, and how large.

    Args:
        languages: those of the data folder's ESCO, or of the sample.
        titles: language -> a file of its titles (see `read_esco`), for languages that ESCO lacks.
        max_pairs: of one occupation in one language.
        mix: languages that pair with each other; default: all, where there are two; (): no such set.
        mix_pairs: of one occupation across languages.
        official: take TalentCLEF's own training file of a language where the data folder has it.
        seed: of the pairs drawn.

    Raises:
        ConfigError: a mix of one language, or of one that is not asked for.
    """

    languages: tuple[str, ...] = ("en", "de", "es")
    titles: Mapping[str, Path] = field(default_factory=dict)
    max_pairs: int = 10
    mix: tuple[str, ...] | None = None
    mix_pairs: int = 7
    official: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        known = [*dict.fromkeys((*self.languages, *self.titles))]
        if self.mix and (len(set(self.mix)) < 2 or not {*self.mix} <= {*known}):
            raise ConfigError(f"mix of {', '.join(self.mix)}: wanted two or more of the languages {', '.join(known)}.")


class TitleSet(NamedTuple):
    """The rows of one set and where they come from; ``max_pairs`` is none where a file was taken as it is."""

    rows: Dataset
    source: str
    max_pairs: int | None


def write_job_titles(
    out: Path, wanted: JobTitles, folder: Path | None = None, *, overwrite: bool = False
) -> dict[str, Any]:
    """Write every set as JSONL and ``manifest.json`` into a folder, the whole of it or nothing.

    Args:
        out: the folder.
        wanted: which sets.
        folder: of real data; none: the sample.
        overwrite: replace what an earlier call wrote there.

    Returns:
        The manifest: rule, seed, of each set its file, source, rows, concepts, groups and texts; terms of the data.

    Raises:
        ConfigError, DataError: the folder holds something; a language or a file that cannot be had.
    """
    out = out.resolve()
    _refuse_to_lose(out, overwrite)
    sets = job_title_sets(wanted, folder)
    manifest = {
        "tutelage": __version__,
        "rule": RULE,
        "seed": wanted.seed,
        "sets": {name: _described(name, each) for name, each in sets.items()},
        **_owed(wanted, folder, [each.source for each in sets.values()]),
    }
    work = out.with_name(f".{out.name}.partial")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for name, each in sets.items():
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in each.rows.to_list())
        (work / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    (work / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    shutil.rmtree(out, ignore_errors=True)
    work.rename(out)
    return manifest


def job_title_sets(wanted: JobTitles, folder: Path | None = None) -> dict[str, TitleSet]:
    """The sets by name, in memory.

    Raises:
        ConfigError, DataError: a language or a file that cannot be had; titles of no known concept.
    """
    kind = "sample" if folder is None else "esco"
    named = {each: f"{kind}:{each}" for each in wanted.languages if each not in wanted.titles}
    concepts = {language: taxonomy.concepts(name, folder) for language, name in named.items()}
    for language, path in wanted.titles.items():
        named[language] = str(path)
        concepts[language] = _titles(path, language, taxonomy.concepts(f"{kind}:en", folder))
    sets = {}
    for language, name in named.items():
        official = _official(wanted, language, folder)
        sets[f"full_{language}"] = official or TitleSet(
            _drawn(concepts[language], wanted.max_pairs, wanted.seed), name, wanted.max_pairs
        )
    mix = tuple(concepts) if wanted.mix is None else wanted.mix
    if len(mix) > 1:
        pooled = [concept for language in mix for concept in concepts[language]]
        rows = _drawn(pooled, wanted.mix_pairs, wanted.seed, across=True)
        sets[MIX] = TitleSet(rows, " ".join(named[language] for language in mix), wanted.mix_pairs)
    return sets


def _titles(path: Path, language: str, english: list[Concept]) -> list[Concept]:
    found = read_esco(path, language)
    known = {concept.uri for concept in english}
    if not any(concept.uri in known for concept in found):
        raise DataError(
            f"{path}: none of its {len(found)} concepts is known (first: '{found[0].uri if found else ''}'). Wanted "
            f"conceptUri as in ESCO's own files: '{english[0].uri}'."
        )
    return with_groups(found, english)


def _official(wanted: JobTitles, language: str, folder: Path | None) -> TitleSet | None:
    """The organisers' own file, where it is wanted and there; one that was drawn anew is none of theirs."""
    if not wanted.official or folder is None or language in wanted.titles:
        return None
    files = [file for file in talentclef_files(language, folder) if not file.name.endswith(REDRAWN)]
    return TitleSet(read_talentclef_pairs(files[0], language), f"talentclef:{language}", None) if files else None


def _drawn(concepts: Iterable[Concept], max_pairs: int, seed: int, *, across: bool = False) -> Dataset:
    labels = sorted(labels_of(concepts), key=lambda label: label.group)
    return concept_pairs(labels, max_pairs=max_pairs, seed=seed, across=across)


def _described(name: str, each: TitleSet) -> dict[str, Any]:
    rows = each.rows
    return {
        "file": f"{name}.jsonl",
        "source": each.source,
        "max_pairs": each.max_pairs,
        "rows": len(rows),
        "concepts": len({*rows[CONCEPT]}),
        "groups": len({*rows[GROUP]} - {""}),
        "texts": len({*rows["anchor"], *rows["positive"]}),
    }


def _owed(wanted: JobTitles, folder: Path | None, named: list[str]) -> dict[str, list[str]]:
    """Attributions and terms of all that the sets were made from."""
    kinds = ["sample" if folder is None else "esco", *(name.partition(":")[0] for name in named)]
    kinds = [kind for kind in TERMS if kind in (*kinds, *(["titles"] * bool(wanted.titles)))]
    return {
        "attributions": [ATTRIBUTIONS[kind] for kind in kinds if kind in ATTRIBUTIONS],
        "terms": [TERMS[kind] for kind in kinds],
    }


def _refuse_to_lose(out: Path, overwrite: bool) -> None:
    if out.is_file():
        raise ConfigError(f"output {out}: a file, where a folder was wanted. Give another.")
    if not out.is_dir() or not any(out.iterdir()):
        return
    try:
        sets = json.loads((out / MANIFEST).read_text(encoding="utf-8"))["sets"]
        own = {MANIFEST, *(f"{name}.jsonl" for name in sets)}
    except (OSError, ValueError, KeyError, TypeError):
        own = set()
    if other := sorted({path.name for path in out.iterdir()} - own):
        raise ConfigError(f"output {out}: holds something other than such sets ({other[0]}). Give another folder.")
    if not overwrite:
        raise ConfigError(f"output {out}: holds sets already. Give --overwrite to replace them, or another folder.")
