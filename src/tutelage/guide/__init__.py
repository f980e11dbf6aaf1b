"""The guide's side: what identifies a guide, and the store that keeps its vectors."""
