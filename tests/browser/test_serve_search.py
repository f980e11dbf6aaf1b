"""The server's page in Chromium: one title, its concepts, and why."""

import threading
from typing import Any

import pytest
from browser.canned_server import HOSTILE, LONGEST, Canned
from browser.reading import first, match_all, search, until

pytestmark = pytest.mark.browser


def test_a_german_title_finds_its_concept_and_says_why(visit: Any) -> None:
    page = visit()
    page.locator("#query").press_sequentially("Softwareentwicklerin")
    until(page, "Softwareentwicklerin", "#results li q")
    found = first(page).inner_text()
    for wanted in ("Softwareentwickler", "2512.1", "1.00", "German", "ISCO\u00a02512", "sample:occupation/0082"):
        assert wanted in found
    assert (
        page.locator("#search-status").inner_text() == "10 concepts. ✓ The first is right with a confidence of 100 %."
    )
    labels = page.locator("#results li .label").all_inner_texts()
    assert len(labels) == len(set(labels)) == 10, "one line a concept"


def test_the_nearest_training_pairs_stand_below_as_text(visit: Any) -> None:
    page = visit()
    search(page, "Softwareentwicklerin")
    until(page, f"{HOSTILE.text} means Softwareentwicklerin 1.00", "#pairs li")
    assert page.locator("#learned").is_visible()
    search(page, "Koch")
    until(page, "Koch", "#results li q")
    assert page.locator("#learned").is_hidden()


def test_a_mere_score_is_not_called_a_confidence(visit: Any, server: Canned) -> None:
    server.calibrated = False
    page = visit()
    search(page, "Softwareentwicklerin")
    until(page, "The first scores 100 %", "#search-status")
    search(page, "qqq")
    until(page, "Unknown: a score of", "#search-status")


def test_typing_asks_once_when_it_pauses(chromium: Any, server: Canned) -> None:
    page = chromium.new_page()
    page.clock.install(time=0)
    page.goto(server.origin)
    page.locator("#search-filter input").first.wait_for()
    page.clock.pause_at(60_000)
    for letters_so_far in ("K", "Ko", "Koch"):
        page.locator("#query").fill(letters_so_far)
        page.clock.run_for(249)
    assert server.asked == []
    page.clock.run_for(1)
    until(page, "Koch", "#results li")
    assert server.texts() == [["Koch"]]
    page.close()


def test_what_is_typed_before_the_server_is_known_is_searched_then(visit: Any) -> None:
    page = visit()
    held: list[Any] = []
    page.route("**/v1/about", lambda route: held.append(route))
    page.reload()
    search(page, "Koch")
    page.wait_for_function("document.querySelector('[role=tab][aria-selected=true]')")
    held[0].continue_()
    until(page, "Koch", "#results li")
    assert "?" not in page.url, "the form was sent"


def test_an_answer_that_comes_too_late_is_dropped(visit: Any, server: Canned) -> None:
    server.gates["Koch"] = threading.Event()
    page = visit()
    search(page, "Koch")
    server.until_asked("Koch")
    assert page.locator("#results").get_attribute("aria-busy") == "true"
    search(page, "Kellner")
    until(page, "Kellner", "#results li:first-child .label")
    server.gates["Koch"].set()
    page.wait_for_timeout(300)
    assert first(page).locator(".label").inner_text() == "Kellner"
    assert page.locator("#results").get_attribute("aria-busy") is None


def test_the_keyboard_walks_the_results_and_clears(visit: Any) -> None:
    page = visit()
    assert page.evaluate("document.activeElement.id") == "query"
    search(page, "Koch")
    until(page, "Koch", "#results li")

    def place() -> int:
        return page.evaluate("[...document.querySelectorAll('#results > li')].indexOf(document.activeElement)")

    for key, wanted in [("ArrowDown", 0), ("ArrowDown", 1), ("ArrowUp", 0), ("ArrowUp", -1), ("ArrowDown", 0)]:
        page.keyboard.press(key)
        assert place() == wanted
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Escape")
    assert page.locator("#results li").count() == 0
    assert page.locator("#query").input_value() == ""
    assert page.evaluate("document.activeElement.id") == "query"


