"""The loss against its slow definition: value, gradients and counts; then the invariants, as properties."""

import re
from dataclasses import replace
from functools import partial

import jaxtyping
import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import Example

from tutelage.losses import RULES, Embedded, guided_contrastive, rules
from tutelage.losses.rules import Dropper

SIZES = [(3, 3, 0), (7, 5, 0), (9, 4, 9), (8, 6, 3)]  # rows, dimensions, negatives


def example(rows, dim, negatives, *, seed=0, guided=True, ids=True, groups=True):
    """Random vectors with repeated texts and shared groups, so that every rule has work to do."""
    random = torch.Generator().manual_seed(seed)

    def vectors(count, width=dim):
        return torch.randn(count, width, generator=random, dtype=torch.float64)

    def numbers(count, below):
        return torch.randint(below, (count,), generator=random).tolist()

    case = Example(
        anchor=vectors(rows).requires_grad_(),
        positive=vectors(rows).requires_grad_(),
        negative=vectors(negatives).requires_grad_() if negatives else None,
        guide_anchor=vectors(rows, 4),
        guide_positive=vectors(rows, 4),
        guide_negative=vectors(negatives, 4) if negatives else None,
        anchor_id=numbers(rows, 3 * rows),
        positive_id=numbers(rows, 3 * rows),
        negative_id=numbers(negatives, 3 * rows) if negatives else None,
        group=numbers(rows, 2 * rows),
    )
    known = [*case.anchor_id, *case.positive_id, *(case.negative_id or [])]
    case.never = [
        (known[a], known[b]) for a, b in torch.tensor(numbers(rows // 3 * 2, len(known))).view(-1, 2).tolist()
    ]
    without = {"guide_anchor": guided, "guide_positive": guided, "guide_negative": guided}
    without |= {"anchor_id": ids, "positive_id": ids, "negative_id": ids, "group": groups}
    return replace(case, **{name: None for name, kept in without.items() if not kept})


def embedded(case):
    """The same as the function takes it."""

    def tensor(values):
        return None if values is None else torch.tensor(values)

    anchor = Embedded(case.anchor, case.guide_anchor, tensor(case.anchor_id), tensor(case.group))
    positive = Embedded(case.positive, case.guide_positive, tensor(case.positive_id), tensor(case.group))
    negative = None
    if case.negative is not None:
        negative = Embedded(case.negative, case.guide_negative, tensor(case.negative_id))
    return anchor, positive, negative


def never_of(case):
    return torch.tensor(case.never, dtype=torch.int64).view(-1, 2)


def gradients(loss, case):
    leaves = [leaf for leaf in (case.anchor, case.positive, case.negative) if leaf is not None]
    return torch.autograd.grad(loss, leaves)


def assert_equals_reference(case, *, chunk_size=None, **options):
    want, drops, candidates, share = reference.guided_contrastive(case, **options)
    owner = None if case.negative_row is None else torch.tensor(case.negative_row)
    got, found = guided_contrastive(
        *embedded(case), never=never_of(case), chunk_size=chunk_size, negative_row=owner, **options
    )
    wanted = gradients(want, case)
    assert wanted[0].abs().sum() > 0, "no gradient: the comparison would prove nothing"
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(gradients(got, case), wanted)
    assert dict(zip(RULES, found.counts.tolist(), strict=True)) == drops
    assert int(found.candidates) == candidates
    torch.testing.assert_close(found.removed, torch.as_tensor(share, dtype=torch.float64).detach())


@pytest.mark.parametrize(("rows", "dim", "negatives"), SIZES)
@pytest.mark.parametrize("strategy", ["absolute", "relative"])
@pytest.mark.parametrize("margin", [-0.2, 0.0, 0.3])
def test_equals_the_definition(rows, dim, negatives, strategy, margin):
    assert_equals_reference(example(rows, dim, negatives), temperature=0.5, margin=margin, margin_strategy=strategy)


@pytest.mark.parametrize("contrast_anchors", [True, False])
@pytest.mark.parametrize("contrast_positives", [True, False])
@pytest.mark.parametrize("guided", [True, False])
def test_equals_the_definition_for_every_choice_of_blocks(contrast_anchors, contrast_positives, guided):
    assert_equals_reference(
        example(9, 4, 5, guided=guided),
        temperature=0.2,
        contrast_anchors=contrast_anchors,
        contrast_positives=contrast_positives,
    )


EVERY = ["query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc"]


@pytest.mark.parametrize("guided", [True, False])
@pytest.mark.parametrize(
    ("directions", "partition_mode"),
    [
        (EVERY[:1], "joint"),
        (EVERY[:1], "per_direction"),
        (EVERY, "joint"),
        (["query_to_doc", "doc_to_doc"], "joint"),
        (["query_to_doc", "doc_to_query"], "joint"),
        (["query_to_doc", "doc_to_query"], "per_direction"),
        (["doc_to_query", "query_to_doc"], "per_direction"),
    ],
)
def test_equals_the_definition_for_every_direction(directions, partition_mode, guided):
    for negatives in (0, 14, 5):
        assert_equals_reference(
            example(7, 4, negatives, guided=guided),
            temperature=0.4,
            directions=directions,
            partition_mode=partition_mode,
        )


@pytest.mark.parametrize("mode", ["in_batch_negatives", "hard_negatives", "all_negatives"])
@pytest.mark.parametrize("directions", [None, EVERY])
def test_equals_the_definition_with_hardness(mode, directions):
    for negatives in (0, 14):
        case = example(7, 4, negatives)
        options = {"temperature": 0.4, "directions": directions, "hardness_mode": mode, "hardness_strength": 3.0}
        assert_equals_reference(case, **options)
        plain, raised = (reference.guided_contrastive(case, **options | {"hardness_mode": m})[0] for m in (None, mode))
        assert (plain == raised) == (negatives == 0 and mode == "hard_negatives")


def test_ragged_negatives_belong_to_the_rows_that_are_named():
    case = replace(example(7, 4, 6), negative_row=[0, 0, 0, 3, 6, 6])
    for mode in ("hard_negatives", "all_negatives"):
        options = {"directions": EVERY, "hardness_mode": mode, "hardness_strength": 2.0}
        assert_equals_reference(case, temperature=0.4, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"directions": ["query_to_doc", "doc_to_dock"]}, "directions: unknown 'doc_to_dock'. Options: query_to_doc, "),
        ({"directions": ["doc_to_query"]}, "'query_to_doc' is missing"),
        ({"directions": []}, "'query_to_doc' is missing"),
        ({"partition_mode": "both"}, "partition_mode is 'both'. Options: joint, per_direction."),
        ({"partition_mode": "per_direction"}, "'doc_to_doc' holds no positive"),
        ({"hardness_mode": "some"}, "hardness_mode is 'some'. Options: in_batch_negatives, "),
        ({"hardness_strength": -1.0}, "hardness_strength is -1.0; wanted 0 or more."),
        ({"margin_strategy": "Absolute"}, "margin_strategy is 'Absolute'. Options: absolute, relative."),
    ],
)
def test_choices_that_cannot_be_are_refused(options, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as users run it
    with pytest.raises(ValueError, match=re.escape(message)):
        guided_contrastive(*embedded(example(3, 4, 0)), **options)


def test_every_rule_drops_something_in_these_examples():
    _, drops, _, share = reference.guided_contrastive(example(9, 4, 9), temperature=0.5)
    assert all(drops.values()), drops
    assert 0 < share < 1


@pytest.mark.parametrize("rule", RULES)
def test_a_fault_in_a_rule_is_noticed(rule, monkeypatch):
    """Switch one rule off: the comparison with the definition must fail, else it proves nothing."""
    if rule == "guide":
        whole_mask = Dropper.by_guide
        monkeypatch.setattr(Dropper, "by_guide", lambda *args: whole_mask(*args).zero_())
    else:
        whole, number = Dropper.by_id, 1 + RULES.index(rule)
        monkeypatch.setattr(
            Dropper,
            "by_id",
            lambda *args: (lambda found: tuple(part[found[2] != number] for part in found))(whole(*args)),
        )
    with pytest.raises(AssertionError):
        assert_equals_reference(example(9, 4, 9), temperature=0.5)


def test_the_positive_stays_though_every_rule_speaks_against_it():
    """One text everywhere, one group, a ceiling below all: nothing is left but the row's own positive."""
    vectors = torch.randn(4, 3, dtype=torch.float64)
    ids = torch.zeros(4, dtype=torch.int64)
    texts = Embedded(vectors, vectors, ids, ids)
    loss, drops = guided_contrastive(texts, texts, margin=3.0)
    assert loss == 0
    assert drops.counts.sum() == drops.candidates


@pytest.mark.parametrize("tile", [1, 2, 3, 100])
@pytest.mark.parametrize("dims", [None, {4: 1.0}])
def test_a_positive_far_below_the_others_keeps_its_gradient(tile, dims, monkeypatch):
    """In float32 e^-200 is 0: what pulls a hopeless positive must not be computed through it."""
    monkeypatch.setattr(rules, "TILE", tile)
    anchor = torch.eye(3, 4, dtype=torch.float64)
    positive = torch.stack([-anchor[0], anchor[0] + 0.1 * anchor[1], anchor[2]])

    def gradients(dtype):
        sides = [side.to(dtype).requires_grad_() for side in (anchor, positive)]
        loss, drops = guided_contrastive(*map(Embedded, sides), temperature=0.01, dims=dims)
        return loss.double(), *(g.double() for g in torch.autograd.grad(loss, sides)), drops.removed

    want, got = gradients(torch.float64), gradients(torch.float32)
    assert want[1][0].norm() > 1  # the hopeless row's
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("chunk_size", [1, 2, 7, 8, 9, 100])  # splits, does not divide, equals, exceeds 9 rows
@pytest.mark.parametrize("tile", [1, 4, 9, 100])
def test_chunks_and_tiles_change_memory_only(chunk_size, tile, monkeypatch):
    monkeypatch.setattr(rules, "TILE", tile)
    case, options = example(9, 4, 7), {"temperature": 0.5, "chunk_size": chunk_size}
    assert_equals_reference(case, **options)
    assert_equals_reference(case, **options, directions=EVERY, hardness_mode="all_negatives", hardness_strength=2.0)


def test_two_losses_before_one_backward_are_independent():
    one, two = example(5, 4, 0, seed=1), example(5, 4, 0, seed=2)
    alone = [gradients(guided_contrastive(*embedded(case), temperature=0.5)[0], case) for case in (one, two)]
    losses = [guided_contrastive(*embedded(case), temperature=0.5)[0] for case in (one, two)]
    (losses[0] + 3 * losses[1]).backward()
    torch.testing.assert_close((one.anchor.grad, one.positive.grad), alone[0])
    torch.testing.assert_close((two.anchor.grad, two.positive.grad), tuple(3 * g for g in alone[1]))


def test_a_listed_pair_is_no_negative_and_its_neighbours_are():
    """Three rows; 11 is listed beside row 0's anchor. Row 0 loses it, row 2 does not: the list is not transitive."""
    vectors = torch.randn(2, 3, 4, dtype=torch.float64)
    anchor, positive = (
        Embedded(side, text_id=torch.tensor(ids)) for side, ids in zip(vectors, ([0, 1, 2], [10, 11, 12]), strict=True)
    )
    listed = torch.tensor([[11, 0], [1, 12], [77, 78]])
    for never in (listed, listed.flip(1)):
        _, drops = guided_contrastive(anchor, positive, never=never, contrast_anchors=False, contrast_positives=False)
        # Row 0 and 11, row 1 and 12 by its anchor; of row 1's positive 11 and candidate 0 there is none in AP.
        assert dict(zip(RULES, drops.counts.tolist(), strict=True)) == {
            "self": 0, "text": 0, "never": 2, "group": 0, "guide": 0
        }  # fmt: skip
    _, drops = guided_contrastive(anchor, positive, never=listed, contrast_positives=False)
    assert drops.counts[2] == 4, "in AA row 1 loses anchor 0 by its positive 11, and row 2 anchor 1 by its positive 12"


@pytest.mark.parametrize("name", ["drop_same_text", "drop_same_group"])
def test_a_rule_that_is_switched_off_equals_data_without_the_ids(name):
    case = example(9, 4, 9)
    without = example(9, 4, 9, ids=name != "drop_same_text", groups=name != "drop_same_group")
    got, _ = guided_contrastive(*embedded(case), temperature=0.5, **{name: False})
    want, _ = guided_contrastive(*embedded(without), temperature=0.5)
    torch.testing.assert_close(got, want)


sizes = st.integers(2, 12)
seeds = st.integers(0, 10_000)


@settings(max_examples=30, deadline=None)
@given(rows=sizes, seed=seeds)
def test_the_order_of_candidates_changes_nothing(rows, seed):
    case = example(rows, 5, rows, seed=seed)
    anchor, positive, negative = embedded(case)
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    want, drops = guided_contrastive(anchor, positive, negative, temperature=0.3)
    got, again = guided_contrastive(
        anchor,
        positive.take(order),
        negative.take(order),
        anchor_candidates=anchor.take(order),
        positive_column=order.argsort(),
        temperature=0.3,
    )
    torch.testing.assert_close(got, want)
    assert torch.equal(drops.counts, again.counts)


@settings(max_examples=30, deadline=None)
@given(rows=sizes, seed=seeds)
def test_a_guide_that_never_objects_leaves_infonce(rows, seed):
    case = example(rows, 5, 0, seed=seed, ids=False, groups=False)
    got, drops = guided_contrastive(
        *embedded(case), temperature=0.3, margin=-torch.inf, contrast_anchors=False, contrast_positives=False
    )
    sim = torch.nn.functional.cosine_similarity(case.anchor[:, None], case.positive[None], dim=-1)
    torch.testing.assert_close(got, torch.nn.functional.cross_entropy(sim / 0.3, torch.arange(rows)))
    assert drops.counts.sum() == 0


@settings(max_examples=30, deadline=None)
@given(rows=sizes, seed=seeds, low=st.floats(-1, 1), high=st.floats(-1, 1))
def test_the_loss_never_rises_with_the_margin(rows, seed, low, high):
    case = embedded(example(rows, 5, rows, seed=seed))
    low, high = sorted((low, high))
    lenient, strict = (guided_contrastive(*case, temperature=0.3, margin=m)[0] for m in (low, high))
    assert strict <= lenient + 1e-12


@settings(max_examples=20, deadline=None)
@given(rows=sizes, seed=seeds)
def test_a_candidate_that_is_dropped_costs_nothing(rows, seed):
    """Moving a dropped negative changes neither the loss nor, through it, any gradient."""
    case = example(rows, 5, 3, seed=seed, groups=False)
    case.negative_id = [case.anchor_id[0]] * 3  # row 0 drops them all by text
    anchor, positive, negative = embedded(case)
    first = anchor.take(torch.tensor([0]))
    run = partial(guided_contrastive, temperature=0.3, contrast_anchors=False, positive_column=torch.tensor([0]))
    (gradient,) = torch.autograd.grad(run(first, positive, negative)[0], case.negative)
    assert gradient.abs().sum() == 0


@pytest.mark.parametrize(("rows", "split"), [(8, 4), (9, 2)])
def test_two_ranks_simulated_equal_one_process(rows, split):
    case = example(rows, 5, rows, seed=3)
    anchor, positive, negative = embedded(case)
    whole, drops = guided_contrastive(anchor, positive, negative, temperature=0.3)
    parts = []
    for index in (torch.arange(split), torch.arange(split, rows)):
        parts.append(
            guided_contrastive(
                anchor.take(index), positive, negative, anchor_candidates=anchor, positive_column=index, temperature=0.3
            )
        )
    joined = (parts[0][0] * split + parts[1][0] * (rows - split)) / rows
    torch.testing.assert_close(joined, whole)
    torch.testing.assert_close(gradients(joined, case), gradients(whole, case))
    assert torch.equal(parts[0][1].counts + parts[1][1].counts, drops.counts)


def test_finite_when_every_text_is_the_same():
    vectors = torch.ones(4, 3, dtype=torch.float64, requires_grad=True)
    ids = torch.zeros(4, dtype=torch.int64)
    texts = Embedded(vectors, vectors.detach(), ids)
    loss, _ = guided_contrastive(texts, texts)
    (gradient,) = torch.autograd.grad(loss, vectors)
    assert loss == 0
    assert gradient.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sixteen_bit_vectors_lose_no_more_than_their_own_rounding(dtype):
    """The truth is the float64 loss of the very numbers that the 16-bit vectors hold."""
    case = example(16, 32, 0, seed=1)
    halved = [case.anchor.detach().to(dtype), case.positive.detach().to(dtype)]
    truth, _ = guided_contrastive(Embedded(halved[0].double()), Embedded(halved[1].double()), temperature=0.05)
    ours, _ = guided_contrastive(Embedded(halved[0]), Embedded(halved[1]), temperature=0.05)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours.double(), truth, rtol=1e-5, atol=1e-6)


