"""Several guides side by side: the largest of their cosines counts, of a row's positive as of its candidates."""

import re
from dataclasses import replace

import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_contrastive import EVERY, assert_equals_reference, embedded, example, gradients, never_of

from tutelage.losses import RULES, guided_contrastive, rules

GUIDES = ("guide_anchor", "guide_positive", "guide_negative")
SLICES = [(4,), (1, 3), (2, 2), (2, 1, 1)]  # of the examples' guide vectors


def with_guides(case, change):
    """The same example with other guide vectors."""
    return replace(case, **{side: change(getattr(case, side)) for side in GUIDES if getattr(case, side) is not None})


@pytest.mark.parametrize("guide_dims", SLICES)
@pytest.mark.parametrize("negatives", [0, 9])
@pytest.mark.parametrize(("strategy", "margin"), [("absolute", 0.0), ("absolute", 0.3), ("relative", -0.2)])
def test_equals_the_definition(guide_dims, negatives, strategy, margin):
    options = {"temperature": 0.5, "margin": margin, "margin_strategy": strategy}
    assert_equals_reference(example(9, 4, negatives), guide_dims=guide_dims, **options)


def test_other_candidates_go_than_under_one_guide():
    """Else the comparison with the definition would prove nothing about slices."""
    case = example(9, 4, 9)
    found = [reference.guided_contrastive(case, guide_dims=dims)[1]["guide"] for dims in (None, *SLICES[1:])]
    assert found[0] not in found[1:]
    assert all(found)


@pytest.mark.parametrize("chunk_size", [1, 2, 7, 9, 100])  # splits, does not divide, equals, exceeds 9 rows
@pytest.mark.parametrize("tile", [1, 4, 100])
def test_chunks_and_tiles_change_memory_only(chunk_size, tile, monkeypatch):
    monkeypatch.setattr(rules, "TILE", tile)
    options = {"temperature": 0.5, "chunk_size": chunk_size, "guide_dims": (1, 3)}
    assert_equals_reference(example(9, 4, 7), **options)
    assert_equals_reference(
        example(9, 4, 7), **options, directions=EVERY, hardness_mode="all_negatives", hardness_strength=2.0
    )


@pytest.mark.parametrize("chunk_size", [2, None])
def test_matryoshka_drops_by_the_whole_guides(chunk_size):
    case, dims = example(9, 4, 7), {4: 1.0, 2: 0.5}
    parts = []
    for dim, weight in dims.items():
        cut = replace(case, **{side: getattr(case, side)[:, :dim] for side in ("anchor", "positive", "negative")})
        loss, drops, *_ = reference.guided_contrastive(cut, temperature=0.5, guide_dims=(2, 2))
        parts.append(weight * loss)
    got, found = guided_contrastive(
        *embedded(case), never=never_of(case), temperature=0.5, dims=dims, guide_dims=(2, 2), chunk_size=chunk_size
    )
    torch.testing.assert_close(got, sum(parts))
    torch.testing.assert_close(gradients(got, case), gradients(sum(parts), case))
    assert dict(zip(RULES, found.counts.tolist(), strict=True)) == drops


sizes, seeds = st.integers(2, 12), st.integers(0, 10_000)


@settings(max_examples=30, deadline=None)
@given(rows=sizes, seed=seeds, chunk_size=st.integers(1, 13))
def test_one_guide_given_twice_is_that_guide(rows, seed, chunk_size):
    case = example(rows, 5, rows, seed=seed)
    twice = with_guides(case, lambda vectors: torch.cat([vectors, 3 * vectors], dim=1))
    want, drops = guided_contrastive(*embedded(case), temperature=0.3, margin=0.1)
    got, again = guided_contrastive(
        *embedded(twice), temperature=0.3, margin=0.1, guide_dims=(4, 4), chunk_size=chunk_size
    )
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(gradients(got, case), gradients(want, case))
    assert torch.equal(again.counts, drops.counts)


@settings(max_examples=20, deadline=None)
@given(rows=sizes, seed=seeds)
def test_the_order_of_guides_changes_nothing(rows, seed):
    case = example(rows, 5, rows, seed=seed)
    turned = with_guides(case, lambda vectors: vectors.roll(1, dims=1))
    want, drops = guided_contrastive(*embedded(case), temperature=0.3, guide_dims=(3, 1))
    got, again = guided_contrastive(*embedded(turned), temperature=0.3, guide_dims=(1, 3))
    torch.testing.assert_close(got, want)
    assert torch.equal(again.counts, drops.counts)


@pytest.mark.parametrize("guide_dims", [(), (3,), (2, 3), (0, 4), (5, -1)])
@pytest.mark.parametrize("dims", [None, {4: 1.0}])
def test_slices_that_do_not_make_up_the_guide_are_refused(guide_dims, dims):
    message = f"guide_dims are {list(guide_dims)}; wanted widths above 0 that add up to 4."
    with pytest.raises(ValueError, match=re.escape(message)):
        guided_contrastive(*embedded(example(3, 4, 0)), guide_dims=guide_dims, dims=dims)


def test_slices_of_no_guide_are_nothing():
    case = embedded(example(5, 4, 0, guided=False))
    assert guided_contrastive(*case, guide_dims=(2, 2))[0] == guided_contrastive(*case)[0]
