"""Which examples meet in a batch. Samplers plug into any sentence-transformers trainer through `batch_sampler`."""

from tutelage.sampling.batches import ConceptBatches, NoDuplicateBatches, first_fit

__all__ = ["ConceptBatches", "NoDuplicateBatches", "first_fit"]
