"""Recipes that ship with the package, by name: `demo`, `demo_sample`."""
