"""An index from labels: embedded, calibrated, written."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tutelage.errors import DataError
from tutelage.serve.calibration import THRESHOLD, Reliability, calibrate
from tutelage.serve.contract import Entry, Stats
from tutelage.serve.engine import Engine, count_truncated
from tutelage.serve.exact import EXACT
from tutelage.serve.places import new_index


class Built(NamedTuple):
    """The index in figures, and how reliable confidences are; none where too few labels could be held out.

    ``truncated``: labels that are longer than the model reads.
    """

    stats: Stats
    reliability: Reliability | None
    truncated: int


def build_index(
    engine: Engine,
    model: str,
    entries: Sequence[Entry],
    place: str | Path,
    *,
    kind: str = EXACT.name,
    threshold: float = THRESHOLD,
    progress: bool = True,
) -> Built:
    """Replace the index at a place by these entries.

    Args:
        engine: of the vectors.
        model: what it was loaded from; the index remembers it.
        entries: at least one.
        place: a folder, or a Qdrant address.
        kind: one of `tutelage.serve.places.KINDS`.
        threshold: of what the reliability is told.
        progress: show a bar, where there is a terminal.

    Raises:
        ConfigError: the place holds something else; an unknown kind.
        DataError: no entries.
    """
    if not entries:
        raise DataError("index: no labels. Give at least one.")
    index = new_index(place, kind)
    vectors = engine.encode([entry.text for entry in entries], progress="labels" if progress else None)
    learned = calibrate(entries, vectors, threshold)
    named = str(Path(model).resolve()) if Path(model).is_dir() else model  # found again from any folder
    notes = {"model": named, "calibration": learned[0]._asdict() if learned else None}
    index.build(entries, vectors, engine.fingerprint, notes)
    truncated = count_truncated(engine, [entry.text for entry in entries])
    return Built(index.stats(), learned[1] if learned else None, truncated)
