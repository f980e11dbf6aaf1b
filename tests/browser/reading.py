"""What a reader does on the server's page, whatever the test is about."""

from pathlib import Path
from typing import Any

PATIENCE_MS = 30_000  # of a test, on a busy machine; nothing waits so long when all is well


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


def whole(page: Any) -> None:
    """Every part of the page with something in it."""
    search(page, "Softwareentwicklerin")
    until(page, "Softwareentwicklerin", "#results q")
    page.get_by_role("tab", name="Many").click()
    match_all(page, ["Koch", "Oberfeuerwerkskoordination", "Donaudampfschifffahrtsgesellschaftskapitänsmütze" * 2])
    page.locator("#matches select").first.select_option(index=2)
