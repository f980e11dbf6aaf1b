"""The server's page in Chromium: what a person does on it, with the server well, slow, gone and refusing."""

import csv
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser.canned_server import HOSTILE, LONGEST, Canned, letters, running, worst

pytestmark = pytest.mark.browser
PHONE, DESKTOP = 390, 1280
PATIENCE_MS = 30_000  # of the test, on a busy machine; nothing waits so long when all is well
REFUSED = "Failed to load resource"  # Chromium's own note on an answer that is an error
TITLES = [f"{label} {number}" for number in range(8) for label in ("Koch", "Kellnerin", "Bäcker", "xq")] * 5
TITLES = [f"{title}.{number}" for number, title in enumerate(TITLES)]  # 160 distinct ones: 64 + 64 + 32


@pytest.fixture(scope="module")
def started() -> Iterator[Canned]:
    with running() as canned:
        yield canned


@pytest.fixture
def server(started: Canned) -> Canned:
    started.reset()
    return started


@pytest.fixture
def opened(chromium: Any, server: Canned) -> Iterator[Any]:
    """Opens the page anew; at the end no one else was asked and nothing complained."""
    contexts, asked, complaints, expected = [], [], [], []

    def open_page(hash_: str = "", width: int = DESKTOP, refused: bool = False, **options: Any) -> Any:
        contexts.append(chromium.new_context(viewport={"width": width, "height": 900}, **options))
        contexts[-1].set_default_timeout(PATIENCE_MS)
        page = contexts[-1].new_page()
        expected.extend([REFUSED] if refused else [])
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{server.origin}/{hash_}")
        until(page, "Asking" if server.key else "demo", "#facts" if server.key else "h1")
        return page

    yield open_page
    for gate in server.gates.values():
        gate.set()
    for context in contexts:
        context.close()
    assert [url for url in asked if not url.startswith((server.origin, f"blob:{server.origin}", "data:"))] == []
    assert [said for said in complaints if not any(said.startswith(start) for start in expected)] == []


def until(page: Any, said: str, where: str) -> None:
    """Until some element of `where` holds the words."""
    page.locator(where).filter(has_text=said).first.wait_for()


def search(page: Any, text: str) -> None:
    page.locator("#query").fill(text)
    page.keyboard.press("Enter")


def first(page: Any) -> Any:
    return page.locator("#results li").first


def match_all(page: Any, titles: list[str]) -> None:
    page.locator("#lines").fill("\n".join(titles))
    page.get_by_role("button", name="Match").click()
    until(page, f"{len(titles)} title", "#many-status")
    until(page, "known", "#many-status")


def saved(page: Any, button: str) -> bytes:
    with page.expect_download() as download:
        page.get_by_role("button", name=button, exact=True).click()
    return Path(download.value.path()).read_bytes()


# Search


def test_a_german_title_finds_its_concept_and_says_why(opened: Any) -> None:
    page = opened()
    page.locator("#query").press_sequentially("Softwareentwicklerin")
    until(page, "Softwareentwicklerin", "#results li q")
    found = first(page).inner_text()
    for wanted in ("Softwareentwickler", "2512.1", "1.00", "German", "ISCO 2512", "sample:occupation/0082"):
        assert wanted in found
    assert (
        page.locator("#search-status").inner_text() == "10 concepts. ✓ The first is right with a confidence of 100 %."
    )
    labels = page.locator("#results li .label").all_inner_texts()
    assert len(labels) == len(set(labels)) == 10, "one line a concept"


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


def test_what_is_typed_before_the_server_is_known_is_searched_then(opened: Any) -> None:
    page = opened()
    held: list[Any] = []
    page.route("**/v1/about", lambda route: held.append(route))
    page.reload()
    search(page, "Koch")
    page.wait_for_function("document.querySelector('[role=tab][aria-selected=true]')")
    held[0].continue_()
    until(page, "Koch", "#results li")
    assert "?" not in page.url, "the form was sent"


