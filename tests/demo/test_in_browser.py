"""The page in a real browser, which speaks into a microphone that plays a file, and asks."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from fakes import tone
from tiny_audio.audio.timebase import SAMPLE_RATE

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

sync_api.expect.set_options(timeout=60_000)
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    spoken = tmp_path_factory.mktemp("microphone") / "spoken.wav"
    soundfile.write(spoken, np.tile(tone(duration=1.0, hertz=660), 20), SAMPLE_RATE)
    args = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*args, f"--use-file-for-fake-audio-capture={spoken}"]
        )
        yield browser
        browser.close()


class Visit:
    """A page of the demo, and what went wrong in it."""

    def __init__(self, browser: Any, site: str, size: dict[str, int]) -> None:
        self.page = browser.new_context(viewport=size, permissions=["microphone"]).new_page()
        self.page.set_default_timeout(60_000)
        self.complaints: list[str] = []
        self.page.on("console", lambda line: line.type == "error" and self.complaints.append(line.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._check(request.url, site))
        self.page.goto(site)
        self.button("Record").wait_for()

    def _check(self, url: str, site: str) -> None:
        if not url.startswith((f"{site}/", "data:", f"blob:{site}/")):
            self.complaints.append(url)

    def button(self, name: str) -> Any:
        return self.page.get_by_role("button", name=name, exact=True)

    def box(self, index: int) -> Any:
        return self.page.locator("textarea:visible").nth(index)

    @property
    def is_too_wide(self) -> bool:
        return self.page.evaluate("document.documentElement.scrollWidth > innerWidth")


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def visit(browser: Any, site: str, request: pytest.FixtureRequest) -> Iterator[Visit]:
    visit = Visit(browser, site, request.param)
    yield visit
    assert visit.complaints == []
    assert not visit.is_too_wide
    visit.page.context.close()


def test_speak_read_save_and_look_inside(visit: Visit) -> None:
    visit.button("Record").click()
    visit.button("Stop").wait_for()
    visit.page.wait_for_timeout(1500)
    visit.button("Stop").click()
    sync_api.expect(visit.box(0)).to_have_value("tone660")

    with visit.page.expect_download() as download:
        visit.page.get_by_role("link", name="SRT").click()
    srt = Path(download.value.path()).read_text()
    assert srt.startswith("1\n00:00:0")
    assert srt.endswith("\ntone660\n\n")

    visit.button("Show how it was heard").click()
    trace = visit.page.frame_locator("iframe.trace")
    trace.get_by_role("heading", name="Log-mel spectrogram").wait_for()
    frame = visit.page.locator("iframe.trace")
    assert frame.bounding_box()["height"] > 1500, "all of it is shown"
    assert trace.locator("canvas").first.evaluate("canvas => canvas.width") > 100, "its script ran"


def test_an_example_and_nothing(visit: Visit) -> None:
    visit.page.get_by_role("button", name="Printing, then").click()
    sync_api.expect(visit.box(0)).not_to_have_value("")
    visit.button("Clear").first.click()
    sync_api.expect(visit.box(0)).to_have_value("")
    sync_api.expect(visit.button("Show how it was heard")).to_be_hidden()


def test_ask(visit: Visit) -> None:
    visit.page.get_by_role("tab", name="Text").click()
    visit.box(0).fill("one two three")
    visit.button("Ask").click()
    sync_api.expect(visit.box(1)).not_to_have_value("")
