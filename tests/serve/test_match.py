"""Labels become concepts, concepts become answers, and an answer is believed as far as it deserves."""

import numpy as np
import pytest
from conftest import tiny_model
from index_fixture import made_up, unit

from tutelage.errors import CacheMismatch, DataError
from tutelage.serve import calibration
from tutelage.serve.building import build_index
from tutelage.serve.calibration import Calibration, calibrate, crossed, ece, features, fit, hold_out, reliability
from tutelage.serve.contract import ConceptHit, Entry, Hit
from tutelage.serve.engine import TorchEngine
from tutelage.serve.entries import entries
from tutelage.serve.exact import FolderIndex
from tutelage.serve.finder import IndexFinder
from tutelage.serve.match import Matcher
from tutelage.serve.places import open_index, pair
from tutelage.serve.rollup import nearest_concepts, roll_up
from tutelage.serve.snapshot import Snapshot


@pytest.fixture(scope="module")
def sample(minilm):
    found = entries("sample:en")
    return found, TorchEngine(minilm, "minilm").encode([entry.text for entry in found])


@pytest.fixture
def engine(tiny):
    return TorchEngine(tiny, "tiny")


@pytest.fixture
def index(engine, tmp_path):
    texts = ["nurse", "registered nurse", "welder", "chef", "Köchin"]
    found = [
        Entry(text, f"c{i // 2}", f"{i}", f"p{i // 2}", f"{i + 1}111", "de" if "ö" in text else "en")
        for i, text in enumerate(texts)
    ]
    built = build_index(engine, "tiny", found, tmp_path / "index", progress=False)
    assert built.reliability is None  # five labels teach nothing
    return open_index(tmp_path / "index")


def hit(text, concept, score, preferred=""):
    return Hit(Entry(text, concept, "", preferred, "", "en"), score)


def test_a_concept_stands_where_its_best_label_stands():
    found = roll_up([hit("a", "c1", 0.9, "p1"), hit("b", "c2", 0.8), hit("c", "c1", 0.7), hit("d", "c3", 0.6)])
    assert [(each.concept, each.label, each.matched.text, each.score) for each in found] == [
        ("c1", "p1", "a", 0.9), ("c2", "b", "b", 0.8), ("c3", "d", "d", 0.6),
    ]  # fmt: skip


def test_equal_texts_are_looked_up_once_and_an_empty_one_means_nothing(index, engine, monkeypatch):
    matcher = Matcher(engine, index, threshold=0.99)
    asked = []
    encode = engine.encode
    monkeypatch.setattr(engine, "encode", lambda texts, **how: asked.append(list(texts)) or encode(texts, **how))
    found = matcher.match(["welder", "", " welder ", "  ", "chef"], k=2)
    assert asked == [["welder", "chef"]]
    assert [(match.text, match.known) for match in found] == [
        ("welder", True), ("", False), (" welder ", True), ("  ", False), ("chef", True),
    ]  # fmt: skip
    assert found[0].concepts[0].matched.text == "welder"
    assert found[0].concepts == found[2].concepts
    assert found[1][1:] == (False, 0.0, [])


def test_a_match_under_the_threshold_keeps_its_suggestions(index, engine):
    matcher = Matcher(engine, index)
    assert not matcher.calibrated
    [match] = matcher.match(["zzzz"], k=3, threshold=1.0)
    assert not match.known
    assert len(match.concepts) == 3
    assert match.confidence == max(match.concepts[0].score, 0)


def test_filters_reach_the_index(index, engine):
    [match] = Matcher(engine, index).match(["chef"], k=5, languages=["de"])
    assert [each.matched.text for each in match.concepts] == ["Köchin"]
    [match] = Matcher(engine, index).match(["chef"], k=5, groups=["2", "3"])
    assert {each.group for each in match.concepts} == {"2111", "3111"}
    assert nearest_concepts(index, engine.encode(["chef"]), 1)[0][0].matched.text == "chef"