def test_no_gradient_reaches_the_guide():
    case = example(5, 4, 0)
    case.guide_anchor.requires_grad_()
    loss, _ = guided_contrastive(*embedded(case))
    assert torch.autograd.grad(loss, case.guide_anchor, allow_unused=True) == (None,)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_temperature_must_be_above_zero(temperature):
    with pytest.raises(ValueError, match="must be above 0"):
        guided_contrastive(*embedded(example(2, 3, 0)), temperature=temperature)


@pytest.mark.parametrize("dims", [{4: 1.0}, {4: 1.0, 1: 0.5}, {2: 1.0, 3: 2.0, 4: 0.25}, {2: 1.0}])
@pytest.mark.parametrize(("chunk_size", "tile"), [(2, 2), (9, 5), (None, 1024)])
@pytest.mark.parametrize("guided", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"directions": EVERY, "hardness_mode": "in_batch_negatives", "hardness_strength": 2.0},
        {"directions": ["query_to_doc", "doc_to_query"], "partition_mode": "per_direction"},
    ],
)
def test_matryoshka_is_the_weighted_sum_of_the_losses_of_prefixes(dims, chunk_size, tile, guided, options, monkeypatch):
    monkeypatch.setattr(rules, "TILE", tile)
    case = example(9, 4, 7, guided=guided)
    parts = []
    for dim, weight in dims.items():
        cut = replace(case, **{side: getattr(case, side)[:, :dim] for side in ("anchor", "positive", "negative")})
        loss, drops, _, share = reference.guided_contrastive(cut, temperature=0.5, **options)
        parts.append(weight * loss)
        if dim == max(dims):
            widest = share
    want, wanted = sum(parts), gradients(sum(parts), case)
    got, found = guided_contrastive(
        *embedded(case), never=never_of(case), temperature=0.5, dims=dims, chunk_size=chunk_size, **options
    )
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(gradients(got, case), wanted)
    assert dict(zip(RULES, found.counts.tolist(), strict=True)) == drops
    torch.testing.assert_close(found.removed, torch.as_tensor(widest, dtype=torch.float64).detach())


