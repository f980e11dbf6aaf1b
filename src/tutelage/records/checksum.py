"""What a file holds, in one short string."""

from hashlib import sha256
from pathlib import Path


def of_file(path: Path) -> str:
    """Digest of a file's content."""
    content = sha256()
    with path.open("rb") as file:
        while part := file.read(2**20):
            content.update(part)
    return content.hexdigest()
