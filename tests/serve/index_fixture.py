"""Indexes of every kind, and entries with vectors made up for them."""

import numpy as np
from qdrant_client import QdrantClient

from tutelage.serve.contract import Entry
from tutelage.serve.exact import FolderIndex
from tutelage.serve.faiss_index import faiss_index
from tutelage.serve.qdrant_index import QdrantIndex

KINDS = ("exact", "faiss", "faiss-hnsw", "qdrant")
DIM = 16


def empty_index(kind, folder):
    if kind == "qdrant":
        return QdrantIndex(QdrantClient(":memory:"), "labels")
    if kind == "exact":
        return FolderIndex(folder / "index")
    return faiss_index(folder / "index", graph=kind == "faiss-hnsw")


def unit(rows, seed=0, dim=DIM):
    vectors = np.random.default_rng(seed).standard_normal((rows, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def made_up(count, seed=0):
    """Entries in no order: three labels a concept, three languages, groups of four digits."""
    random = np.random.default_rng(seed)
    found = []
    for i in range(count):
        concept = f"c{i // 3:04d}"
        group = f"{i // 3 % 9 + 1}{i // 3 % 7}{i // 3 % 5}1"
        text, language = f"label {random.integers(10**6)} {i}", ("en", "de", "tr")[i % 3]
        found.append(Entry(text, concept, f"{group}.{i // 3}", f"preferred {concept}", group, language))
    return [found[i] for i in random.permutation(count)]


def stored_order(entry):
    return entry.language, entry.text, entry.concept


def brute_force(entries, vectors, queries, k, languages=(), groups=()):
    """Scores in float64 of all entries that pass, sorted as the contract has it."""
    found = []
    for query in queries.astype(np.float64):
        rows = [
            (-float(np.dot(query, vector)), stored_order(entry), entry)
            for entry, vector in zip(entries, vectors.astype(np.float64), strict=True)
            if (not languages or entry.language in languages) and (not groups or entry.group.startswith(tuple(groups)))
        ]
        found.append([(entry, -score) for score, _, entry in sorted(rows, key=lambda row: row[:2])[:k]])
    return found