@pytest.mark.parametrize("dims", [{}, {0: 1.0}, {5: 1.0}])
def test_dimensions_that_the_vectors_lack_are_refused(dims):
    with pytest.raises(ValueError, match="wanted dimensions from 1 to 4"):
        guided_contrastive(*embedded(example(3, 4, 0)), dims=dims)


def test_anchors_that_are_not_one_for_each_positive_are_refused():
    one, eight = (Embedded(torch.randn(count, 3)) for count in (1, 8))
    with pytest.raises(ValueError, match="1 anchors compete beside 8 positives; wanted one for each"):
        guided_contrastive(one, eight, positive_column=torch.tensor([0]))
    guided_contrastive(one, eight, positive_column=torch.tensor([0]), contrast_anchors=False)


def test_autocast_around_the_loss_does_not_reach_its_products():
    case = [Embedded(torch.randn(9, 5)) for _ in range(2)]
    want, _ = guided_contrastive(*case, dims={5: 1.0, 3: 1.0})
    with torch.autocast("cpu", torch.bfloat16):
        got, _ = guided_contrastive(*case, dims={5: 1.0, 3: 1.0})
    assert got == want


@pytest.mark.parametrize("without", ["anchor", "positive", "negative"])
def test_a_guide_of_some_columns_is_refused(without):
    sides = dict(zip(("anchor", "positive", "negative"), embedded(example(4, 3, 4)), strict=True))
    sides[without] = replace(sides[without], guide=None)
    with pytest.raises(ValueError, match="guide vectors of some columns, none of others"):
        guided_contrastive(**sides)
