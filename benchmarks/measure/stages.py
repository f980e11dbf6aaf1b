"""The loss with its gradient on given vectors: ours, and sentence-transformers' plain and cached GISTEmbed."""

from collections.abc import Callable, Sequence

from sentence_transformers.sentence_transformer.losses import CachedGISTEmbedLoss, GISTEmbedLoss
from torch import Tensor

from measure.given import Given, vectors
from tutelage.losses import Embedded, guided_contrastive

TEMPERATURE = 0.05


def ours(rows: int, dim: int, device: str = "cpu") -> Callable[[], float]:
    sides, guides, ids = vectors(rows, dim, device)

    def run() -> float:
        for side in sides:
            side.grad = None
        parts = [Embedded(*each) for each in zip(sides, guides, ids, strict=True)]
        loss, _ = guided_contrastive(*parts, temperature=TEMPERATURE, drop_same_text=False)
        loss.backward()
        return loss.item()

    return run


def documented(rows: int, dim: int, device: str = "cpu") -> Callable[[], float]:
    sides, guides, _ = vectors(rows, dim, device)
    student, guide = Given(), Given()
    loss_of = GISTEmbedLoss(student, guide, temperature=TEMPERATURE)
    loss_of.must_retokenize = False
    # The guide is asked with copies of the student's features: give each its own vectors by name.
    guide.forward = lambda features: {"sentence_embedding": features["guide"]}

    def run() -> float:
        for side in sides:
            side.grad = None
        loss = loss_of([{"vectors": v, "guide": g} for v, g in zip(sides, guides, strict=True)], None)
        loss.backward()
        return loss.item()

    return run


def cached(sides: Sequence[Tensor], guides: Sequence[Tensor], size: int) -> float:
    """The loss stage of the cached loss: value, and gradients at its leaves, one leaf a mini-batch."""
    loss_of = CachedGISTEmbedLoss(Given(), Given(), temperature=TEMPERATURE, mini_batch_size=size)
    reps = [[part.detach().requires_grad_() for part in side.split(size)] for side in sides]
    loss, _ = loss_of.calculate_loss_and_cache_gradients(reps, [list(guide.split(size)) for guide in guides])
    return loss.item()
