"""What a file holds, as a checksum, and that it is on the disk."""

import os
from hashlib import sha256
from pathlib import Path


def of_file(path: Path) -> str:
    """Digest of a file's content."""
    content = sha256()
    with path.open("rb") as file:
        while part := file.read(2**20):
            content.update(part)
    return content.hexdigest()


def settle(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
