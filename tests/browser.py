"""Pages in a Chromium without network."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SWITCHES = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


@contextmanager
def browse(html: Path) -> Iterator["Page"]:
    """Opens a page; fails if it logs anything or asks for anything."""
    if CHROMIUM is None:
        pytest.skip("no Chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=SWITCHES.split())
        opened = browser.new_page()
        heard: list[str] = []
        opened.on("console", lambda message: heard.append(message.text))
        opened.on("pageerror", lambda error: heard.append(str(error)))
        opened.on("request", lambda request: None if request.url.startswith("data:") else heard.append(request.url))
        opened.goto(html.as_uri())
        yield opened
        assert heard == [html.as_uri()]
        browser.close()


def column(page: "Page", number: int) -> list[str]:
    """The texts of a column of the table of sequences, counted from 1."""
    return [
        cell.strip() for cell in page.locator(f"#sequences tbody tr:visible td:nth-child({number})").all_inner_texts()
    ]
