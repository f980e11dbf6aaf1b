"""The server's page in Chromium for every reader: keyboard, phone, colours, names."""

from typing import Any

import pytest
from browser.canned_server import Canned
from browser.reading import search, until, whole

pytestmark = pytest.mark.browser
PHONE, DESKTOP = 390, 1280


def test_tabs_follow_the_hash_the_way_back_and_the_arrow_keys(visit: Any) -> None:
    page = visit("#errors")
    assert page.get_by_role("tabpanel").get_attribute("id") == "panel-errors"
    page.get_by_role("tab", name="Many").click()
    page.locator("#panel-many").wait_for()
    assert page.title() == "Many · tutelage"
    page.go_back()
    page.locator("#panel-errors").wait_for()
    page.get_by_role("tab", name="Errors").focus()
    page.keyboard.press("ArrowRight")
    page.locator("#panel-search").wait_for()
    assert page.url.endswith("#search")
    assert page.get_by_role("tab", selected=True).all_inner_texts() == ["Search"]
    assert page.evaluate("document.activeElement.id") == "tab-search"


@pytest.mark.parametrize("width", [PHONE, 768, DESKTOP])
def test_the_page_never_scrolls_sideways(visit: Any, width: int) -> None:
    page = visit(width=width)
    whole(page)
    for tab in ("search", "many", "errors"):
        page.evaluate(f"location.hash = '{tab}'")
        page.locator(f"#panel-{tab}").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") == width
        beyond = """[...document.querySelectorAll('main *, header *')].filter((e) => e.checkVisibility())
            .filter((e) => e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, 80))"""
        assert page.evaluate(beyond) == []


LOW_CONTRAST = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (part) => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
  const behind = (element) => {
    const [r, g, b, alpha = 1] = numbers(getComputedStyle(element).backgroundColor);
    return alpha === 1 ? [r, g, b] : behind(element.parentElement);
  };
  const written = [...document.querySelectorAll('body *')].filter((each) => each.checkVisibility()
    && (each.matches('input, select, textarea')
      || [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim())));
  const low = written.map((each) => {
    const pair = [luminance(numbers(getComputedStyle(each).color)), luminance(behind(each))].sort((a, b) => a - b);
    return [(pair[1] + 0.05) / (pair[0] + 0.05), each.outerHTML.slice(0, 90)];
  });
  return { seen: written.length, low: low.filter(([ratio]) => ratio < 4.5) };
}"""


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(visit: Any, server: Canned, colours: str) -> None:
    page = visit(refused=True, color_scheme=colours, reduced_motion="reduce")
    whole(page)
    for tab in ("search", "many", "errors"):
        page.evaluate(f"location.hash = '{tab}'")
        page.locator(f"#panel-{tab}").wait_for()
        found = page.evaluate(LOW_CONTRAST)
        assert found["seen"] > 30
        assert found["low"] == []
    page.get_by_role("tab", name="Search").click()
    server.refusals = [(500, {})]
    search(page, "Koch")
    page.locator("[role=alert]").wait_for()
    assert page.evaluate(LOW_CONTRAST)["low"] == []


def test_the_readers_colours_are_kept_and_may_be_switched(visit: Any) -> None:
    page = visit(color_scheme="light")

    def is_dark() -> bool:
        return page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"

    assert not is_dark()
    page.get_by_label("Colours").select_option("dark")
    assert is_dark()
    page.reload()
    assert is_dark()
    page.get_by_label("Colours").select_option("as the system")
    assert not is_dark()


def test_everything_has_a_name_and_what_changes_is_announced(visit: Any) -> None:
    page = visit()
    whole(page)
    unnamed = """[...document.querySelectorAll('input, select, textarea, progress')]
        .filter((each) => !each.labels?.length && !each.ariaLabel).map((each) => each.outerHTML)"""
    assert page.evaluate(unnamed) == []
    nameless = "[...document.querySelectorAll('button, a')].filter((each) => !each.textContent.trim() && !each.hidden)"
    assert page.evaluate(f"{nameless}.map((each) => each.outerHTML)") == []
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((each) => each.id)")
    assert len(ids) == len(set(ids))
    for status in ("search-status", "many-status", "judged-count", "file-status"):
        assert page.locator(f"#{status}").get_attribute("role") == "status"
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("h1").count() == 1
    for tab in page.get_by_role("tab").all():
        panel = page.locator(f"#{tab.get_attribute('aria-controls')}")
        assert panel.get_attribute("aria-labelledby") == tab.get_attribute("id")


FOCUSED = """() => {
  const element = document.activeElement;
  if (element === document.body) return ['the browser itself', 'none'];
  return [element.id || element.value || element.textContent, getComputedStyle(element).outlineStyle];
}"""


def test_the_tab_key_reaches_everything_and_shows_where_it_is(visit: Any) -> None:
    page = visit()
    search(page, "Koch")
    until(page, "Koch", "#results li")
    seen = []
    for _ in range(22):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(FOCUSED)
        seen.append(name)
        assert outline == ("none" if name == "the browser itself" else "solid"), name
    for wanted in ("tab-search", "colours", "de", "Copy code"):
        assert wanted in seen, seen
