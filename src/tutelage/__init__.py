"""tutelage: fine-tune text-embedding models under a guide, prove the gain, search with the result.

Public names load on first use, so that ``import tutelage`` stays quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "GuideStore": "tutelage.guide.store",
    "GuidedLoss": "tutelage.train.objective",
    "GuidedTrainer": "tutelage.train.trainer",
}
__all__ = ["__version__", *_HOME]

if TYPE_CHECKING:
    from tutelage.guide.store import GuideStore as GuideStore
    from tutelage.train.objective import GuidedLoss as GuidedLoss
    from tutelage.train.trainer import GuidedTrainer as GuidedTrainer


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'tutelage' has no attribute '{name}'. It has: {', '.join(__all__)}.")
    return getattr(import_module(_HOME[name]), name)
