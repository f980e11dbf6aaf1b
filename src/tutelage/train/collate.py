"""The collator: sentence-transformers' own, plus the identity of every text."""

from dataclasses import dataclass
from typing import Any

import torch
from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator

from tutelage.records.pairs import CONCEPT, IDENTITY_COLUMNS
from tutelage.records.texts import text_ids

TEXT_ID, GROUP_ID = "text_id", "group_id"


@dataclass
class GuidedCollator(SentenceTransformerDataCollator):
    """Tokenises text columns and adds ``{column}_text_id`` to each, ``{column}_group_id`` to anchor and positive.

    Args:
        group_column: the column whose equal values mean "the same group" (rule 3); none: no groups. It and the
            other identity columns (concept, group) are never read as text.
    """

    group_column: str | None = CONCEPT

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        """One batch of rows as tensors, with ids."""
        if not features:
            return {}
        unread = {*IDENTITY_COLUMNS, self.group_column}
        batch = super().__call__([{key: row[key] for key in row if key not in unread} for row in features])
        columns = [name for name in features[0] if f"{name}_input_ids" in batch]
        for column in columns:
            batch[f"{column}_{TEXT_ID}"] = torch.from_numpy(text_ids(row[column] for row in features))
        if self.group_column in features[0]:
            groups = torch.from_numpy(text_ids(str(row[self.group_column]) for row in features))
            for column in columns[:2]:
                batch[f"{column}_{GROUP_ID}"] = groups
        return batch
