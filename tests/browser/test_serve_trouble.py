"""The server's page in Chromium when the server is slow, busy, gone, locked or bare."""

import threading
from typing import Any

import pytest
from browser.canned_server import Canned
from browser.reading import search, until

pytestmark = pytest.mark.browser


def test_an_error_is_told_and_tried_again(visit: Any, server: Canned) -> None:
    page = visit(refused=True)
    server.refusals = [(500, {})]
    search(page, "Koch")
    until(page, "no such luck (500). The fault is the server's; its log says more.", "[role=alert]")
    page.get_by_role("button", name="Try again").click()
    until(page, "Koch", "#results li")
    assert page.locator("[role=alert]").count() == 0


def test_a_server_that_is_gone_is_told_and_the_title_stays(visit: Any) -> None:
    page = visit(refused=True)
    page.route("**/v1/match", lambda route: route.abort())
    search(page, "Koch")
    until(page, "The server does not answer.", "[role=alert]")
    assert page.locator("#query").input_value() == "Koch"
    page.unroute("**/v1/match")
    page.get_by_role("button", name="Try again").click()
    until(page, "Koch", "#results li")


def test_a_slow_server_is_told(visit: Any, server: Canned) -> None:
    server.gates["Koch"] = threading.Event()
    page = visit()
    search(page, "Koch")
    until(page, "still waiting", "#search-status")
    server.gates["Koch"].set()
    until(page, "The first is right", "#search-status")


def test_a_busy_server_is_asked_again_after_the_time_it_names(visit: Any, server: Canned) -> None:
    page = visit(refused=True)
    server.refusals = [(429, {"Retry-After": "1"})] * 2
    search(page, "Koch")
    until(page, "Koch", "#results li")
    assert server.texts() == [["Koch"]] * 3


def test_the_key_is_asked_for_once_and_kept_only_by_choice(visit: Any, server: Canned) -> None:
    server.key = "s3cret"
    page = visit(refused=True)
    page.locator("#key-text").fill("wrong")
    page.keyboard.press("Enter")
    until(page, "does not take this key", "#key-words")
    page.locator("#key-text").fill("s3cret")
    page.keyboard.press("Enter")
    until(page, "demo", "h1")
    search(page, "Koch")
    until(page, "Koch", "#results li")
    assert not page.locator("#key").is_visible()
    assert (
        page.evaluate("[...Object.values(sessionStorage), ...Object.values(localStorage)].join()").count("s3cret") == 0
    )

    page.reload()
    page.locator("#key-text").fill("s3cret")
    page.locator("#key-keep").check()
    page.get_by_role("button", name="Use it").click()
    until(page, "demo", "h1")
    page.reload()
    until(page, "demo", "h1")
    assert not page.locator("#key").is_visible()


def test_a_key_that_cannot_be_sent_is_told_before_it_is(visit: Any, server: Canned) -> None:
    server.key = "s3cret"
    page = visit(refused=True)
    page.locator("#key-text").fill("s\u20accret")
    page.keyboard.press("Enter")
    until(page, "letters without accents", "#key-words")
    page.locator("#key-text").fill("s3cret")
    page.keyboard.press("Enter")
    until(page, "demo", "h1")


def test_without_a_key_it_says_so_and_asks_again(visit: Any, server: Canned) -> None:
    server.key = "s3cret"
    page = visit(refused=True)
    page.locator("#key-text").wait_for()
    page.keyboard.press("Escape")
    until(page, "Without its key", "[role=alert]")
    page.get_by_role("button", name="Try again").click()
    page.locator("#key-text").fill("s3cret")
    page.keyboard.press("Enter")
    until(page, "demo", "h1")


def test_without_index_or_report_it_says_how_to_get_them(visit: Any, server: Canned) -> None:
    server.has_index = server.has_report = False
    page = visit()
    until(page, "--index DIR", "#panel-search")
    page.get_by_role("tab", name="Many").click()
    until(page, "--index DIR", "#panel-many")
    page.get_by_role("tab", name="Errors").click()
    until(page, "--report", "#errors-intro")
