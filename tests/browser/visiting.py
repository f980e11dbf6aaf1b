"""The browser that the pages are tried in, and a server behind the page that has one."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from browser.canned_server import Canned, running
from browser.reading import PATIENCE_MS, until

DESKTOP = 1280
REFUSED = "Failed to load resource"  # Chromium's own note on an answer that is an error


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The system's browser; playwright's own download is not wanted."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs a browser: pip install playwright")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("needs a browser: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def started() -> Iterator[Canned]:
    with running() as canned:
        yield canned


@pytest.fixture
def server(started: Canned) -> Canned:
    started.reset()
    return started


@pytest.fixture
def visit(chromium: Any, server: Canned) -> Iterator[Any]:
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