def test_an_answer_that_comes_too_late_is_dropped(opened: Any, server: Canned) -> None:
    server.gates["Koch"] = threading.Event()
    page = opened()
    search(page, "Koch")
    server.until_asked("Koch")
    assert page.locator("#results").get_attribute("aria-busy") == "true"
    search(page, "Kellner")
    until(page, "Kellner", "#results li:first-child .label")
    server.gates["Koch"].set()
    page.wait_for_timeout(300)
    assert first(page).locator(".label").inner_text() == "Kellner"
    assert page.locator("#results").get_attribute("aria-busy") is None


def test_the_keyboard_walks_the_results_and_clears(opened: Any) -> None:
    page = opened()
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


def test_a_code_is_copied(opened: Any) -> None:
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    search(page, "Softwareentwickler")
    page.get_by_role("button", name="Copy code 2512.1").click()
    until(page, "Copied", "#results button")
    assert page.evaluate("navigator.clipboard.readText()") == "2512.1"


def test_languages_and_isco_groups_narrow_the_search(opened: Any, server: Canned) -> None:
    page = opened()
    search(page, "Koch")
    until(page, "German", "#results .why")
    page.locator("#search-filter").get_by_label("Turkish").check()
    page.locator("#search-filter").get_by_label("ISCO groups").fill("25, 2221")
    page.keyboard.press("Enter")
    until(page, "ISCO 25", "#results .why")
    assert {key: server.asked[-1][key] for key in ("languages", "groups")} == {
        "languages": ["tr"],
        "groups": ["25", "2221"],
    }
    assert all("Turkish" in why for why in page.locator("#results .why").all_inner_texts())


def test_a_group_that_is_no_number_is_not_searched_for(opened: Any, server: Canned) -> None:
    page = opened()
    page.locator("#query").fill("Koch")
    page.locator("#search-filter").get_by_label("ISCO groups").fill("chefs")
    page.keyboard.press("Enter")
    assert page.locator(":user-invalid").count() == 1
    page.locator("#search-filter").get_by_label("ISCO groups").fill("5")
    page.keyboard.press("Enter")
    until(page, "ISCO 5", "#results .why")
    assert all(body["groups"] == ["5"] for body in server.asked)


def test_what_is_not_believed_is_called_unknown_with_suggestions(opened: Any) -> None:
    page = opened()
    search(page, "Oberfeuerwerkskoordination")
    until(page, "Unknown", "#search-status")
    assert "under 50 %. These are suggestions." in page.locator("#search-status").inner_text()
    assert page.locator("#results li").count() == 10


def test_nothing_found_says_what_to_do(opened: Any) -> None:
    page = opened()
    page.locator("#search-filter").get_by_label("ISCO groups").fill("9999")
    search(page, "Koch")
    until(page, "Nothing found among these languages and groups", "#search-status")


def test_a_title_with_html_in_it_stays_text(opened: Any) -> None:
    page = opened()
    search(page, HOSTILE.text)
    until(page, HOSTILE.text, "#results q")
    assert first(page).locator(".label").inner_text() == HOSTILE.preferred
    page.get_by_role("tab", name="Many").click()
    match_all(page, [HOSTILE.text])
    assert page.locator("#matches th").inner_text() == HOSTILE.text
    assert page.locator("main img, main b").count() == 0


