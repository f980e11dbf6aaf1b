"""What every benchmark shares: workers that take turns, texts, models, the facts of the machine, the results file."""

import os

# Set before any Hugging Face package is imported: no look-ups online, no bars and hints between the tables, and
# tokenizers that stay parallel where a sampler forks.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("DATASETS_VERBOSITY", "error")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
