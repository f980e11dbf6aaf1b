"""Commands that put a model to work: `export`, `embed`, `index`, `match`, `serve`."""
