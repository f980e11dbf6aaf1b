"""The canonical form of a text and its id: the identity that travels with every row from here on."""

import re
import unicodedata
from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from jaxtyping import Int64


def canonical(text: str, *, lower: bool = False) -> str:
    """Unicode NFC, no surrounding white space; case is kept unless ``lower``.

    Two spellings of the same letters ("é" as one code point or as two) become one text, so that equality,
    ids and tokens agree.

    >>> canonical("  Ingénieure ") == "Ingénieure"
    True
    """
    return unicodedata.normalize("NFC", text.lower() if lower else text).strip()


def canonical_texts(texts: Iterable[str]) -> list[str]:
    """Their canonical forms, each once, in order of first appearance; empty ones are passed over.

    >>> canonical_texts(["nurse", " ", " nurse", "cook"])
    ['nurse', 'cook']
    """
    return [*dict.fromkeys(text for each in texts if (text := canonical(each)))]


def text_id(text: str) -> int:
    """Stable 64-bit integer of a canonical text (BLAKE2b): the same on every machine and in every run.

    Two distinct texts share an id with probability about n² / 2⁶⁵ (3e-6 for ten million texts).

    >>> text_id("nurse") == text_id(" nurse ")
    True
    """
    digest = blake2b(canonical(text).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def text_ids(texts: Iterable[str]) -> Int64[np.ndarray, " texts"]:
    """Ids of many texts, in their order."""
    return np.fromiter((text_id(text) for text in texts), dtype=np.int64)


def distinct(texts: Iterable[str]) -> list[str]:
    """The distinct texts by id, in order of first appearance."""
    first: dict[int, str] = {}
    for text in texts:
        first.setdefault(text_id(text), text)
    return list(first.values())


def first_sentence(text: str) -> str:
    """A text up to the first full stop, exclamation or question mark that ends a word.

    >>> first_sentence("Nurses care for people. They work in shifts.")
    'Nurses care for people.'
    """
    return re.split(r"(?<=[.!?])\s", text.strip(), maxsplit=1)[0]
