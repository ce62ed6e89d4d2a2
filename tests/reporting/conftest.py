"""A page in headless Chromium."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    flags = "no-sandbox disable-gpu no-first-run disable-sync disable-background-networking"
    flags += " disable-component-update"
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=[f"--{flag}" for flag in flags.split()]
        )
        yield browser
        browser.close()


class Tab:
    """The page in a browser, and all that the browser complained of or fetched."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.complaints: list[str] = []
        self.fetched: list[str] = []
        self.page = browser.new_page(**{"viewport": {"width": 1200, "height": 900}, **options})
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", lambda request: self.complaints.append(request.url))
        self.page.on("request", lambda request: self.fetched.append(request.url.partition(":")[0]))
        self.page.goto(path.as_uri())

    def duration_s(self) -> float:
        duration_s: float = json.loads(self.page.locator("#data").inner_text())["duration_s"]
        return duration_s

    def time(self) -> float:
        seconds: float = self.page.evaluate("document.querySelector('#player').currentTime")
        return seconds

    def paused(self) -> bool:
        paused: bool = self.page.evaluate("document.querySelector('#player').paused")
        return paused

    def wait(self, condition: Callable[[], bool]) -> None:
        """Playwright's own wait_for_function is refused by the page: it would evaluate text."""
        give_up = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < give_up
            self.page.wait_for_timeout(20)

    def segment(self, label: str, start: str) -> Any:
        return self.page.locator(f'.segment[aria-label^="{label}, {start}"]')

    def playhead(self) -> float:
        """Its place on the timeline, in seconds."""
        script = """() => {
            const lane = document.querySelector(".lane").getBoundingClientRect();
            const head = document.querySelector("#playhead").getBoundingClientRect();
            return (head.left + head.width / 2 - lane.left) / lane.width;
        }"""
        share: float = self.page.evaluate(script)
        return share * self.duration_s()

    def click_lane(self, time_s: float) -> None:
        """On the lane of a curve, where no segment is."""
        lane = self.page.locator(".curve .lane").first
        box = lane.bounding_box()
        lane.click(position={"x": box["width"] * time_s / self.duration_s(), "y": 5})

    def shows_picture(self) -> int:
        """The number of the thumbnail that is shown, by its brightness."""
        script = """async () => {
            const image = document.querySelector("#player img");
            await image.decode();
            const canvas = document.createElement("canvas").getContext("2d");
            canvas.drawImage(image, 0, 0);
            return canvas.getImageData(9, 9, 1, 1).data[0];
        }"""
        return round((self.page.evaluate(script) - 20) / 20)


@pytest.fixture
def open_path(browser: Any) -> Iterator[Callable[..., Tab]]:
    """`open_path(PATH)`: the page in a browser of its own, which keeps nothing of others."""
    tabs = []

    def open_path(path: Path, **options: Any) -> Tab:
        tabs.append(Tab(browser, path, **options))
        return tabs[-1]

    yield open_path
    for tab in tabs:
        tab.page.close()
