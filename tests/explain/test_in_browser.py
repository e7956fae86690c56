"""The page in a real browser: no error, no request, every panel drawn, sound that moves the cursor."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from explain.conftest import CLIP
from tiny_audio.explain.page.page import trace_page
from tiny_audio.explain.trace import Trace

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}

PLAY_FOR_A_WHILE = """() => new Promise((done) => {
  const sound = document.getElementById("sound");
  sound.addEventListener("timeupdate", () => { if (sound.currentTime > 0.3) { sound.pause(); done(); } });
  sound.play();
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        args = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=args)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> dict[str, Path]:
    folder, paths = tmp_path_factory.mktemp("pages"), {}
    for kind in ("aligned", "padded", "unaligned", "ctc"):
        trace: Trace = request.getfixturevalue(f"{kind}_trace")
        paths[kind] = folder / f"{kind}.html"
        paths[kind].write_text(trace_page(trace, CLIP, model="tiny"), encoding="utf-8")
    return paths


def open_page(browser: Any, path: Path, size: dict[str, int], scheme: str = "light") -> tuple[Any, list[str]]:
    """A page, and the list of what went wrong in it."""
    page = browser.new_context(viewport=size, color_scheme=scheme).new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url[:80]))
    page.goto(path.as_uri())
    complaints.remove(path.as_uri())
    return page, complaints


@pytest.mark.parametrize("kind", ["aligned", "padded", "unaligned", "ctc"])
@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop", "phone"])
def test_opens_without_a_complaint(browser: Any, pages: dict[str, Path], kind: str, size: dict, scheme: str) -> None:
    page, complaints = open_page(browser, pages[kind], size, scheme)
    assert complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") == size["width"], "the page itself scrolls sideways"
    lanes = page.locator(".lane")
    for index in range(lanes.count()):
        box = lanes.nth(index).bounding_box()
        assert box["height"] > 20
        assert box["width"] > 300
    for canvas in page.locator("canvas").all():
        colours = canvas.evaluate(
            "c => new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size"
        )
        assert colours > 10, "nothing was painted"


def test_sound_plays_and_the_cursor_follows_over_all_panels(browser: Any, pages: dict[str, Path]) -> None:
    page, complaints = open_page(browser, pages["aligned"], DESKTOP)
    page.evaluate(PLAY_FOR_A_WHILE)
    page.wait_for_timeout(100)
    assert page.evaluate("document.getElementById('sound').duration") == pytest.approx(1.5, abs=0.01)
    time = page.evaluate("document.getElementById('sound').currentTime")
    cursor, track = page.locator("#cursor").bounding_box(), page.locator(".track").bounding_box()
    assert (cursor["x"] - track["x"]) / track["width"] == pytest.approx(time / 1.5, abs=0.01)
    assert cursor["height"] == pytest.approx(track["height"], abs=1)
    assert complaints == []


def test_a_click_goes_there_and_values_are_told(browser: Any, pages: dict[str, Path]) -> None:
    page, complaints = open_page(browser, pages["aligned"], DESKTOP)
    for lane, word in (("#mel", "Hz"), ("#encoder", "dimension"), ("#projector", "cosine|nearest"), ("#ctc", "blank")):
        page.locator(f"{lane} .lane").first.scroll_into_view_if_needed()
        box = page.locator(f"{lane} .lane").first.bounding_box()
        page.wait_for_timeout(50)
        page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.5 * box["height"])
        page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
        told = page.locator("#readout").inner_text()
        assert told.startswith("0.75 s")
        assert any(part in told for part in word.split("|"))
    page.mouse.down()
    page.mouse.up()
    assert page.evaluate("document.getElementById('sound').currentTime") == pytest.approx(0.75, abs=0.02)
    assert complaints == []


def test_dark_and_light_by_hand_and_print(browser: Any, pages: dict[str, Path]) -> None:
    page, complaints = open_page(browser, pages["aligned"], DESKTOP, "dark")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click("#theme")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark != light
    page.click("#theme")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == light, "ink is not paper"
    assert page.locator(".player").is_hidden()
    assert complaints == []
