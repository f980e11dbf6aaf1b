"""The collator: sentence-transformers' own, plus the identity of every text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int64
from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator
from torch import Tensor

from tutelage.records.pairs import CONCEPT, IDENTITY_COLUMNS
from tutelage.records.texts import text_ids

TEXT_ID, GROUP_ID = "text_id", "group_id"


def identities(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], group_column: str | None
) -> list[dict[str, Int64[Tensor, " rows"]]]:
    """Text ids of each column, and group ids of the first two (anchor, positive) where there are groups."""
    found = [{TEXT_ID: torch.from_numpy(text_ids(row[column] for row in rows))} for column in columns]
    if group_column is not None and group_column in rows[0]:
        # A row without a group is a group of its own.
        named = (row[columns[0]] if row[group_column] in (None, "") else row[group_column] for row in rows)
        groups = torch.from_numpy(text_ids(map(str, named)))
        for identity in found[:2]:
            identity[GROUP_ID] = groups
    return found


@dataclass
class GuidedCollator(SentenceTransformerDataCollator):
    """Tokenises text columns and adds ``{column}_text_id`` to each, ``{column}_group_id`` to anchor and positive.

    Args:
        group_column: the column whose equal values mean "the same group" (rule 4); none: no groups. It and the
            other identity columns (concept, group, language) are never read as text.
    """

    group_column: str | None = CONCEPT

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        """One batch of rows as tensors, with ids."""
        if not features:
            return {}
        unread = {*IDENTITY_COLUMNS, self.group_column}
        batch = super().__call__([{key: row[key] for key in row if key not in unread} for row in features])
        columns = [name for name in features[0] if f"{name}_input_ids" in batch]
        for column, identity in zip(columns, identities(features, columns, self.group_column), strict=True):
            batch |= {f"{column}_{kind}": ids for kind, ids in identity.items()}
        return batch