def test_a_title_that_was_cut_is_told(opened: Any) -> None:
    page = opened()
    search(page, "Koch " * (LONGEST // 4))
    until(page, "longer than the model reads", "#search-status")
    page.get_by_role("tab", name="Many").click()
    match_all(page, ["Koch " * (LONGEST // 4) + "in", "Koch"])
    until(page, "1 longer than the model reads: matched by the beginning.", "#many-status")


def test_titles_from_right_to_left_are_written_so(opened: Any) -> None:
    page = opened()
    page.locator("#query").fill("مهندس برمجيات")
    assert page.locator("#query").evaluate("each => getComputedStyle(each).direction") == "rtl"
    page.get_by_role("tab", name="Many").click()
    match_all(page, ["مهندس برمجيات", "Koch"])
    directions = page.locator("#matches th").evaluate_all("all => all.map((each) => getComputedStyle(each).direction)")
    assert directions == ["rtl", "ltr"]


# When the server is not well


def test_an_error_is_told_and_tried_again(opened: Any, server: Canned) -> None:
    page = opened(refused=True)
    server.refusals = [(500, {})]
    search(page, "Koch")
    until(page, "no such luck (500). The fault is the server's; its log says more.", "[role=alert]")
    page.get_by_role("button", name="Try again").click()
    until(page, "Koch", "#results li")
    assert page.locator("[role=alert]").count() == 0


def test_a_server_that_is_gone_is_told_and_the_title_stays(opened: Any) -> None:
    page = opened(refused=True)
    page.route("**/v1/match", lambda route: route.abort())
    search(page, "Koch")
    until(page, "The server does not answer.", "[role=alert]")
    assert page.locator("#query").input_value() == "Koch"
    page.unroute("**/v1/match")
    page.get_by_role("button", name="Try again").click()
    until(page, "Koch", "#results li")


def test_a_slow_server_is_told(opened: Any, server: Canned) -> None:
    server.gates["Koch"] = threading.Event()
    page = opened()
    search(page, "Koch")
    until(page, "still waiting", "#search-status")
    server.gates["Koch"].set()
    until(page, "The first is right", "#search-status")


def test_a_busy_server_is_asked_again_after_the_time_it_names(opened: Any, server: Canned) -> None:
    page = opened(refused=True)
    server.refusals = [(429, {"Retry-After": "1"})] * 2
    search(page, "Koch")
    until(page, "Koch", "#results li")
    assert server.texts() == [["Koch"]] * 3


def test_the_key_is_asked_for_once_and_kept_only_by_choice(opened: Any, server: Canned) -> None:
    server.key = "s3cret"
    page = opened(refused=True)
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


def test_without_a_key_it_says_so_and_asks_again(opened: Any, server: Canned) -> None:
    server.key = "s3cret"
    page = opened(refused=True)
    page.locator("#key-text").wait_for()
    page.keyboard.press("Escape")
    until(page, "Without its key", "[role=alert]")
    page.get_by_role("button", name="Try again").click()
    page.locator("#key-text").fill("s3cret")
    page.keyboard.press("Enter")
    until(page, "demo", "h1")


def test_without_index_or_report_it_says_how_to_get_them(opened: Any, server: Canned) -> None:
    server.has_index = server.has_report = False
    page = opened()
    until(page, "--index DIR", "#panel-search")
    page.get_by_role("tab", name="Many").click()
    until(page, "--index DIR", "#panel-many")
    page.get_by_role("tab", name="Errors").click()
    until(page, "--report", "#errors-intro")


# Many


def expected_rows(texts: list[str]) -> list[list[str]]:
    """The fields behind each title, by their definition."""
    rows = []
    for text in texts:
        match = letters().match(text, 5, [], []) if text else {"known": False, "confidence": 0.0, "concepts": []}
        best, *others = match["concepts"] or [None]
        if match["known"]:
            found = [best["concept"], best["code"], best["label"], best["matched"]["text"], best["matched"]["language"]]
        else:
            found, others = ["Unknown", "", "", "", ""], match["concepts"]
        score = f"{best['score']:.4f}" if best else ""
        listed = " | ".join(other["label"] for other in others)
        rows.append([*found, score, f"{match['confidence']:.4f}", listed, ""])
    return rows


ADDED = [
    "concept",
    "code",
    "label",
    "matched_label",
    "matched_language",
    "score",
    "confidence",
    "alternatives",
    "changed",
]


def test_pasted_titles_are_matched_in_chunks_and_saved(opened: Any, server: Canned) -> None:
    page = opened("#many")
    match_all(page, [*TITLES, TITLES[0]])
    assert [len(texts) for texts in server.texts()] == [64, 64, 32], "equal titles are asked for once"
    texts = [*TITLES, TITLES[0]]
    want = io.StringIO(newline="")
    rows = [[text, *row] for text, row in zip(texts, expected_rows(texts), strict=True)]
    csv.writer(want, lineterminator="\r\n").writerows([["title", *ADDED], *rows])
    assert saved(page, "Save CSV").decode() == want.getvalue()
    page.get_by_label("byte order mark").check()
    assert saved(page, "Save CSV") == b"\xef\xbb\xbf" + want.getvalue().encode()


def test_matching_shows_progress_stops_and_goes_on(opened: Any, server: Canned) -> None:
    server.gates[TITLES[64]] = threading.Event()
    page = opened("#many")
    page.locator("#lines").fill("\n".join(TITLES))
    page.get_by_role("button", name="Match").click()
    until(page, "64 of 160", "#count")
    assert page.locator("#progress").evaluate("each => each.value") == pytest.approx(0.4)
    server.until_asked(TITLES[64])
    page.get_by_role("button", name="Cancel").click()
    until(page, "64 titles so far", "#many-status")
    page.locator("#matches select").first.select_option("Unknown – or choose")
    server.gates[TITLES[64]].set()
    page.get_by_role("button", name="Go on").click()
    until(page, "160 titles:", "#many-status")
    until(page, "1 changed by you", "#many-status")
    assert [len(texts) for texts in server.texts()] == [64, 64, 64, 32], "what was answered is not asked again"
    page.get_by_role("button", name="Show 60 more of 60").click()
    assert page.locator("#matches tr").count() == 160


def test_a_csv_is_dropped_its_column_chosen_and_the_rest_of_it_kept(opened: Any) -> None:
    page = opened("#many")
    table = '\ufeffcode;job title;other\r\n1;"Koch; ""Chef""\nund mehr";x\r\n2;;y\r\n3;Bäcker;Kellner\r\n'
    drop(page, "titles.csv", table.encode())
    until(page, "titles.csv: 4 lines.", "#file-status")
    assert page.locator("#column option").all_inner_texts() == ["code", "job title", "other"]
    assert page.locator("#column").evaluate("each => each.selectedOptions[0].text") == "job title"
    page.get_by_role("button", name="Match").click()
    until(page, "3 titles", "#many-status")
    rows = list(csv.reader(io.StringIO(saved(page, "Save CSV").decode(), newline="")))
    given = [["1", 'Koch; "Chef"\nund mehr', "x"], ["2", "", "y"], ["3", "Bäcker", "Kellner"]]
    texts = [row[1] for row in given]
    assert rows[0] == ["code (given)", "job title", "other", *ADDED]
    assert rows[1:] == [[*cells, *row] for cells, row in zip(given, expected_rows(texts), strict=True)]
    page.locator("#column").select_option("other")
    page.get_by_role("button", name="Match").click()
    page.locator("#matches th").filter(has_text="Kellner").wait_for()
    page.get_by_label("The first line").uncheck()
    assert page.locator("#column option").all_inner_texts() == ["column 1", "column 2", "column 3"]


def test_a_file_of_old_spreadsheets_and_a_list_of_lines_are_read_too(opened: Any, server: Canned) -> None:
    page = opened("#many")
    drop(page, "old.csv", "Beruf\r\nBäcker\r\n".encode("windows-1252"))
    until(page, "read as Windows-1252", "#file-status")
    page.get_by_role("button", name="Match").click()
    until(page, "1 title:", "#many-status")
    assert server.texts() == [["Bäcker"]]
    drop(page, "lines.txt", b"Koch, leitend\nKellner\n")
    until(page, "one title a line", "#file-status")
    page.get_by_role("button", name="Match").click()
    until(page, "2 titles:", "#many-status")
    assert server.texts()[1:] == [["Koch, leitend", "Kellner"]]


def drop(page: Any, name: str, content: bytes) -> None:
    transfer = page.evaluate_handle(
        """([name, bytes]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], name));
            return transfer;
        }""",
        [name, list(content)],
    )
    page.locator("#drop").dispatch_event("drop", {"dataTransfer": transfer})


def test_the_unknown_are_shown_alone_and_mended(opened: Any) -> None:
    page = opened("#many")
    match_all(page, ["Koch", "Oberfeuerwerkskoordination"])
    assert page.locator("#many-status").inner_text() == "2 titles: 1 known, 1 unknown."
    page.get_by_label("Unknown only").check()
    assert page.locator("#matches th").all_inner_texts() == ["Oberfeuerwerkskoordination"]
    page.get_by_label("Concept of Oberfeuerwerkskoordination").select_option(index=2)
    assert page.locator("#many-status").inner_text() == "2 titles: 1 known, 1 unknown, 1 changed by you."
    chosen = letters().match("Oberfeuerwerkskoordination", 5, [], [])["concepts"][1]
    row = list(csv.DictReader(io.StringIO(saved(page, "Save CSV").decode())))[1]
    assert (row["concept"], row["code"], row["label"]) == (chosen["concept"], chosen["code"], chosen["label"])
    assert (row["confidence"], row["changed"]) == ("", "yes")
    page.get_by_label("Unknown only").uncheck()
    assert page.locator("#matches tr").count() == 2


def test_nothing_to_match_says_what_to_do(opened: Any, server: Canned) -> None:
    page = opened("#many")
    page.locator("#lines").fill(" \n")
    page.get_by_role("button", name="Match").click()
    until(page, "There is no title yet", "#many-status")
    assert server.asked == []


# Errors


def test_worst_queries_are_judged_and_the_judgement_outlives_the_page(opened: Any) -> None:
    page = opened("#errors")
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


def test_one_set_can_be_chosen_and_right_is_told_without_colour(opened: Any) -> None:
    page = opened("#errors")
    page.get_by_label("Set").select_option("sample:es")
    until(page, "sample:es", "#worst h2")
    assert page.locator("#worst h2", has_text="sample:de").count() == 0
    page.get_by_role("button", name="Show 5 more").click()
    assert page.locator("#worst > li").count() == 25
    for row, card in zip(worst()["sets"]["sample:es"]["queries"], page.locator("#worst > li").all(), strict=True):
        signs = card.locator(".sides > div").nth(1).locator(".sign").all_inner_texts()
        assert signs == ["✓" if text in row["gold"] else "✗" for text, _ in row["predicted"]]


# For every reader


def test_tabs_follow_the_hash_the_way_back_and_the_arrow_keys(opened: Any) -> None:
    page = opened("#errors")
    assert page.get_by_role("tabpanel").get_attribute("id") == "panel-errors"
    page.get_by_role("tab", name="Many").click()
    assert page.title() == "Many · tutelage"
    page.go_back()
    page.locator("#panel-errors").wait_for()
    page.get_by_role("tab", name="Errors").focus()
    page.keyboard.press("ArrowRight")
    page.locator("#panel-search").wait_for()
    assert page.url.endswith("#search")
    assert page.get_by_role("tab", selected=True).all_inner_texts() == ["Search"]
    assert page.evaluate("document.activeElement.id") == "tab-search"


def whole(page: Any) -> None:
    """Every part of the page with something in it."""
    search(page, "Softwareentwicklerin")
    until(page, "Softwareentwicklerin", "#results q")
    page.get_by_role("tab", name="Many").click()
    match_all(page, ["Koch", "Oberfeuerwerkskoordination", "Donaudampfschifffahrtsgesellschaftskapitänsmütze" * 2])
    page.locator("#matches select").first.select_option(index=2)


@pytest.mark.parametrize("width", [PHONE, 768, DESKTOP])
def test_the_page_never_scrolls_sideways(opened: Any, width: int) -> None:
    page = opened(width=width)
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
def test_every_text_stands_out_from_what_is_behind_it(opened: Any, server: Canned, colours: str) -> None:
    page = opened(refused=True, color_scheme=colours, reduced_motion="reduce")
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


def test_the_readers_colours_are_kept_and_may_be_switched(opened: Any) -> None:
    page = opened(color_scheme="light")

    def is_dark() -> bool:
        return page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"

    assert not is_dark()
    page.get_by_label("Colours").select_option("dark")
    assert is_dark()
    page.reload()
    assert is_dark()
    page.get_by_label("Colours").select_option("as the system")
    assert not is_dark()


def test_everything_has_a_name_and_what_changes_is_announced(opened: Any) -> None:
    page = opened()
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


def test_the_tab_key_reaches_everything_and_shows_where_it_is(opened: Any) -> None:
    page = opened()
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
