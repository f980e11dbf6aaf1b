"""Pictures of the server's page for the documents, taken in Chromium: `python docs/shoot_serve.py [--all FOLDER]`.

Behind the page is the server of `tests/browser/canned_server.py`: labels of the sample, found by their letters. With
`--all` every tab is taken at both widths in both colours, to be looked at; otherwise the three that are kept.
"""

import shutil
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 860}
SIZES = {"phone": {"viewport": PHONE, "is_mobile": True, "has_touch": True}, "desktop": {"viewport": DESKTOP}}
KEPT = {
    "serve_search": ("desktop", "light", "search"),
    "serve_many": ("desktop", "dark", "many"),
    "serve_phone": ("phone", "light", "search"),
}
TITLES = (
    "Softwareentwicklerin", "enfermero jefe", "kamyon şoförü", "head chef", "Pflegefachfrau", "Feuerwerkskoordination",
    "registered nurse, night shift", "Glockenstimmer", "Lokomotivführer",
)  # fmt: skip


def show(page: Any, tab: str) -> None:
    """Something to see in the tab."""
    if tab == "search":
        page.locator("#query").fill("Softwareentwicklerin")
        page.keyboard.press("Enter")
        page.locator("#results li").first.wait_for()
    if tab == "many":
        page.locator("#lines").fill("\n".join(TITLES))
        page.locator("#start").click()
        page.locator("#matches tr").first.wait_for()
        page.locator("#matches tr.unknown select").first.select_option(index=1)
        page.locator("#lines").evaluate("(lines) => { lines.scrollTop = 0; }")
        page.locator("#many-filter").evaluate("(filter) => filter.scrollIntoView()")
        page.mouse.move(0, 0)
    if tab == "errors":
        page.locator("#worst input[type=checkbox]").nth(1).check()


def shots(every: bool) -> Iterator[tuple[str, str, str, str]]:
    """File name, size, colours and tab of each picture."""
    if not every:
        yield from ((name, *how) for name, how in KEPT.items())
        return
    for size, colours, tab in product(SIZES, ("light", "dark"), ("search", "many", "errors")):
        yield f"{tab}_{size}_{colours}", size, colours, tab


def shoot(origin: str, folder: Path, every: bool) -> None:
    """The pictures; all of a long page when every one is asked for."""
    folder.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, size, colours, tab in shots(every):
            context = chromium.new_context(**SIZES[size], color_scheme=colours, reduced_motion="reduce")
            page = context.new_page()
            page.goto(f"{origin}/#{tab}")
            page.locator("#search-filter input").first.wait_for(state="attached")
            show(page, tab)
            page.screenshot(path=folder / f"{name}.png", full_page=every and tab != "errors")
            context.close()
        chromium.close()


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "tests" / "browser"))
    from canned_server import running

    with running() as canned:
        shoot(canned.origin, Path(sys.argv[2]) if sys.argv[1:2] == ["--all"] else IMAGES, bool(sys.argv[1:]))
