"""Sets' names tell their languages; one family makes the map."""

import doctest

import pytest

from tutelage.evaluate import languages
from tutelage.evaluate.languages import heat_map


def test_the_example_of_the_docstring_holds():
    assert doctest.testmod(languages).failed == 0
    assert doctest.testmod(languages).attempted > 0


def test_languages_of_query_and_corpus_keep_their_sides():
    means = {"esco-heldout:en": 0.7, "esco-heldout:de": 0.5, "esco-mix:en-de": 0.4, "esco-mix:de-en": 0.3}
    made = heat_map(means, {name: mean + 0.1 for name, mean in means.items()}, "map")
    assert made is not None
    assert (made["rows"], made["columns"], made["family"]) == (["en", "de"], ["en", "de"], "esco")
    assert made["before"] == [[0.7, 0.4], [0.3, 0.5]]
    assert made["after"] == [pytest.approx([0.8, 0.5]), pytest.approx([0.4, 0.6])]


def test_the_diagonal_is_aligned_even_if_a_corpus_language_comes_first():
    made = heat_map({"esco-mix:en-zh": 0.1, "esco-mix:de-en": 0.2, "esco-heldout:en": 0.3}, {}, "map")
    assert made is not None
    assert made["rows"] == ["en", "de"]
    assert made["columns"] == ["en", "zh"]
    assert made["before"] == [[0.3, 0.1], [0.2, None]]
    assert made["after"] == [[None, None], [None, None]]


def test_families_are_not_mixed_and_the_larger_one_is_shown():
    means = {"talentclef:en": 0.5, "talentclef:en-es": 0.2, "esco-mix:en-de": 0.4, "esco-heldout:en": 0.7}
    means |= {"esco-mix:de-en": 0.6}
    made = heat_map(means, means, "map")
    assert made is not None
    assert made["family"] == "esco"
    assert made["columns"] == ["en", "de"]


@pytest.mark.parametrize(
    "name", ["talentclef:en", "esco-heldout:en,de", "my/folder:en-de-fr", "folder", "esco-mix:EN-de"]
)
def test_no_set_across_languages_makes_no_map(name):
    assert heat_map({name: 0.5}, {name: 0.6}, "map") is None
