"""Checkpoints that a run can go on from: a manifest, written last, proves that every file of one is there whole.

transformers writes a checkpoint file by file: weights, optimizer, schedule, random states, ``trainer_state.json``. A
run that is killed meanwhile, or while an old checkpoint is removed, leaves a part of one, perhaps with its last file.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from accelerate import PartialState
from transformers import TrainerCallback
from transformers.trainer import OPTIMIZER_NAME

from tutelage.evaluate.report import write_json

MANIFEST = "manifest.json"
PATTERN = "checkpoint-*"  # transformers' names: checkpoint-STEP


class Seal(TrainerCallback):
    """Writes the manifest of each checkpoint as soon as all processes have written their part."""

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Seal the checkpoint of this step."""
        PartialState().wait_for_everyone()
        if state.is_world_process_zero:
            checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            write_json(checkpoint / MANIFEST, _sizes(checkpoint))


def whole(folder: Path) -> list[Path]:
    """The whole checkpoints in a folder, the latest last."""
    return sorted(filter(_is_whole, folder.glob(PATTERN)), key=step_of)


def resumable(checkpoint: Path) -> bool:
    """Whether a whole checkpoint holds the optimizer too: weights alone are nothing to go on from."""
    return (checkpoint / OPTIMIZER_NAME).is_file()


def remove_broken(folder: Path) -> None:
    """Remove what is left of checkpoints that are not whole.

    A later one of the same step is written over it, and old files must not vouch for new ones.
    """
    for checkpoint in folder.glob(PATTERN):
        if not _is_whole(checkpoint):
            shutil.rmtree(checkpoint)


def _is_whole(checkpoint: Path) -> bool:
    try:
        listed = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(listed == _sizes(checkpoint))


def _sizes(checkpoint: Path) -> dict[str, int]:
    """Size in bytes of every file but the manifest."""
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path != checkpoint / MANIFEST)
    return {str(path.relative_to(checkpoint)): path.stat().st_size for path in files}


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint is of."""
    return int(checkpoint.name.rpartition("-")[2])
