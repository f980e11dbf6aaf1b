"""The server's page in Chromium: a run's worst queries, judged."""

import csv
import io
import json
from typing import Any

import pytest
from browser.canned_server import worst
from browser.reading import saved, until

pytestmark = pytest.mark.browser


def test_worst_queries_are_judged_and_the_judgement_outlives_the_page(visit: Any) -> None:
    page = visit("#errors")
    until(page, "0 of 50 queries judged", "#judged-count")
    assert page.locator("#worst > li").count() == 20
    row = worst()["sets"]["sample:de"]["queries"][0]
    card = page.locator("#worst > li").first
    assert row["query"] in card.inner_text()
    assert card.locator(".sides > div").nth(0).locator("bdi").all_inner_texts()[0].startswith(row["gold"][0])
    assert card.locator(".sides > div").nth(1).locator("li").count() == len(row["predicted"])
    card.get_by_label("ambiguous").check()
    card.get_by_label("Other tags").fill("slang, regional")
    card.get_by_label("Note").fill('so "called"')
    until(page, "1 of 50 queries judged", "#judged-count")

    page.reload()
    until(page, "1 of 50 queries judged", "#judged-count")
    page.get_by_label("Show").select_option("judged")
    assert page.locator("#worst > li").count() == 1
    assert page.get_by_label("Other tags").input_value() == "slang, regional"
    given = {"tags": ["ambiguous", "slang", "regional"], "note": 'so "called"'}
    wanted = {"run": "demo", **row, "set": "sample:de", "metric": "map", **given}
    assert [json.loads(line) for line in saved(page, "Save JSONL").decode().splitlines()] == [wanted]
    (told,) = csv.DictReader(io.StringIO(saved(page, "Save CSV").decode()))
    assert (told["tags"], told["note"]) == ("ambiguous | slang | regional", 'so "called"')
    assert told["gold"] == " | ".join(row["gold"])

    page.get_by_label("Other tags").fill("")
    page.get_by_label("Note").fill("")
    page.get_by_label("ambiguous").uncheck()
    until(page, "0 of 50 queries judged", "#judged-count")


def test_one_set_can_be_chosen_and_right_is_told_without_colour(visit: Any) -> None:
    page = visit("#errors")
    page.get_by_label("Set").select_option("sample:es")
    until(page, "sample:es", "#worst h2")
    assert page.locator("#worst h2", has_text="sample:de").count() == 0
    page.get_by_role("button", name="Show 5 more").click()
    assert page.locator("#worst > li").count() == 25
    for row, card in zip(worst()["sets"]["sample:es"]["queries"], page.locator("#worst > li").all(), strict=True):
        signs = card.locator(".sides > div").nth(1).locator(".sign").all_inner_texts()
        assert signs == ["✓" if text in row["gold"] else "✗" for text, _ in row["predicted"]]
