"""A saved model's way to the Hugging Face hub."""

from pathlib import Path

from huggingface_hub import HfApi

from tutelage.errors import ConfigError


def push(folder: Path, repository: str, *, private: bool = True) -> str:
    """Upload a saved model's folder as it is; the repository is made if there is none.

    Args:
        folder: the saved model.
        repository: ``owner/name``.
        private: of a new repository; one that exists stays as it is.

    Returns:
        Where it is to be seen.

    Raises:
        ConfigError: the hub cannot be reached, or does not take it; the message says how to push by hand.
    """
    try:
        api = HfApi()
        api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message=f"{folder.parent.name}: model")
    except Exception as fault:  # the hub client raises a dozen unrelated types; all mean: not there
        first = str(fault).strip().partition("\n")[0][:200]
        raise ConfigError(
            f"training.push_to_hub: the hub did not take the model ({type(fault).__name__}: {first}). The run is whole "
            f"and its model kept; go online, log in (hf auth login), and push it: hf upload {repository} {folder} ."
        ) from None
    return f"https://huggingface.co/{repository}"
