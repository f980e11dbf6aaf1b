"""Pictures of a report's page for the documents, taken in Chromium: `python docs/screenshots.py [report.html]`.

Without a page it is the one of `tests/evaluate/report_fixture.py`, whose titles and most of whose figures are invented.
"""

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 1000}


def shoot(page_file: Path) -> None:
    """Desktop and phone, light and dark."""
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for size, scheme, section, name in (
            (DESKTOP, "light", "", "report"),
            (DESKTOP, "light", "worst", "report-worst"),
            (DESKTOP, "dark", "audit", "report-audit-dark"),
            (PHONE, "dark", "worst", "report-worst-phone-dark"),
        ):
            page = chromium.new_context(viewport=size, color_scheme=scheme).new_page()
            page.goto(f"{page_file.as_uri()}#{section}")
            page.screenshot(path=IMAGES / f"{name}.png")
        chromium.close()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        shoot(Path(sys.argv[1]).resolve())
    else:
        sys.path.insert(0, str(ROOT / "tests" / "evaluate"))
        from report_fixture import whole_report

        from tutelage.evaluate.page import write_page

        with TemporaryDirectory() as folder:
            write_page(whole_report(), Path(folder) / "report.html")
            shoot(Path(folder) / "report.html")
