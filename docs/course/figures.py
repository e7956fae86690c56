"""Draws the figures of the course again, or those that are named.

    python docs/course/figures.py [NAME ...]

Pictures of `tiny-audio explore`, the histories of the exercises, and pages in a browser (which needs Playwright and
Chromium). All of them are WebP, small enough to be kept beside the text.
"""

import functools
import io
import runpy
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from tiny_audio import atomic, cli
from tiny_audio.explain.findings import Findings, Request
from tiny_audio.explain.loading import load_any_model
from tiny_audio.explain.pictures import render_picture
from tiny_audio.explain.samples import samples_folder
from tiny_audio.explain.topics import TOPICS
from tiny_audio.explain.tracing import trace_clip

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COURSE = Path(__file__).parent
FOLDER = COURSE / "figures"
WIDTH, QUALITY = 1000, 55
EXPLORED = {
    "audio_processing": "audio",
    "sample_rate_comparison": "audio",
    "encoder_embeddings": "encoders",
    "attention": "attention",
    "projection_stages": "projector",
    "embedding_distributions": "projector",
}
"""Pictures of `tiny-audio explore`, and their topics."""
PAGES = {
    "trace_desktop": (1280, 1000),
    "trace_phone": (390, 900),
    "report_desktop": (1280, 900),
    "report_phone": (390, 900),
}
"""Pages in a browser, and the size of its window."""


def main(names: list[str]) -> None:
    """Draw those figures, or all."""
    draws: dict[str, Callable[[Any], None]] = {
        "what_noise_costs": what_noise_costs,
        "ctc_posteriors": ctc_posteriors,
        "four_sentences": four_sentences,
        "whistled_language": whistled_language,
    }
    for name in names or [*EXPLORED, *draws, *PAGES]:
        if name in PAGES:
            picture = screenshot(name)
        else:
            draw = explored(EXPLORED[name]).pictures[name] if name in EXPLORED else draws[name]
            picture = render_picture(draw, "png", title=name)
        content = as_webp(picture)
        atomic.write_bytes(FOLDER / f"{name}.webp", content)
        print(f"{name}.webp: {len(content) / 1000:.0f} kB")


def as_webp(picture: bytes) -> bytes:
    """A picture no wider than a page."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.thumbnail((WIDTH, 10 * WIDTH), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=QUALITY, method=6)
    return buffer.getvalue()


@functools.cache
def explored(topic: str) -> Findings:
    """What `tiny-audio explore TOPIC` finds."""
    return import_module(TOPICS[topic].module).explore(Request())  # type: ignore[no-any-return]


def exercise(name: str) -> Any:
    """What the experiment of an exercise returns."""
    sys.path.insert(0, str(COURSE / "exercises"))
    return runpy.run_path(str(COURSE / "exercises" / f"{name}.py"))["main"]()


def what_noise_costs(figure: "Figure") -> None:
    """Words lost by what was done to the sound, as exercise 1 counts them."""
    rates = exercise("01_sound")
    axes = figure.subplots()
    bars = axes.barh(list(rates), [100 * rate for rate in rates.values()], color="tab:blue")
    axes.bar_label(bars, fmt="%.0f %%", padding=3)
    axes.invert_yaxis()
    axes.set(xlabel="word error rate of one clip (%)", xlim=(0, 110), title="The same sentence, damaged")
    figure.set_size_inches(7, 3)


def ctc_posteriors(figure: "Figure") -> None:
    """Blank and tokens over time, and where each token of the text lies."""
    model = load_any_model("tiny-audio-base")
    from tiny_audio import load_audio

    trace = trace_clip(model, load_audio(samples_folder() / "LJ001-0009.flac"))
    assert trace.ctc is not None
    axes = figure.subplots()
    times = [index * trace.ctc.frame_duration for index in range(len(trace.ctc.blank_A))]
    axes.fill_between(times, trace.ctc.blank_A, step="post", color="lightgrey", label="blank")
    best = [guesses[0].value if guesses else 0.0 for guesses in trace.ctc.guesses]  # none: surely blank
    axes.step(times, best, where="post", color="tab:blue", label="likeliest token")
    for spoken in trace.ctc.alignment:
        axes.annotate(spoken.text.strip(), (spoken.start, 1.03), rotation=60, fontsize=8, annotation_clip=False)
    axes.set(xlabel="time (s)", ylabel="probability", xlim=(0, trace.duration), ylim=(0, 1.02))
    axes.legend(loc="upper right", bbox_to_anchor=(1, -0.1), ncols=2, frameon=False)
    figure.set_size_inches(9, 3.2)


def four_sentences(figure: "Figure") -> None:
    """Loss and error rates of exercise 4."""
    history = exercise("04_training")
    steps = [row["step"] for row in history]
    left, right = figure.subplots(1, 2)
    left.semilogy(steps, [row["loss"] for row in history], marker="o")
    left.set(xlabel="step", title="CTC loss of a token, the four sentences")
    right.plot(steps, [100 * row["seen"] for row in history], marker="o", label="the four")
    right.plot(steps, [100 * row["new"] for row in history], marker="o", label="the fifth, never seen")
    right.set(xlabel="step", title="word error rate (%)", ylim=(0, None))
    right.legend()
    figure.set_size_inches(9, 3)


def whistled_language(figure: "Figure") -> None:
    """Loss and error rate of exercise 5."""
    history = exercise("05_ctc")
    steps = [row["step"] for row in history]
    left, right = figure.subplots(1, 2)
    left.semilogy(steps, [row["loss"] for row in history], marker="o")
    left.set(xlabel="step", title="CTC loss of a letter")
    right.plot(steps, [min(100 * row["wrong"], 100) for row in history], marker="o")
    right.set(xlabel="step", title="letters wrong in new words (%), at most 100", ylim=(0, 105))
    figure.set_size_inches(9, 3)


def screenshot(name: str) -> bytes:
    """A page as a reader sees it first."""
    from playwright.sync_api import sync_playwright

    width, height = PAGES[name]
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = written_page(name.partition("_")[0], Path(folder))
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": height})
        page.goto(page_file.as_uri())
        page.wait_for_timeout(500)
        picture: bytes = page.screenshot()
        browser.close()
    return picture


def written_page(kind: str, folder: Path) -> Path:
    """The page of a trace, or of an evaluation of the examples."""
    if kind == "trace":
        words = ["trace", str(samples_folder() / "LJ001-0009.flac"), "-o", str(folder / "trace.html")]
        target = folder / "trace.html"
    else:
        examples = str(samples_folder() / "manifest.jsonl")
        words = ["eval", "tiny-audio-base", "tiny-audio-base@fast", "--dataset", examples, "--quiet"]
        words += ["--output-dir", str(folder)]
        target = folder / "report.html"
    if cli.main(words):
        raise SystemExit(f"figures: '{' '.join(words)}' failed")
    return target


if __name__ == "__main__":
    main(sys.argv[1:])
