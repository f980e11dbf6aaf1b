"""What every benchmark shares: workers that take turns, the facts of the machine, the results file."""
