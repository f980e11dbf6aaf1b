"""The guided loss as a sentence-transformers trainer meets it: features in, a scalar out."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import get_world_size
from torch import Tensor, nn

from tutelage.encode.encoder import Features, embed_columns, refuse_maskless
from tutelage.encode.tokens import Tokens
from tutelage.errors import ConfigError, DataError
from tutelage.guide.store import GuideStore
from tutelage.losses import Drops, Embedded, guided_contrastive
from tutelage.losses.directions import Direction, HardnessMode, PartitionMode, chosen, refuse
from tutelage.losses.masks import MarginStrategy
from tutelage.records.pairs import CONCEPT
from tutelage.records.texts import text_ids
from tutelage.train.citations import citations
from tutelage.train.collate import GROUP_ID, TEXT_ID, GuidedCollator
from tutelage.train.gather import EnteredOnce, over_ranks


def pooled_rates(drops: Sequence[Drops]) -> dict[str, float]:
    """What the rules dropped in some batches; empty when there were none.

    Share of the candidates for each rule, and under ``partition`` the share of the softmax's denominator that the
    dropped ones would have made up.
    """
    if not drops:
        return {}
    pooled = Drops.pool(drops)
    return {**pooled.rates(), "partition": float(pooled.removed)}


class GuidedLoss(nn.Module):
    """GISTEmbed's loss over a guide store: in-batch negatives, without those that are right answers too.

    The formula and the five rules stand in `tutelage.losses.guided_contrastive`. The guide does not run here: its
    vectors are looked up by text id, so the collator must be this loss's own. With several processes (torchrun) a row
    meets the candidates of all of them, as if they were one.

    Args:
        model: the encoder to train.
        guide_store: the guide's vectors of all training texts; None: no guide rule (multiple-negatives ranking).
        temperature: divides similarities; 0.01-0.1 is usual for cosine.
        margin: guide ceiling = similarity of the positive - margin; above 0 drops more candidates.
        margin_strategy: ``absolute``, or ``relative`` (ceiling = s - |s| margin).
        contrast_anchors: anchors compete with each other.
        contrast_positives: positives compete with each other.
        directions: who competes, in sentence-transformers' words, in place of these two.
        partition_mode: one softmax (``joint``), or one for each direction (``per_direction``).
        hardness_mode: whose logits ``hardness_strength`` x sim raises; default: nobody's.
        hardness_strength: 5-9 is usual.
        drop_same_text: never push a text away from itself.
        drop_same_group: nor from a text of its own group (where the data has a group column).
        never: (text, text) pairs that are no negatives of each other, whatever the guide says.
        dims: Matryoshka dimensions, weight 1 each (or a mapping to weights); default: the whole width only.
        token_budget: padded tokens in one forward pass; default: by device.
        memory_budget: GiB of graphs that are kept; what does not fit is embedded again in the backward pass. Default:
            half of the memory that is free.

    Inputs: (anchor, positive) or (anchor, positive, negative, ...) columns; no labels.

    Raises:
        ConfigError: temperature <= 0, an unknown margin strategy, a dimension that the model lacks.
        DataError: a batch without text ids, with one column, or with texts that the store lacks.

    Example (two lines differ from a stock script: the loss and the collator)::

        store = GuideStore.build(guide, dataset["anchor"][:] + dataset["positive"][:], "guides/minilm")
        loss = GuidedLoss(model, store, temperature=0.05)
        SentenceTransformerTrainer(model=model, train_dataset=dataset, loss=loss, data_collator=loss.collator()).train()
    """

    never: Tensor

    def __init__(
        self,
        model: SentenceTransformer,
        guide_store: GuideStore | None,
        *,
        temperature: float = 0.01,
        margin: float = 0.0,
        margin_strategy: MarginStrategy = "absolute",
        contrast_anchors: bool = True,
        contrast_positives: bool = True,
        directions: Sequence[Direction] | None = None,
        partition_mode: PartitionMode = "joint",
        hardness_mode: HardnessMode | None = None,
        hardness_strength: float = 0.0,
        drop_same_text: bool = True,
        drop_same_group: bool = True,
        never: Iterable[tuple[str, str]] = (),
        dims: Sequence[int] | Mapping[int, float] | None = None,
        token_budget: int | None = None,
        memory_budget: float | None = None,
    ) -> None:
        super().__init__()
        try:
            named = chosen(directions, contrast_anchors, contrast_positives)
            refuse(named, partition_mode, hardness_mode, hardness_strength, temperature, margin_strategy)
        except ValueError as fault:
            raise ConfigError(str(fault)) from None
        refuse_maskless([model.preprocess(["a"])])
        width = model.get_embedding_dimension()
        if dims is not None and (not dims or width is None or not all(0 < dim <= width for dim in dims)):
            raise ConfigError(f"dims are {list(dims)}; the model has {width} dimensions. Give some from 1 to {width}.")
        self.model = model
        self.guide_store = guide_store
        self.options: dict[str, Any] = {
            "temperature": temperature,
            "margin": margin,
            "margin_strategy": margin_strategy,
            "contrast_anchors": contrast_anchors,
            "contrast_positives": contrast_positives,
            "directions": directions,
            "partition_mode": partition_mode,
            "hardness_mode": hardness_mode,
            "hardness_strength": hardness_strength,
            "drop_same_text": drop_same_text,
            "drop_same_group": drop_same_group,
            "dims": dims if dims is None or isinstance(dims, Mapping) else dict.fromkeys(dims, 1.0),
            "guide_dims": None if guide_store is None else guide_store.guide_dims,
        }
        ids = [text_ids(pair) for pair in never]
        listed = torch.from_numpy(np.stack(ids)) if ids else torch.empty(0, 2, dtype=torch.int64)
        self.register_buffer("never", listed, persistent=False)
        self.token_budget, self.memory_budget = token_budget, memory_budget
        self._drops: list[Drops] = []

    def collator(
        self, *, group_column: str | None = CONCEPT, tokens: Tokens | None = None, **options: Any
    ) -> GuidedCollator:
        """The data collator this loss needs.

        Args:
            group_column: the column whose equal values mean "the same group".
            tokens: texts tokenised before; default: every batch is tokenised when it comes.
            options: of sentence-transformers' collator (``prompts`` ...).
        """
        return GuidedCollator(tokens or self.model.preprocess, group_column=group_column, **options)

    def forward(self, sentence_features: Iterable[Features], labels: Tensor | None = None) -> Tensor:
        """Mean loss of one batch."""
        columns = [dict(column) for column in sentence_features]
        if len(columns) < 2:
            raise DataError(f"the batch has {len(columns)} text column; an anchor and a positive at least are wanted.")
        if any(TEXT_ID not in column for column in columns):
            raise DataError(
                "the batch carries no text ids. Give the trainer this loss's collator: data_collator=loss.collator()."
            )
        ids = [column.pop(TEXT_ID) for column in columns]
        groups = [column.pop(GROUP_ID, None) for column in columns]
        model = EnteredOnce(self.model) if get_world_size() > 1 else self.model
        vectors = embed_columns(model, columns, token_budget=self.token_budget, memory_budget=self.memory_budget)
        (anchor, positive, negative), where = over_ranks(*self.embedded(vectors, ids, groups))
        loss, drops = guided_contrastive(anchor, positive, negative, **where, **self.options, never=self.never)
        if self.training:
            self._drops.append(drops)
        return loss

    def embedded(
        self, vectors: Sequence[Tensor], ids: list[Tensor], groups: Sequence[Tensor | None]
    ) -> tuple[Embedded, Embedded, Embedded | None]:
        """Anchors, positives and negatives as the loss's function takes them, the guide's vectors beside the encoder's.

        Args:
            vectors: of the encoder, of each text column.
            ids: text ids of each column.
            groups: group ids of each column, or none.
        """
        guides = [None if self.guide_store is None else self.guide_store.vectors(i) for i in ids]
        anchor, positive, *negatives = (Embedded(*parts) for parts in zip(vectors, guides, ids, groups, strict=True))
        negative = None
        if negatives:
            negative = Embedded(
                torch.cat([column.vectors for column in negatives]),
                None if self.guide_store is None else torch.cat([g for g in guides[2:] if g is not None]),
                torch.cat(ids[2:]),
            )
        return anchor, positive, negative

    def take_drops(self) -> list[Drops]:
        """What the rules dropped in each batch since this was last asked."""
        taken, self._drops = self._drops, []
        return taken

    def drop_rates(self) -> dict[str, float]:
        """What `take_drops` tells, as rates; empty when nothing was trained."""
        return pooled_rates(self.take_drops())

    def get_config_dict(self) -> dict[str, Any]:
        """What the model card says of this loss."""
        guide = repr(self.guide_store.fingerprint) if self.guide_store else None
        return {"guide": guide, **self.options, "never": len(self.never)}

    @property
    def citation(self) -> str:
        """BibTeX for the model card."""
        return citations(guided=self.guide_store is not None, matryoshka=self.options["dims"] is not None)
