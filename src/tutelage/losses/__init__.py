"""Contrastive losses as pure functions of vectors and indices: no model, tokenizer, rank or file is known here."""

from tutelage.losses.contrastive import guided_contrastive
from tutelage.losses.masks import RULES, Drops, Embedded

__all__ = ["RULES", "Drops", "Embedded", "guided_contrastive"]
