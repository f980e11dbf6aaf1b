"""The audit against the loss's slow definition: counts, the drop rate at every margin, the margin for a rate."""

import numpy as np
import pytest
import reference
import torch
from reference import Example

from tutelage.guide import audit as audits
from tutelage.guide.audit import BINS, Audit
from tutelage.guide.margins import MARGINS
from tutelage.guide.seen_pairs import Pairs
from tutelage.losses import RULES, Embedded
from tutelage.losses.contrastive import plan_of

OPTIONS = {"temperature": 0.5}


def example(rows=9, seed=0):
    """Repeated texts, shared groups, listed pairs, negatives: every rule has work."""
    random = torch.Generator().manual_seed(seed)
    vectors = [torch.randn(rows, 5, generator=random, dtype=torch.float64) for _ in range(6)]
    ids = torch.randint(3 * rows, (3, rows), generator=random).tolist()
    return Example(
        *vectors, *ids, group=torch.randint(2 * rows, (rows,), generator=random).tolist(),
        never=[(ids[0][0], ids[1][3]), (ids[2][5], ids[0][4])],
    )  # fmt: skip


def plan(case, **options):
    sides = [
        Embedded(vectors, guide, torch.tensor(ids), group)
        for vectors, guide, ids, group in [
            (case.anchor, case.guide_anchor, case.anchor_id, torch.tensor(case.group)),
            (case.positive, case.guide_positive, case.positive_id, torch.tensor(case.group)),
            (case.negative, case.guide_negative, case.negative_id, None),
        ]
    ]
    return plan_of(*sides, never=torch.tensor(case.never), **OPTIONS | options)


def audited(case, *, rate=0.2, **options):
    audit = Audit(rate=rate, candidates=10**6)
    audit.add(plan(case, **options))
    return audit.to_dict()


def by_guide(case, **options):
    return reference.guided_contrastive(case, **OPTIONS | options)[1]["guide"]


SEVERAL = {"guide_dims": (2, 3)}  # two guides in the examples' five guide dimensions


@pytest.mark.parametrize("options", [{}, {"margin": 0.1}, {"margin": 0.3, "margin_strategy": "relative"}, SEVERAL])
@pytest.mark.parametrize("rows_at_once", [1, 4, 100])
def test_counts_are_those_of_the_definition(options, rows_at_once, monkeypatch):
    monkeypatch.setattr(audits, "ROWS_AT_ONCE", rows_at_once)
    case = example()
    found = audited(case, **options)
    _, drops, candidates, share = reference.guided_contrastive(case, **OPTIONS | options)
    assert all(drops.values()), "a rule without work would prove nothing"
    assert found["dropped"] == drops
    assert found["candidates"] == candidates
    assert found["partition"] == pytest.approx(float(share))
    free = candidates - sum(drops[rule] for rule in RULES if rule != "guide")
    assert sum(found["histogram"]["negatives"]) == free
    assert sum(found["histogram"]["positives"]) == 9


@pytest.mark.parametrize("guides", [{}, SEVERAL])
@pytest.mark.parametrize("strategy", ["absolute", "relative"])
def test_the_rate_at_a_margin_is_what_the_loss_drops_there(strategy, guides):
    case = example()
    found = audited(case, margin=0.07, **guides)  # the audited margin decides nothing about the others
    for number in (0, 30, 50, 51, 77, 100):
        wanted = by_guide(case, margin=float(MARGINS[number]), margin_strategy=strategy, **guides)
        assert found["rate_at_margin"][strategy][number] == pytest.approx(wanted / found["candidates"])


@pytest.mark.parametrize("strategy", ["absolute", "relative"])
@pytest.mark.parametrize("rate", [0.01, 0.2, 0.5])
def test_the_margin_for_a_rate_is_the_largest_that_keeps_to_it(strategy, rate):
    case = example()
    found = audited(case, rate=rate)
    margin, most = found["margin_for_rate"][strategy], int(rate * found["candidates"])
    below, above = (by_guide(case, margin=margin + step, margin_strategy=strategy) for step in (-1e-5, 1e-5))
    assert below <= most < above


def test_no_margin_is_named_where_the_guide_never_drops_so_much():
    case = example()
    case.group = [0] * 9  # rule 4 takes all but the negatives
    assert audited(case, rate=0.9)["margin_for_rate"] == {"absolute": None, "relative": None}


def test_a_candidate_level_with_the_positive_is_kept_at_margin_0():
    vectors = torch.nn.functional.normalize(torch.randn(1, 8), dim=1).expand(4, 8).contiguous()
    sides = [Embedded(torch.randn(4, 8), vectors, torch.arange(4) + begin) for begin in (0, 10)]
    audit = Audit(rate=0.5, candidates=100)
    audit.add(plan_of(*sides))
    found = audit.to_dict()
    at = MARGINS.tolist().index(0.0)
    assert found["dropped"]["guide"] == 0
    assert found["rate_at_margin"]["absolute"][at] == 0
    assert found["rate_at_margin"]["absolute"][at + 1] > 0


def test_histograms_put_every_score_into_its_bin():
    guide = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    sides = [Embedded(torch.randn(2, 2), guide, torch.arange(2) + begin) for begin in (0, 10)]
    audit = Audit(rate=0.5, candidates=100)
    audit.add(plan_of(*sides, contrast_anchors=False, contrast_positives=False))
    found = audit.to_dict()["histogram"]
    # A bin holds its lower edge, the last one both; .6 as float32 is .6000000238.
    assert {float(BINS[bin]) for bin in np.flatnonzero(found["positives"])} == {0.98}
    assert {float(BINS[bin]) for bin in np.flatnonzero(found["negatives"])} == {0.6}


def test_a_guide_that_is_the_encoder_agrees_with_it():
    case = example()
    case.anchor, case.positive, case.negative = case.guide_anchor, case.guide_positive, case.guide_negative
    agreement = audited(case)["agreement"]
    assert agreement["spearman"] == pytest.approx(1)
    assert agreement["encoder_drops_too"] == agreement["guide_drops_too"] == 1
    assert abs(audited(example())["agreement"]["spearman"]) < 0.3  # unrelated vectors


def test_pairs_of_a_batch_are_those_that_the_guide_drops_and_nearly_drops():
    """Three rows on a circle, by angle: anchors 0, 100, 200; positives at 30, 110, 260."""
    angles = torch.deg2rad(torch.tensor([[0.0, 100.0, 200.0], [30.0, 110.0, 260.0]], dtype=torch.float64))
    anchor, positive = (
        Embedded(guide, guide, torch.tensor(ids))
        for guide, ids in zip(torch.stack([angles.cos(), angles.sin()], -1), ([1, 2, 3], [11, 12, 13]), strict=True)
    )
    dropped, near = Pairs(), Pairs(nearest=50)
    audit = Audit(rate=0.5, candidates=100, dropped=dropped, near=near)
    audit.add(plan_of(anchor, positive, contrast_anchors=False, contrast_positives=False))
    # Row 3 reaches its positive at 60 degrees; 110 is 90 away. Row 1's is at 30, row 2's at 10: nothing is nearer.
    assert dropped.top(5) == []
    first = near.top(1)[0]
    assert (first.anchor, first.candidate) == (3, 12)
    assert (first.guide_score, first.ceiling) == pytest.approx((0, 0.5), abs=1e-6)
    audit.add(plan_of(anchor, positive, contrast_anchors=False, contrast_positives=False, margin=0.6))
    assert [(p.anchor, p.candidate, p.times) for p in dropped.top(1)] == [(3, 12, 1)]