def test_a_code_is_copied(visit: Any) -> None:
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    search(page, "Softwareentwickler")
    page.get_by_role("button", name="Copy code 2512.1").click()
    until(page, "Copied", "#results button")
    assert page.evaluate("navigator.clipboard.readText()") == "2512.1"


def test_languages_and_isco_groups_narrow_the_search(visit: Any, server: Canned) -> None:
    page = visit()
    search(page, "Koch")
    until(page, "German", "#results .why")
    page.locator("#search-filter").get_by_label("Turkish").check()
    page.locator("#search-filter").get_by_label("ISCO groups").fill("25, 2221")
    page.keyboard.press("Enter")
    until(page, "ISCO\u00a025", "#results .why")
    assert {key: server.asked[-1][key] for key in ("languages", "groups")} == {
        "languages": ["tr"],
        "groups": ["25", "2221"],
    }
    assert all("Turkish" in why for why in page.locator("#results .why").all_inner_texts())


def test_a_group_that_is_no_number_is_not_searched_for(visit: Any, server: Canned) -> None:
    page = visit()
    page.locator("#search-filter").get_by_label("ISCO groups").fill("chefs")
    page.locator("#query").fill("Koch")
    page.wait_for_timeout(300)
    page.keyboard.press("Enter")
    assert page.locator("#search-filter :invalid").count() == 1
    assert page.evaluate("document.activeElement.validity.patternMismatch"), "where to mend it"
    page.locator("#search-filter").get_by_label("ISCO groups").fill("5")
    page.keyboard.press("Enter")
    until(page, "ISCO\u00a05", "#results .why")
    assert all(body["groups"] == ["5"] for body in server.asked)


def test_what_is_not_believed_is_called_unknown_with_suggestions(visit: Any) -> None:
    page = visit()
    search(page, "Oberfeuerwerkskoordination")
    until(page, "Unknown", "#search-status")
    assert "under 50 %. These are suggestions." in page.locator("#search-status").inner_text()
    assert page.locator("#results li").count() == 10


def test_nothing_found_says_what_to_do(visit: Any) -> None:
    page = visit()
    page.locator("#search-filter").get_by_label("ISCO groups").fill("9999")
    search(page, "Koch")
    until(page, "Nothing found among these languages and groups", "#search-status")


def test_a_title_with_html_in_it_stays_text(visit: Any) -> None:
    page = visit()
    search(page, HOSTILE.text)
    until(page, HOSTILE.text, "#results q")
    assert first(page).locator(".label").inner_text() == HOSTILE.preferred
    page.get_by_role("tab", name="Many").click()
    match_all(page, [HOSTILE.text])
    assert page.locator("#matches th").inner_text() == HOSTILE.text
    assert page.locator("main img, main b").count() == 0


def test_a_title_that_was_cut_is_told(visit: Any) -> None:
    page = visit()
    search(page, "Koch " * (LONGEST // 4))
    until(page, "longer than the model reads", "#search-status")
    page.get_by_role("tab", name="Many").click()
    match_all(page, ["Koch " * (LONGEST // 4) + "in", "Koch"])
    until(page, "1 longer than the model reads: matched by the beginning.", "#many-status")


def test_titles_from_right_to_left_are_written_so(visit: Any) -> None:
    page = visit()
    page.locator("#query").fill("مهندس برمجيات")
    assert page.locator("#query").evaluate("each => getComputedStyle(each).direction") == "rtl"
    page.get_by_role("tab", name="Many").click()
    match_all(page, ["مهندس برمجيات", "Koch"])
    directions = page.locator("#matches th").evaluate_all("all => all.map((each) => getComputedStyle(each).direction)")
    assert directions == ["rtl", "ltr"]