def test_no_text_and_no_hit(index, engine):
    assert Matcher(engine, index).match([]) == []
    [match] = Matcher(engine, index).match(["chef"], languages=["xx"])
    assert match[1:] == (False, 0.0, [])


def test_another_model_is_refused(index, tmp_path):
    other = TorchEngine(tiny_model(tmp_path / "other", seed=1), "other")
    with pytest.raises(CacheMismatch, match=r"vectors of model tiny \(\w{12}\), this is other"):
        Matcher(other, index)


def test_the_same_model_in_another_form_is_refused_with_the_option_that_differs(index, engine):
    built = engine.fingerprint
    engine.fingerprint = f"{built}-int8"
    with pytest.raises(CacheMismatch, match=r"built without --engine onnx-int8: leave that out here too, or build the"):
        pair(engine, index)
    index.build([Entry("nurse", "c1", "", "", "", "en")], engine.encode(["nurse"]), engine.fingerprint)
    engine.fingerprint = built
    with pytest.raises(
        CacheMismatch, match=r"built with --engine onnx-int8: give that here too, or build the index anew"
    ):
        pair(engine, index)


def test_a_server_asks_whose_the_index_is_once_not_at_every_request(index, engine, monkeypatch):
    matcher, asked = Matcher(engine, index, 0.9), []
    finder = IndexFinder(matcher)
    monkeypatch.setattr(index, "stats", lambda: asked.append("stats"))
    [vector] = engine.encode(["chef"])
    [match] = finder.match([" chef "], {"chef": vector}, 3, [], [])
    assert match == matcher.match([" chef "])[0]
    assert finder.search(vector[None], 1, [], [])[0] == match.concepts[:1]
    assert (asked, finder.threshold, finder.calibrated) == ([], 0.9, False)


def test_an_index_of_no_label_is_refused(engine, tmp_path):
    with pytest.raises(DataError, match="no labels"):
        build_index(engine, "tiny", [], tmp_path / "index")


def test_the_index_remembers_model_and_calibration(sample, engine, tmp_path, monkeypatch):
    found, vectors = sample
    monkeypatch.setattr(engine, "encode", lambda texts, **how: vectors)
    built = build_index(engine, "runs/demo/model", found, tmp_path / "index", progress=False)
    notes = FolderIndex(tmp_path / "index").stats().notes
    assert notes["model"] == "runs/demo/model"
    assert Calibration(**notes["calibration"]) == calibrate(found, vectors)[0]
    assert built.reliability.queries >= calibration.LEAST_QUERIES
    assert built.stats.entries == len(found)


def test_held_out_labels_are_not_in_the_index_and_absent_concepts_have_no_label_there():
    found = entries("sample:en,de")
    kept, asked = hold_out(found)
    held = {(found[row].concept, found[row].text) for row in kept}
    concepts = {found[row].concept for row in kept}
    assert len(asked) > 100
    for each in asked:
        entry = found[each.row]
        assert (entry.concept, entry.text) not in held
        if entry.concept in concepts:
            assert entry.concept in each.right
            assert entry.text != entry.preferred
        assert each.right <= concepts
    absent = sum(found[each.row].concept not in concepts for each in asked)
    assert 0.05 < absent / len(asked) < 0.5
    assert (kept, asked) == hold_out(found)


def test_calibration_beats_raw_scores_on_concepts_it_has_not_seen(sample):
    found, vectors = sample
    kept, asked = hold_out(found)
    held = Snapshot.of([found[row] for row in kept], vectors[kept])
    concepts = nearest_concepts(held, vectors[[each.row for each in asked]], 2)
    seen = np.array([features(each) for each in concepts])
    right = np.array([each[0].concept in one.right for each, one in zip(concepts, asked, strict=True)])
    ours = crossed(seen, right, [found[each.row].concept for each in asked])
    raw = np.clip(seen[:, 0], 0, 1)
    assert reliability(ours, right, 0, 0.5).brier < reliability(raw, right, 0, 0.5).brier - 0.02
    assert ece(ours, right) < ece(raw, right) / 2
    believed = right[ours >= 0.5].mean()
    assert believed > right.mean() + 0.03, "what is answered should be right more often than what is asked"


