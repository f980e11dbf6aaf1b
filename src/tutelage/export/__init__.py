"""A finished model as a folder that stock sentence-transformers loads, with a card that says how it was made."""
