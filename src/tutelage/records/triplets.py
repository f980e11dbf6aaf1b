"""Triplets: an anchor, what matches it, and what does not though it looks alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tutelage.errors import DataError
from tutelage.records.pairs import read_pairs

COLUMNS = ("anchor", "positive", "negative")


@dataclass(frozen=True)
class TripletSet:
    """Texts of equal position form a triplet."""

    name: str
    anchors: list[str]
    positives: list[str]
    negatives: list[str]

    def __len__(self) -> int:
        return len(self.anchors)

    def take(self, rows: Sequence[int]) -> "TripletSet":
        """These triplets alone."""
        sides = (self.anchors, self.positives, self.negatives)
        return TripletSet(self.name, *([side[row] for row in rows] for side in sides))


def read_triplets(source: str | Path, columns: Sequence[str] = COLUMNS, name: str = "") -> TripletSet:
    """Triplets from JSONL, CSV, TSV, Parquet or a hub dataset; named after the file unless ``name`` says otherwise.

    Args:
        source: the file or the hub name.
        columns: which columns hold anchor, positive and negative.
        name: what figures are kept under.

    Raises:
        DataError: not three columns, a missing one, an empty text, no row.

    Example::

        read_triplets("dev.csv", columns=("query", "positive", "negative"))
    """
    if len(columns) != 3:
        raise DataError(f"{source}: {len(columns)} columns named. Wanted three: anchor, positive, negative.")
    rows = read_pairs(source, columns)
    return TripletSet(name or Path(str(source)).name.partition(".")[0], *(list(rows[column]) for column in COLUMNS))
