"""The server's page in Chromium: many titles, pasted or from a file, matched, mended and saved."""

import csv
import io
import threading
from typing import Any

import pytest
from browser.canned_server import Canned, letters
from browser.reading import match_all, saved, until

pytestmark = pytest.mark.browser
TITLES = [f"{label} {number}" for number in range(8) for label in ("Koch", "Kellnerin", "Bäcker", "xq")] * 5
TITLES = [f"{title}.{number}" for number, title in enumerate(TITLES)]  # 160 distinct ones: 64 + 64 + 32


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


def test_pasted_titles_are_matched_in_chunks_and_saved(visit: Any, server: Canned) -> None:
    page = visit("#many")
    match_all(page, [*TITLES, TITLES[0]])
    assert [len(texts) for texts in server.texts()] == [64, 64, 32], "equal titles are asked for once"
    texts = [*TITLES, TITLES[0]]
    want = io.StringIO(newline="")
    rows = [[text, *row] for text, row in zip(texts, expected_rows(texts), strict=True)]
    csv.writer(want, lineterminator="\r\n").writerows([["title", *ADDED], *rows])
    assert saved(page, "Save CSV").decode() == want.getvalue()
    page.get_by_label("byte order mark").check()
    assert saved(page, "Save CSV") == b"\xef\xbb\xbf" + want.getvalue().encode()


def test_no_chunk_is_larger_than_the_server_takes(visit: Any, server: Canned) -> None:
    server.max_texts = 50
    page = visit("#many")
    match_all(page, TITLES)
    assert [len(texts) for texts in server.texts()] == [50, 50, 50, 10]


def test_matching_shows_progress_stops_and_goes_on(visit: Any, server: Canned) -> None:
    server.gates[TITLES[64]] = threading.Event()
    page = visit("#many")
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


def test_a_csv_is_dropped_its_column_chosen_and_the_rest_of_it_kept(visit: Any) -> None:
    page = visit("#many")
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


def test_a_file_of_old_spreadsheets_and_a_list_of_lines_are_read_too(visit: Any, server: Canned) -> None:
    page = visit("#many")
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


def test_the_unknown_are_shown_alone_and_mended(visit: Any) -> None:
    page = visit("#many")
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


def test_nothing_to_match_says_what_to_do(visit: Any, server: Canned) -> None:
    page = visit("#many")
    page.locator("#lines").fill(" \n")
    page.get_by_role("button", name="Match").click()
    until(page, "There is no title yet", "#many-status")
    assert server.asked == []
