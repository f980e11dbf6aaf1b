"""The page, its server, an index and MiniLM's weights together: what a person meets after `tutelage serve`."""

from pathlib import Path
from typing import Any

import pytest
from browser.reading import PATIENCE_MS, first, match_all, until
from sentence_transformers import SentenceTransformer
from serve.server_fixture import live

from tutelage.serve.app import create_app
from tutelage.serve.building import build_index
from tutelage.serve.engine import TorchEngine
from tutelage.serve.entries import entries
from tutelage.serve.finder import open_finder

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address(minilm: SentenceTransformer, tmp_path_factory: pytest.TempPathFactory) -> Any:
    place: Path = tmp_path_factory.mktemp("served") / "labels"
    engine = TorchEngine(minilm, "minilm")
    build_index(engine, "all-MiniLM-L6-v2", entries("sample:en,de"), place, progress=False)
    with live(create_app(engine, finder=open_finder(str(place), engine, 0.5))) as where:
        yield where


def test_a_german_title_typed_into_the_page_finds_its_concept(chromium: Any, address: str) -> None:
    complaints: list[str] = []
    page = chromium.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(address)
    page.locator("#query").press_sequentially("Softwareentwicklerin Java")
    until(page, "2512.1", "#results li")
    found = first(page).inner_text()
    assert "Softwareentwickler" in found
    assert "2512.1" in found
    page.get_by_role("tab", name="Many").click()
    match_all(page, ["registered nurse", "qqqq zzzz xxxx"])
    assert "2221.1" in page.locator("#matches").inner_text()
    assert "Unknown" in page.locator("#matches select").nth(1).inner_text()
    page.close()
    assert complaints == []
