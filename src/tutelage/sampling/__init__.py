"""Which examples meet in a batch. Samplers plug into any sentence-transformers trainer through `batch_sampler`."""

from tutelage.sampling.batches import ConceptBatches, NoDuplicateBatches, first_fit
from tutelage.sampling.mixture import WeightedBatches

__all__ = ["ConceptBatches", "NoDuplicateBatches", "WeightedBatches", "first_fit"]
