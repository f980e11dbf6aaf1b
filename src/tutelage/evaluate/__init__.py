"""Retrieval metrics on arrays, the evaluator that a trainer calls, intervals and the report."""
