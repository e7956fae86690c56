"""What a panel over time is made of: heading, lanes, and an axis in seconds that ends with the clip."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from tiny_audio.explain.page.wording import percent, visible, visible_html
from tiny_audio.explain.trace import Activity, Guess
from tiny_audio.types import Seconds

RAMP = 127
"""Largest step of a signed byte, which is what the values of a heat map are packed in."""
_PERCENTILE = 99
"""Of the absolute values, at which a heat map has its strongest colour: a single outlier may not hide the rest."""
_TICK_STEPS: tuple[Seconds, ...] = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_MAX_TICKS = 16


def panel(key: str, title: str, note: str, lanes: str, duration: Seconds) -> str:
    """Lanes under a heading, above the axis."""
    return _section(key, title, note, f"{lanes}\n{_axis(duration)}\n")


def absent(key: str, title: str, reason: str) -> str:
    """A heading without lanes, and why."""
    return _section(key, title, reason, "")


def _section(key: str, title: str, note: str, body: str) -> str:
    return (
        f'<section class="panel" id="{key}" aria-labelledby="{key}-title">\n<div class="about">'
        f'<h2 id="{key}-title">{title}</h2><p class="note">{note}</p></div>\n{body}</section>'
    )


def _axis(duration: Seconds) -> str:
    step = next(step for step in _TICK_STEPS if duration / step <= _MAX_TICKS)
    times = [index * step for index in range(int(duration / step) + 1)]
    if duration - times[-1] < 0.6 * step and len(times) > 1:
        times.pop()  # its label would stand in that of the end
    ticks = "".join(f'<span style="left:{percent(time, duration)}">{time:g}</span>' for time in times)
    return f'<div class="axis" aria-hidden="true">{ticks}<span class="end">{duration:.2f} s</span></div>'


def scale(labels: dict[float, str]) -> str:
    """Labels at the left edge, by how far from the top they are."""
    spans = "".join(f'<span style="top:{100 * place:g}%">{text}</span>' for place, text in labels.items())
    return f'<div class="scale">{spans}</div>'


def activity_lane(key: str, activity: Activity, duration: Seconds) -> str:
    """A heat map, the most active dimension at the top."""
    width = percent(activity.values_NT.shape[1] * activity.frame_duration, duration)
    return (
        f'<div class="lane activity" data-kind="{key}"><canvas data-map="{key}" style="width:{width}"></canvas>'
        f"{scale({0: 'most', 1: 'least'})}</div>"
    )


def activity_data(activity: Activity) -> dict[str, Any]:
    """The values of a heat map, packed; times `unit` they are what they were."""
    largest = max(float(np.percentile(np.abs(activity.values_NT), _PERCENTILE)), 1e-6)
    steps_NT = np.clip(np.rint(activity.values_NT / largest * RAMP), -RAMP, RAMP).astype(np.int8)
    return heat_map(steps_NT, activity.frame_duration) | {"dims": list(activity.dims_N), "unit": largest / RAMP}


def heat_map(steps_NT: np.ndarray, frame_duration: Seconds) -> dict[str, Any]:
    """Signed bytes, row by row from the top."""
    rows, frames = steps_NT.shape
    packed = base64.b64encode(steps_NT.astype(np.int8).tobytes()).decode("ascii")
    return {"rows": rows, "frames": frames, "step": frame_duration, "bytes": packed}


def token_lane(
    kind: str, texts: Sequence[str], starts: Sequence[Seconds], step: Seconds, duration: Seconds, reader: str
) -> str:
    """Tokens written from top to bottom, each as wide as its frame.

    Args:
        kind: how it looks.
        texts: of the tokens.
        starts: of their frames.
        step: duration of a frame.
        duration: of the clip.
        reader: what tells the values under the pointer.
    """
    labels = "".join(
        f'<span style="left:{percent(start, duration)}">{visible_html(text)}</span>'
        for text, start in zip(texts, starts, strict=True)
    )
    size = f"--step:{percent(step, duration)};--steps:{duration / step:.2f}"
    return f'<div class="lane tokens {kind}" data-kind="{reader}" style="{size}">{labels}</div>'


def pairs(guesses: Sequence[Guess]) -> list[list[str | float]]:
    """Tokens and their values, for the script."""
    return [[visible(guess.text), round(guess.value, 4)] for guess in guesses]
