"""TalentCLEF Task A training pairs. (Its validation sets are folders that `read_retrieval` reads.)"""

from pathlib import Path

from datasets import Dataset

from tutelage.errors import DataError
from tutelage.records.pairs import IDENTITY_COLUMNS
from tutelage.records.tables import read_text
from tutelage.records.texts import canonical


def read_talentclef_pairs(path: str | Path, language: str, *, lower: bool = False) -> Dataset:
    """The official training file: no header, four tab-separated columns.

    They are the ISCO group's URI, the ESCO occupation's URI and two job titles (doi:10.5281/zenodo.14002665).

    Returns:
        Columns ``anchor``, ``positive``, ``concept``, ``group``, ``language``.

    Raises:
        DataError: a row without four columns or with an empty title.
    """
    path = Path(path)
    rows = []
    for number, line in enumerate(read_text(path).removesuffix("\n").split("\n"), start=1):
        cells = line.split("\t")
        if not line.strip():
            continue
        if len(cells) != 4:
            raise DataError(f"{path} row {number}: {len(cells)} columns. Wanted four: family, occupation, two titles.")
        anchor, positive = (canonical(title, lower=lower) for title in cells[2:])
        if not (anchor and positive):
            raise DataError(f"{path} row {number}: a title is empty. Remove the row or fix its source.")
        rows.append((anchor, positive, cells[1], cells[0].rpartition("/C")[2], language))
    if not rows:
        raise DataError(f"{path}: no rows. At least one is wanted.")
    names = ("anchor", "positive", *IDENTITY_COLUMNS)
    return Dataset.from_dict({name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)})
