"""The report's page in Chromium: it sorts, filters, fits, follows the reader's colours, and asks for nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from evaluate.report_fixture import HOSTILE, whole_report

from tutelage.evaluate.page import write_page

pytestmark = pytest.mark.browser
PHONE, DESKTOP = 390, 1280


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page(whole_report(), path)
    return path


@pytest.fixture
def opened(chromium: Any, file: Path) -> Iterator[Any]:
    """Opens the page anew; at the end nothing was asked of anyone and nothing complained."""
    contexts, asked, complaints = [], [], []

    def open_page(width: int = DESKTOP, **options: Any) -> Any:
        contexts.append(chromium.new_context(viewport={"width": width, "height": 900}, **options))
        page = contexts[-1].new_page()
        page.route("**/*", lambda route: (asked.append(route.request.url), route.continue_()))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(file.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert asked == [file.as_uri()] * len(contexts)
    assert complaints == []


def shown(page: Any, column: int) -> list[str]:
    """Texts of one column of the worst queries that are in sight."""
    cells = page.locator(f"#worst-queries tbody tr:visible > :nth-child({column})")
    return [text.strip() for text in cells.all_inner_texts()]


def heading(page: Any, name: str) -> Any:
    return page.locator("#worst-queries thead").get_by_role("button", name=name)


def test_a_click_on_a_heading_sorts_by_number_and_again_turns_it_round(opened: Any) -> None:
    page = opened()
    page.get_by_role("button", name="Show all 55").click()
    unsorted = [float(text) for text in shown(page, 4)]
    assert len(unsorted) == 55
    assert unsorted != sorted(unsorted)
    heading(page, "after").click()
    assert [float(text) for text in shown(page, 4)] == sorted(unsorted)
    heading(page, "after").click()
    assert [float(text) for text in shown(page, 4)] == sorted(unsorted, reverse=True)
    assert page.locator("#worst-queries th[aria-sort]").all_inner_texts() == ["after"]
    assert page.locator("#worst-queries th[aria-sort]").get_attribute("aria-sort") == "descending"


def test_the_keyboard_sorts_as_the_mouse_does(opened: Any) -> None:
    page = opened()
    heading(page, "before").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    values = [float(text) for text in shown(page, 3)]
    assert values == sorted(values)
    page.keyboard.press("Space")
    values = [float(text) for text in shown(page, 3)]
    assert values == sorted(values, reverse=True)


def test_signed_numbers_and_words_sort_as_such(opened: Any) -> None:
    page = opened()
    heading(page, "change").click()
    changes = [float(text) for text in shown(page, 5)]
    assert changes == sorted(changes)
    assert changes[0] < 0
    heading(page, "set").click()
    assert shown(page, 1)[0] == "talentclef:de"


def test_the_first_rows_are_the_first_of_the_order_not_of_the_page(opened: Any) -> None:
    page = opened()
    assert len(shown(page, 4)) == 20
    heading(page, "after").click()
    heading(page, "after").click()
    worst = max(row["after"] for rows in whole_report()["worst"].values() for row in rows)
    assert float(shown(page, 4)[0]) == pytest.approx(worst)
    assert len(shown(page, 4)) == 20


def test_the_filter_finds_titles_whatever_their_accents_and_says_how_many(opened: Any) -> None:
    page = opened()
    page.locator('[data-for="worst-queries"] input').fill("PEON de almacen")
    assert {text.split("\n")[0] for text in shown(page, 2)} == {"peón de almacén"}
    assert page.locator('[data-for="worst-queries"] output').inner_text() == "5 of 5 found, 55 in all"
    page.locator('[data-for="worst-queries"] input').fill("no such title")
    assert shown(page, 2) == []
    page.locator('[data-for="worst-queries"] input').fill("")
    assert len(shown(page, 2)) == 20


def test_the_button_for_more_rows_is_there_only_while_there_are_more(opened: Any) -> None:
    page = opened()
    more = page.locator("#worst-queries + .more")
    assert more.is_visible()
    more.click()
    assert not more.is_visible()
    assert len(shown(page, 2)) == 55


def test_one_set_or_one_metric_can_be_chosen(opened: Any) -> None:
    page = opened()
    page.locator('[data-for="worst-queries"] select').select_option("talentclef:zh")
    assert set(shown(page, 1)) == {"talentclef:zh"}
    page.get_by_text("Every metric (").click()
    page.locator('[data-for="all-changes"] select').select_option("mrr@10")
    rows = page.locator("#all-changes tbody tr:visible td:nth-child(3)").all_inner_texts()
    assert rows == ["mrr@10"] * 5


def test_a_hostile_title_is_shown_not_run(opened: Any) -> None:
    page = opened()
    page.locator('[data-for="worst-queries"] input').fill("<script>")
    assert HOSTILE in shown(page, 2)[0]


@pytest.mark.parametrize("width", [PHONE, DESKTOP, 768])
def test_the_page_never_scrolls_sideways(opened: Any, width: int) -> None:
    page = opened(width)
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
    page.get_by_role("button", name="Show all 55").click()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    beyond = """[...document.querySelectorAll('main *, header *')]
        .filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.wide, pre'))
        .map((e) => e.outerHTML.slice(0, 80))"""
    assert page.evaluate(beyond) == []
    scrolling = """[...document.querySelectorAll('.wide:has(.cards)')]
        .filter((e) => e.scrollWidth > e.clientWidth).map((e) => e.innerText.slice(0, 80))"""
    assert page.evaluate(scrolling) == [], "a table that turns into cards needs no scrolling"


def test_colours_follow_the_reader_in_the_plots_too(opened: Any) -> None:
    def luminance(page: Any, selector: str, of: str) -> float:
        colour = page.evaluate(f"getComputedStyle(document.querySelector({selector!r})).{of}")
        return sum(float(part) for part in colour.removeprefix("rgb(").rstrip(")").split(",")) / 765

    light, dark = (opened(color_scheme=scheme) for scheme in ("light", "dark"))
    assert luminance(light, "body", "backgroundColor") > 0.9 > 0.2 > luminance(light, "body", "color")
    assert luminance(dark, "body", "backgroundColor") < 0.1 < 0.8 < luminance(dark, "body", "color")
    assert luminance(light, ".plot text", "fill") < 0.5 < luminance(dark, ".plot text", "fill")


def test_without_script_the_page_is_whole_and_offers_no_dead_controls(opened: Any) -> None:
    page = opened(java_script_enabled=False)
    assert page.locator("#worst-queries tbody tr:visible").count() == 55
    assert page.locator(".controls:visible, button:visible").count() == 0


def test_the_policy_stops_what_an_injected_word_would_do(chromium: Any, file: Path, tmp_path: Path) -> None:
    broken = tmp_path / "injected.html"
    html = file.read_text(encoding="utf-8")
    broken.write_text(html.replace("<main>", "<main><script>document.title = 'run'</script>"), encoding="utf-8")
    page = chromium.new_page()
    page.goto(broken.as_uri())
    assert page.title() != "run"
    page.close()