def test_too_few_labels_or_one_answer_teach_nothing():
    assert calibrate(made_up(9), unit(9)) is None
    # Every label of a concept has the concept's own vector, and no concept is left out that has another's.
    many = [Entry(f"{i} {j}", f"c{i}", "", "", "", "en") for i in range(60) for j in range(9)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, "ABSENT", 2**62)
        assert calibrate(many, np.repeat(unit(60, dim=64), 9, axis=0)) is None


def test_the_curve_finds_the_chances_that_made_the_answers():
    random = np.random.default_rng(0)
    seen = np.column_stack([random.uniform(0.3, 1, 20000), random.uniform(0, 0.3, 20000)])
    made = Calibration(-6.0, 7.0, 9.0)
    right = random.random(20000) < made.chances(seen)
    # The standard error of each figure is below a tenth at this size.
    assert fit(seen, right) == pytest.approx(made, abs=0.5)


def test_the_curve_never_falls():
    random = np.random.default_rng(0)
    score, gap = random.uniform(0.3, 1, 500), random.uniform(0, 0.3, 500)
    falls = fit(np.column_stack([score, gap]), random.random(500) < score * (1 - 3 * gap))
    assert falls.by_gap == 0
    assert falls.by_score > 0


def test_confidence_of_one_concept_alone_takes_its_whole_score_as_the_gap():
    one = ConceptHit("c1", "", "", "", Entry("a", "c1", "", "", "", "en"), 0.5)
    two, three = one._replace(concept="c2", score=0.25), one._replace(concept="c3", score=0.75)
    assert features([one]) == (0.5, 0.5)
    assert features([one, two]) == (0.5, 0.25)
    assert Calibration(0.0, 1.0, 1.0).confidence([]) == 0
    assert features([one], [three, one]) == (0.5, -0.25)
    assert features([one], [one, two]) == (0.5, 0.25)


def test_a_filter_that_leaves_one_concept_makes_no_title_sure_of_it(sample, minilm, tmp_path):
    """Titles of other groups are wrong in this one by construction, and are not believed for want of a rival."""
    found, _ = sample
    built = build_index(TorchEngine(minilm, "minilm"), "minilm", found, tmp_path / "index", progress=False)
    assert built.reliability is not None
    of_group: dict[str, set[str]] = {}
    for entry in found:
        of_group.setdefault(entry.group, set()).add(entry.concept)
    lonely = sorted(group for group, concepts in of_group.items() if len(concepts) == 1)[:12]
    matcher = Matcher(TorchEngine(minilm, "minilm"), open_index(tmp_path / "index"))
    others = [*[entry.text for entry in found if entry.group not in lonely][::40], "asdf"]
    believed = [match.known for group in lonely for match in matcher.match(others, groups=[group])]
    assert len(believed) > 200
    assert sum(believed) / len(believed) < 0.02
    own = [(entry.text, entry.group) for entry in found if entry.group in lonely]
    right = [matcher.match([text], groups=[group])[0].known for text, group in own]
    assert sum(right) / len(right) > 0.5, "its own labels are"


def test_reliability_by_hand():
    told = reliability(np.array([0.9, 0.6, 0.2, 0.1]), np.array([True, False, True, False]), 1, 0.5)
    assert told.queries == 4
    assert (told.right, told.answered, told.precision) == (0.5, 0.5, 0.5)
    assert told.brier == pytest.approx((0.01 + 0.36 + 0.64 + 0.01) / 4)
    assert told.ece == pytest.approx((0.1 + 0.6 + 0.8 + 0.1) / 4)
