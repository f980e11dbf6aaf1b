"""The store gives back the guide's own vectors, embeds nothing twice, and refuses whatever it was not built for."""

import json
from collections.abc import Callable
from pathlib import Path
from shutil import copyfile

import numpy as np
import pytest
import torch
from conftest import tiny_model
from sentence_transformers import SentenceTransformer

from tutelage.encode.encoder import encode
from tutelage.errors import CacheMismatch, ConfigError, DataError
from tutelage.guide.store import MANIFEST, GuideStore
from tutelage.records.texts import canonical, text_id, text_ids

TEXTS = ["nurse", "Krankenpfleger/in", "welder", "head of logistics", "a", "fitter"]
TOLERANCE = {"float16": 1e-3, "float32": 1e-6, "float64": 1e-12}


class Guide:
    """A function guide that remembers what it was asked: letters counted, far from unit length."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, texts: list[str]) -> np.ndarray:
        self.asked.append(texts)
        return np.array([[3.0 * text.count(letter) + 0.5 for letter in "aeinrw"] for text in texts])

    def unit(self, texts: list[str]) -> torch.Tensor:
        vectors = Guide()([canonical(text) for text in texts])
        return torch.from_numpy(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@pytest.fixture
def guide() -> Guide:
    return Guide()


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_vectors_are_the_guides_own_in_the_order_asked(dtype: str, guide: Guide, tmp_path: Path) -> None:
    store = GuideStore.build(guide, TEXTS, tmp_path / "store", name="letters", dtype=dtype)
    asked = [TEXTS[i] for i in (3, 0, 3, 5)]
    got = store.vectors(text_ids(asked))
    assert got.dtype == (torch.float64 if dtype == "float64" else torch.float32)
    assert np.load(tmp_path / "store" / "vectors.npy").dtype == dtype
    torch.testing.assert_close(got.double(), guide.unit(asked), rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("prompt", [None, "query: "])
def test_a_models_vectors_are_its_own(prompt: str | None, tiny: SentenceTransformer, tmp_path: Path) -> None:
    store = GuideStore.build(tiny, TEXTS, tmp_path / "store", prompt=prompt, dtype="float32")
    want = torch.from_numpy(encode(tiny, TEXTS, prompt=prompt))
    torch.testing.assert_close(store.vectors(text_ids(TEXTS)), want, rtol=0, atol=1e-6)
    assert (len(store), store.dim) == (len(TEXTS), 16)


def test_ids_as_a_tensor_give_the_same_vectors(guide: Guide, tmp_path: Path) -> None:
    store = GuideStore.build(guide, TEXTS, tmp_path / "store", name="letters")
    ids = text_ids(TEXTS)
    assert torch.equal(store.vectors(torch.from_numpy(ids)), store.vectors(ids))


def test_no_ids_give_no_vectors(guide: Guide, tmp_path: Path) -> None:
    store = GuideStore.build(guide, TEXTS, tmp_path / "store", name="letters")
    assert store.vectors(np.array([], dtype=np.int64)).shape == (0, 6)


def test_a_zero_vector_stays_zero(tmp_path: Path) -> None:
    store = GuideStore.build(lambda texts: np.zeros((len(texts), 3)), ["a"], tmp_path / "store", name="zero")
    assert store.vectors(text_ids(["a"])).tolist() == [[0, 0, 0]]


def test_each_distinct_text_is_embedded_once_in_canonical_form(guide: Guide, tmp_path: Path) -> None:
    GuideStore.build(guide, ["é", " é ", "e\u0301", "a", "a"], tmp_path / "store", name="letters")
    assert guide.asked == [["é", "a"]]


def test_a_finished_store_is_reused_without_the_guide(guide: Guide, tmp_path: Path) -> None:
    first = GuideStore.build(guide, TEXTS, tmp_path / "store", name="letters")
    again = GuideStore.build(guide, TEXTS[::-1][:4], tmp_path / "store", name="letters")
    assert len(guide.asked) == 1
    assert torch.equal(again.vectors(text_ids(TEXTS)), first.vectors(text_ids(TEXTS)))


def test_a_models_finished_store_is_reused_by_the_model_that_built_it(
    tiny: SentenceTransformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    GuideStore.build(tiny, TEXTS, tmp_path / "store")
    monkeypatch.setattr(tiny, "forward", None)
    assert len(GuideStore.build(tiny, TEXTS, tmp_path / "store")) == len(TEXTS)


def test_only_missing_texts_are_embedded_when_texts_grow(guide: Guide, tmp_path: Path) -> None:
    first = GuideStore.build(guide, TEXTS[:4], tmp_path / "store", name="letters")
    before = first.vectors(text_ids(TEXTS[:4]))
    grown = GuideStore.build(guide, TEXTS, tmp_path / "store", name="letters")
    assert guide.asked == [TEXTS[:4], TEXTS[4:]]
    assert torch.equal(grown.vectors(text_ids(TEXTS[:4])), before)
    torch.testing.assert_close(grown.vectors(text_ids(TEXTS)).double(), guide.unit(TEXTS), rtol=0, atol=1e-3)
    assert json.loads((tmp_path / "store" / MANIFEST).read_text())["texts"] == len(TEXTS)


def test_holds_says_which_texts_it_has(guide: Guide, tmp_path: Path) -> None:
    store = GuideStore.build(guide, TEXTS, tmp_path / "store", name="letters")
    assert store.holds(text_ids(["nurse", "unknown", "welder"])).tolist() == [True, False, True]


@pytest.mark.parametrize("field", ["weights", "max_length", "modules", "prompt", "dtype"])
def test_a_changed_fingerprint_field_is_refused_by_name(field: str, tiny: SentenceTransformer, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    held = GuideStore.build(tiny, TEXTS, folder)
    changed = tiny_model(tmp_path / "changed", seed=1 if field == "weights" else 0)
    if field == "max_length":
        changed.max_seq_length = 9
    if field == "modules":
        changed[1].pooling_mode = "cls"
    options = {"prompt": {"prompt": "query: "}, "dtype": {"dtype": "float32"}}.get(field, {})
    with pytest.raises(CacheMismatch) as caught:
        GuideStore.build(changed, TEXTS, folder, **options)
    assert f" ({field} changed). Choose another folder (in a recipe: guide.store) or remove this one." in str(
        caught.value
    )
    assert torch.equal(GuideStore.open(folder).vectors(text_ids(TEXTS)), held.vectors(text_ids(TEXTS)))


def test_the_refusal_shows_both_fingerprints(guide: Guide, tmp_path: Path) -> None:
    held = GuideStore.build(guide, TEXTS, tmp_path / "store", name="letters")
    with pytest.raises(CacheMismatch) as caught:
        GuideStore.build(guide, TEXTS, tmp_path / "store", name="letters, version 2")
    assert str(caught.value).startswith(f"guide store {tmp_path / 'store'} holds fingerprint {repr(held)[-13:-1]}, ")
    assert "(function changed)" in str(caught.value)


def test_overwrite_replaces_a_store_of_another_fingerprint(guide: Guide, tmp_path: Path) -> None:
    GuideStore.build(guide, TEXTS, tmp_path / "store", name="letters")
    store = GuideStore.build(guide, TEXTS[:2], tmp_path / "store", name="letters", dtype="float32", overwrite=True)
    assert len(store) == 2
    assert store.fingerprint == {"function": "letters", "dtype": "float32"}


def failing(texts: list[str]) -> np.ndarray:
    raise RuntimeError("out of memory")


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="out of memory"):
        GuideStore.build(failing, TEXTS, tmp_path / "store", name="letters")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(CacheMismatch, match="no finished store"):
        GuideStore.open(tmp_path / "store")


@pytest.mark.parametrize("written", [0, 1])
def test_a_build_that_fails_while_writing_leaves_nothing(
    written: int, guide: Guide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Path] = []
    save = np.save

    def full_disk(path: Path, array: np.ndarray) -> None:
        calls.append(path)
        if len(calls) > written:
            raise OSError("no space left on device")
        save(path, array)

    monkeypatch.setattr(np, "save", full_disk)
    with pytest.raises(OSError, match="no space"):
        GuideStore.build(guide, TEXTS, tmp_path / "store", name="letters")
    assert list(tmp_path.iterdir()) == []


def test_growing_that_fails_leaves_the_old_store(guide: Guide, tmp_path: Path) -> None:
    GuideStore.build(guide, TEXTS[:4], tmp_path / "store", name="letters")
    with pytest.raises(RuntimeError):
        GuideStore.build(failing, TEXTS, tmp_path / "store", name="letters")
    assert len(GuideStore.open(tmp_path / "store")) == 4


def test_a_store_without_its_manifest_is_unusable_and_is_built_again(guide: Guide, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    GuideStore.build(guide, TEXTS, folder, name="letters")
    (folder / MANIFEST).unlink()
    with pytest.raises(CacheMismatch) as caught:
        GuideStore.open(folder)
    assert str(caught.value) == (
        f"guide store {folder}: no finished store. Build it: GuideStore.build(guide, texts, path)."
    )
    assert len(GuideStore.build(guide, TEXTS, folder, name="letters")) == len(TEXTS)
    assert guide.asked == [TEXTS, TEXTS]


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize(
    "damage",
    [
        lambda store, other: _cut(store / "vectors.npy"),
        lambda store, other: _cut(store / MANIFEST),
        lambda store, other: (store / MANIFEST).write_text('{"name": "another tool"}'),
        lambda store, other: (store / MANIFEST).write_text("[]"),
        lambda store, other: (store / "vectors.npy").unlink(),
        lambda store, other: (store / "vectors.npy").write_bytes(b""),
        lambda store, other: copyfile(other / "vectors.npy", store / "vectors.npy"),
        lambda store, other: copyfile(other / "text_ids.npy", store / "text_ids.npy"),
    ],
    ids=[
        "vectors cut",
        "manifest cut",
        "another's manifest",
        "no manifest of ours",
        "no vectors",
        "empty",
        "vectors",
        "ids",
    ],
)
def test_a_damaged_store_is_refused_and_replaced_only_if_told(
    damage: Callable[[Path, Path], object], guide: Guide, tmp_path: Path
) -> None:
    store, other = tmp_path / "store", tmp_path / "other"
    for place, texts in ((store, TEXTS[:3]), (other, TEXTS)):
        GuideStore.build(guide, texts, place, name="letters")
    damage(store, other)
    said = f"guide store {store}: damaged, or files of several stores. Remove it, and run again."
    for use in (lambda: GuideStore.open(store), lambda: GuideStore.build(guide, TEXTS, store, name="letters")):
        with pytest.raises(CacheMismatch) as refused:
            use()
        assert str(refused.value) == said
    assert GuideStore.build(guide, TEXTS, store, name="letters", overwrite=True).holds(text_ids(TEXTS)).all()


def test_ids_of_as_many_other_texts_are_noticed(guide: Guide, tmp_path: Path) -> None:
    for place, texts in (("store", TEXTS[:3]), ("other", TEXTS[3:])):
        GuideStore.build(guide, texts, tmp_path / place, name="letters")
    copyfile(tmp_path / "other" / "text_ids.npy", tmp_path / "store" / "text_ids.npy")
    with pytest.raises(CacheMismatch, match="damaged"):
        GuideStore.open(tmp_path / "store")


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_vectors_that_are_not_numbers_are_refused(number: float, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^guide: the vectors of 1 of 6 texts are not numbers"):
        GuideStore.build(
            lambda texts: np.array([[number if text == "a" else 1.0] for text in texts]),
            TEXTS,
            tmp_path / "s",
            name="f",
        )
    assert list(tmp_path.iterdir()) == []


def test_a_store_may_be_read_by_whoever_may_read_a_new_folder(guide: Guide, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    GuideStore.build(guide, TEXTS, tmp_path / "store", name="letters")
    assert (tmp_path / "store").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_other_files_is_refused_and_kept(overwrite: bool, guide: Guide, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError) as caught:
        GuideStore.build(guide, TEXTS, tmp_path, name="letters", overwrite=overwrite)
    assert str(caught.value) == (
        f"{tmp_path}: holds files that are no guide store. Choose another folder or empty this one."
    )
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
    assert guide.asked == []


def test_an_empty_folder_is_taken(guide: Guide, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    assert len(GuideStore.build(guide, TEXTS, tmp_path / "store", name="letters")) == len(TEXTS)


def test_a_file_in_the_stores_place_is_refused(guide: Guide, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    with pytest.raises(ConfigError, match="store: "):
        GuideStore.build(guide, TEXTS, tmp_path / "store", name="letters")


def test_a_missing_text_is_counted_and_named(guide: Guide, tmp_path: Path) -> None:
    store = GuideStore.build(guide, TEXTS, tmp_path / "store", name="letters")
    with pytest.raises(DataError) as caught:
        store.vectors(text_ids(["nurse", "unknown", "also unknown"]))
    assert str(caught.value) == (
        f"guide store {tmp_path / 'store'}: 2 of 3 texts are not in it (first id {text_id('unknown')}). "
        "Build it over all training texts: GuideStore.build(guide, texts, path)."
    )


def test_a_function_needs_a_name(guide: Guide, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        GuideStore.build(guide, TEXTS, tmp_path / "store")
    assert str(caught.value) == (
        "guide: a function needs a name, which stands for it in the fingerprint. Give name='...'."
    )


def test_a_prompt_for_a_function_is_refused_rather_than_ignored(guide: Guide, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="prompt"):
        GuideStore.build(guide, TEXTS, tmp_path / "store", name="letters", prompt="query: ")


def test_an_unknown_dtype_is_refused_before_the_guide_runs(guide: Guide, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="float61"):
        GuideStore.build(guide, TEXTS, tmp_path / "store", name="letters", dtype="float61")
    assert guide.asked == []


def test_no_texts_are_refused(guide: Guide, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        GuideStore.build(guide, [], tmp_path / "store", name="letters")
    assert str(caught.value) == "guide store: no texts to embed. Give the training texts."


@pytest.mark.parametrize("shape", [(5, 6), (6,), (6, 1, 2)])
def test_a_function_that_returns_another_shape_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        GuideStore.build(lambda texts: np.ones(shape), TEXTS, tmp_path / "store", name="wrong")
    assert str(caught.value) == f"guide: 6 texts gave an array of shape {shape}; wanted (texts, dim)."
    assert not (tmp_path / "store").exists()
