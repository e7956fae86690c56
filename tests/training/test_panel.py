"""The panel: progress in audio time, the numbers of a step, the verdict, and plain lines without a terminal."""

import io
import json
import logging
from pathlib import Path

import pytest
from rich.console import Console

from tiny_audio.recipes import build_recipe
from tiny_audio.training.observer import RunContext
from tiny_audio.training.panel import PRINT_EVERY, Panel, format_time

STEP_TIME, STEP_DURATION = 2.0, 100.0


class Clock:
    """Goes forward when it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def context_of(folder: Path, *, first_step: int = 0, max_steps: int = 400) -> RunContext:
    return RunContext(
        folder=folder,
        config=build_recipe("tiny_audio_base").stage("align"),
        first_step=first_step,
        max_steps=max_steps,
        steps_per_epoch=10,
        epoch_duration=10 * STEP_DURATION,
        trained_parameters=1,
        processes=1,
    )


def step_metrics(step: int, *, loss: float | None = None, wait: float = 0.0) -> dict[str, float]:
    return {
        "loss": 5.0 / step if loss is None else loss,
        "learning_rate": 1e-3,
        "grad_norm/projector": 0.5,
        "audio_duration": STEP_DURATION,
        "step_time": STEP_TIME,
        "wait_time": wait,
    }


def show(panel: Panel, clock: Clock, steps: range, **changes: float) -> None:
    for step in steps:
        clock.now += STEP_TIME
        panel.on_step(step, step_metrics(step, **changes))


def plain_panel() -> tuple[Panel, Clock, io.StringIO]:
    output, clock = io.StringIO(), Clock()
    return Panel(Console(file=output, width=40), clock), clock, output


def test_without_a_terminal_a_line_now_and_then_says_it_all(tmp_path: Path):
    panel, clock, output = plain_panel()
    panel.on_start(context_of(tmp_path))
    show(panel, clock, range(1, PRINT_EVERY))
    assert not output.getvalue()
    show(panel, clock, range(PRINT_EVERY, 3 * PRINT_EVERY + 1), wait=0.5)
    panel.on_end()
    lines = output.getvalue().splitlines()
    assert len(lines) == 3
    for part in (
        "step 60 of 400",
        "1.67 of 11.11 h of audio",  # 60 of 400 steps of 100 s
        "50 x real time",  # 100 s in 2 s
        "11 min left",  # 340 steps of 2 s
        "loss 0.083",
        "learning rate 0.001",
        "data wait 25%",
    ):
        assert part in lines[-1]


def test_a_continued_run_counts_what_was_heard_before_but_not_in_its_speed(tmp_path: Path):
    panel, clock, output = plain_panel()
    panel.on_start(context_of(tmp_path, first_step=200))
    show(panel, clock, range(201, 221))
    assert "6.11 of 11.11 h" in output.getvalue()
    assert "50 x real time" in output.getvalue()


def test_the_verdict_knows_the_metrics_from_before_an_interruption(tmp_path: Path):
    lines = [{"step": step, "loss": 1.0, "learning_rate": 1e-3} for step in range(20, 401, 20)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    panel, clock, output = plain_panel()
    panel.on_start(context_of(tmp_path, first_step=400, max_steps=1000))
    show(panel, clock, range(401, 421), loss=1.0)
    assert "flat since" in output.getvalue()


@pytest.mark.parametrize(("wait", "expected"), [(0.0, "healthy"), (1.2, "waits 60% of the time")])
def test_the_verdict_follows_the_metrics(wait: float, expected: str, tmp_path: Path):
    panel, clock, output = plain_panel()
    panel.on_start(context_of(tmp_path))
    show(panel, clock, range(1, 21), wait=wait)
    assert expected in output.getvalue()


def test_on_a_terminal_it_is_drawn_in_place_and_messages_stand_above(tmp_path: Path):
    output, clock = io.StringIO(), Clock()
    console = Console(file=output, force_terminal=True, width=100)
    handler = logging.StreamHandler(output)
    logger = logging.getLogger("tiny_audio")
    logger.handlers, before = [handler], logger.handlers
    panel = Panel(console, clock)
    try:
        panel.on_start(context_of(tmp_path))
        show(panel, clock, range(1, 31))
        logger.warning("a message")
        panel.on_validation(30, {"wer/words": 0.123, "draft_wer/words": 0.2})
    finally:
        panel.on_end()
        logger.handlers = before
    text = output.getvalue()
    assert "\x1b[" in text
    assert "step 30 of 400" in text
    assert "0.83 of 11.11 h of audio, 50 x real time, 12 min left" in text
    assert "WER words 12.3% (best 12.3% at step 30)" in text
    assert "gradient projector 0.5" in text
    assert any(line.rstrip().endswith("a message") for line in text.splitlines())


@pytest.mark.parametrize(("seconds", "text"), [(45, "45 s"), (720, "12 min"), (12_600, "3.5 h")])
def test_times_are_short(seconds: float, text: str):
    assert format_time(seconds) == text
