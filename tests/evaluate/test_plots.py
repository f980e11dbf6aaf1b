"""Plots hold their text as text and no style of their own, and go through the hands of an XML reader."""

import re
from xml.etree import ElementTree

import pytest

from tutelage.evaluate.plots import Change, bars, gains, histogram, lines
from tutelage.evaluate.svg import INKS, STAND_IN

CHANGES = [Change("en", 0.4, 0.5, 0.05, 0.15), Change("zh", 0.3, 0.3, None, None)]
PLOTS = {
    "bars": bars(CHANGES, axis="map", label="bars", key="a"),
    "gains": gains(CHANGES, axis="gain", label="gains", key="b"),
    "lines": lines(
        {"en": ([32, 64], [0.1, 0.2]), "de": ([32], [0.3])}, x="x", y="y", label="l", key="c", ticks=[32, 64]
    ),
    "histogram": histogram([0, 0.5, 1], {"positives": [1, 3], "negatives": [9, 0]}, x="score", label="h", key="d"),
}


def texts(svg: str) -> list[str]:
    return ["".join(element.itertext()) for element in ElementTree.fromstring(svg).iter("text")]


@pytest.mark.parametrize("svg", PLOTS.values(), ids=PLOTS)
def test_no_plot_styles_itself_or_leaves_a_stand_in_colour(svg):
    assert "style" not in svg
    assert not any(colour in svg for colour in STAND_IN.values())
    used = set(re.findall(r"var\(--([\w-]+)\)", svg))
    assert used
    assert used <= set(INKS)


@pytest.mark.parametrize("svg", PLOTS.values(), ids=PLOTS)
def test_every_reference_inside_a_plot_is_met(svg):
    ids = re.findall(r' id="([^"]+)"', svg)
    assert len(ids) == len(set(ids))
    named = re.findall(r"url\(#([^)]+)\)", svg) + re.findall(r' href="#([^"]+)"', svg)
    assert named
    assert set(named) <= set(ids)


def test_ids_of_two_plots_never_meet():
    one, other = (set(re.findall(r' id="([^"]+)"', bars(CHANGES, axis="", label="", key=key))) for key in "pq")
    assert one
    assert not one & other


def test_the_same_figures_give_the_same_bytes():
    assert bars(CHANGES, axis="map", label="bars", key="a") == PLOTS["bars"]


def test_names_are_text_as_they_are_dollars_tags_other_scripts_and_control_characters():
    name = "$x$ <b> 护士 \x07"
    shown = texts(bars([Change(name, 0.1, 0.2, None, None)], axis="map", label=name, key="a"))
    assert "$x$ <b> 护士 �" in shown


def test_bars_tell_both_values_and_the_whisker_stands_at_before_plus_the_interval():
    assert "0.400 → 0.500" in texts(PLOTS["bars"])
    wide = bars([Change("en", 0.4, 0.5, -0.4, 0.6)], axis="map", label="", key="a")
    assert len(re.findall(r"<use ", wide)) > len(re.findall(r"<use ", bars(CHANGES[1:], axis="map", label="", key="a")))


def test_a_gain_whose_interval_holds_zero_has_a_hollow_mark():
    sure, unsure = (
        gains([Change("en", 0.4, 0.5, low, 0.2)], axis="", label="", key="a") for low in (0.05, -0.05)
    )  # fmt: skip
    assert "var(--after)" in sure
    assert "var(--page)" not in sure
    assert "var(--page)" in unsure
    assert "var(--after)" not in unsure


def test_a_logarithmic_axis_is_marked_at_the_widths():
    assert {"32", "64"} <= set(texts(PLOTS["lines"]))


def test_histogram_shares_are_of_each_population():
    assert {"positives (4)", "negatives (9)", "share, %"} <= set(texts(PLOTS["histogram"]))
    assert "100" in texts(PLOTS["histogram"])  # all negatives lie in one bin


def test_a_logarithmic_rate_leaves_out_zero_and_is_marked_in_plain_numbers():
    curve = lines({"a": ([0, 1, 2], [0.0, 0.1, 10.0])}, x="margin", y="dropped, %", label="", key="a", log_y=True)
    assert {"0.1", "1", "10"} <= set(texts(curve))
