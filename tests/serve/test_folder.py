"""A folder of versions: what was acknowledged survives kill -9 at any moment, and what is torn is refused by name.

Each writer is a process of its own that kills itself at a named moment. Moments are Python's audit events: files
opened, renamed and removed, just before it happens.
"""

import json
import multiprocessing
import os
import re
import signal
import sys

import numpy as np
import pytest
from filelock import FileLock
from index_fixture import made_up, unit

from tutelage.errors import ConfigError, DataError
from tutelage.serve import folder
from tutelage.serve.exact import FolderIndex
from tutelage.serve.places import KINDS, new_index, open_index

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tutelage.serve.exact"])  # imported once for all writers
KILLED = -signal.SIGKILL

ENTRIES, VECTORS = made_up(30), unit(30)
NEW, NEW_VECTORS = made_up(9, seed=7), unit(9, seed=7)


class Kill:
    """An audit hook that kills its process just before an event whose first argument ends so."""

    def __init__(self, event, ending):
        self.event, self.ending = event, ending

    def __call__(self, event, args):
        if event == self.event and str(args[0]).endswith(self.ending):
            os.kill(os.getpid(), signal.SIGKILL)


def write(home, work, kill):
    """What a process does."""
    index = FolderIndex(home)
    if kill is not None:
        sys.addaudithook(kill)
    if work == "build":
        index.build(NEW, NEW_VECTORS, "f2")
    elif work == "upsert":
        index.upsert(NEW, NEW_VECTORS)
    else:
        index.delete([ENTRIES[0].concept])


def in_process(home, work, kill=None):
    process = PROCESSES.Process(target=write, args=(home, work, kill))
    process.start()
    process.join(100)
    return process.exitcode


def state(home):
    index = FolderIndex(home)
    everything = index.search(unit(1, seed=3), 1000)
    return index.stats()[2:], everything


# Where a writer may die; nothing is acknowledged yet.
MOMENTS = {
    "before anything": ("os.mkdir", ".000002"),
    "before the vectors": ("open", "vectors.npy"),
    "before the manifest": ("open", "manifest.json"),
    "before the version has its name": ("os.rename", ".000002"),
    "before it is named current": ("open", ".current"),
    "before it is current": ("os.rename", ".current"),
}


@pytest.fixture
def home(tmp_path):
    FolderIndex(tmp_path / "index").build(ENTRIES, VECTORS, "f1")
    return tmp_path / "index"


