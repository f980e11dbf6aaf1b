"""From a recipe to a finished run: the loss as a trainer meets it, the collator, the trainer and the run itself."""
