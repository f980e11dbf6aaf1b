"""Putting a model to work: exact search over a list of labels."""