@pytest.mark.parametrize("work", ["build", "upsert", "delete"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_writer_leaves_the_old_state_and_the_next_one_succeeds(home, work, moment):
    before = state(home)
    assert in_process(home, work, Kill(*MOMENTS[moment])) == KILLED
    assert state(home) == before
    write(home, work, None)
    after = state(home)
    assert after != before
    assert sorted(path.name for path in (home / "versions").iterdir()) == ["000001", "000002"]


def test_what_was_acknowledged_is_there_when_the_writer_dies_while_tidying_up(home):
    write(home, "upsert", None)
    before = state(home)
    assert in_process(home, "delete", Kill("shutil.rmtree", "000001")) == KILLED
    after = state(home)
    assert after != before
    assert FolderIndex(home).stats().version == "000003"


def test_a_first_build_that_is_killed_leaves_no_index(tmp_path):
    home = tmp_path / "index"
    assert in_process(home, "build", Kill("os.rename", ".current")) == KILLED
    with pytest.raises(ConfigError, match="no finished index there"):
        open_index(home)
    write(home, "build", None)
    assert open_index(home).stats().entries == 9


def test_a_reader_keeps_the_version_that_it_opened(home):
    reader = FolderIndex(home)
    before = reader.search(VECTORS, 30)
    for _ in range(3):
        FolderIndex(home).upsert(NEW, NEW_VECTORS)
    assert not (home / "versions" / "000001").exists()
    assert reader.search(VECTORS, 30) == before
    assert reader.stats().version == "000001"
    assert sorted(path.name for path in (home / "versions").iterdir()) == ["000003", "000004"]


def test_writers_take_turns(home):
    writers = [PROCESSES.Process(target=write, args=(home, work, None)) for work in ("upsert", "delete", "upsert")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(100)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert FolderIndex(home).stats().version == "000004"
    refused = pytest.raises(ConfigError, match="another process has been writing")
    with FileLock(home / folder.LOCK), refused, folder.writing(home, seconds=0.01):
        pass


@pytest.mark.parametrize("name", ["vectors.npy", "entries.parquet"])
def test_a_torn_file_is_refused_by_name(home, name):
    path = home / "versions" / "000001" / name
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for torn in (bytes(flipped), whole[:-1]):
        path.write_bytes(torn)
        with pytest.raises(DataError, match=rf"{name} is not what was written"):
            open_index(home)
    path.unlink()
    with pytest.raises(DataError, match=rf"{name} is missing"):
        open_index(home)


def test_a_manifest_of_another_format_or_none_is_refused(home):
    path = home / "versions" / "000001" / "manifest.json"
    held = json.loads(path.read_text())
    path.write_text(json.dumps(held | {"format": 99}))
    with pytest.raises(DataError, match="format is 99, this tutelage reads 1"):
        open_index(home)
    path.write_text("[]")
    with pytest.raises(DataError, match="format is list"):
        open_index(home)
    path.write_text('{"for')
    with pytest.raises(DataError, match=r"manifest\.json cannot be read"):
        open_index(home)
    path.write_text(json.dumps(held | {"kind": "annoy"}))
    with pytest.raises(ConfigError, match="of kind 'annoy'"):
        open_index(home)
    (home / "current").write_text("latest\n")
    with pytest.raises(DataError, match="holds 'latest"):
        open_index(home)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.docx").write_text("years of work")
    with pytest.raises(ConfigError, match="holds files that are no index"):
        new_index(tmp_path)
    with pytest.raises(ConfigError, match="holds files that are no index"):
        FolderIndex(tmp_path).build(ENTRIES, VECTORS, "f1")
    with pytest.raises(ConfigError, match="no finished index there"):
        open_index(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.docx"]


@pytest.mark.parametrize("kind", ["exact", "faiss", "faiss-hnsw"])
def test_an_index_is_opened_as_what_it_is(tmp_path, kind):
    new_index(tmp_path / "index", kind).build(ENTRIES, VECTORS, "f1")
    opened = open_index(tmp_path / "index")
    assert opened.stats().kind == kind
    assert opened.search(VECTORS[:1], 1)[0][0].entry == ENTRIES[0]
    other = next(each for each in KINDS if each != kind)
    with pytest.raises(ConfigError, match=f"is of kind {kind}, not {other}"):
        new_index(tmp_path / "index", other).upsert(NEW, NEW_VECTORS)


def test_a_place_and_a_kind_must_fit(tmp_path):
    with pytest.raises(ConfigError, match="kind qdrant wants qdrant"):
        new_index(tmp_path, "qdrant")
    with pytest.raises(ConfigError, match="kind exact wants a folder"):
        new_index("http://127.0.0.1:6333/esco")
    with pytest.raises(ConfigError, match="Options: exact, faiss, faiss-hnsw, qdrant"):
        new_index(tmp_path, "annoy")
    with pytest.raises(ConfigError, match="wanted qdrant"):
        new_index("qdrant+http://127.0.0.1:6333", "qdrant")


@pytest.mark.parametrize("use", [open_index, lambda place: new_index(place, "qdrant")])
def test_a_qdrant_server_that_does_not_answer_is_told_before_anything_is_embedded(use):
    place = "qdrant+http://127.0.0.1:1/esco"  # nobody listens there
    with pytest.raises(ConfigError, match=rf"index {re.escape(place)}: no Qdrant server answers there \(.*refused\)\."):
        use(place)


@pytest.mark.parametrize(("kind", "package"), [("faiss", "faiss"), ("qdrant", "qdrant_client")])
def test_a_missing_extra_says_how_to_get_it(tmp_path, kind, package, monkeypatch):
    monkeypatch.setattr(f"tutelage.serve.{kind}_index.find_spec", lambda name: None)
    place = tmp_path / "index" if kind == "faiss" else "qdrant+http://127.0.0.1:6333/esco"
    with pytest.raises(ConfigError, match=rf'pip install "tutelage\[{kind}\]"'):
        new_index(place, kind)


def test_vectors_are_read_from_the_disk_and_not_held(home):
    vectors = FolderIndex(home).opened.vectors
    assert isinstance(vectors.base, np.memmap)
    assert not isinstance(vectors, np.memmap)  # whose slices cost as much as a small search


def test_an_index_of_nothing_finds_nothing(home):
    index = FolderIndex(home)
    assert index.delete(sorted({entry.concept for entry in ENTRIES})) == 30
    assert index.search(VECTORS[:2], 3) == [[], []]
    assert FolderIndex(home).stats().entries == 0
    index.upsert(NEW, NEW_VECTORS)
    assert index.stats().entries == 9


def test_a_reader_whose_version_is_removed_under_it_opens_the_newer_one(home, monkeypatch):
    checksum, raced = folder.of_file, []

    def meanwhile(path):
        found = checksum(path)
        if not raced:
            raced.append(path)
            writer = FolderIndex(home)
            for seed in (8, 9):  # the version that is being opened goes with the second
                writer.build(made_up(6), unit(6, seed=seed), "f1")
        return found

    reader = FolderIndex(home)
    monkeypatch.setattr(folder, "of_file", meanwhile)
    assert reader.stats().entries == 6
    assert raced
