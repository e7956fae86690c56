"""The panels over time: waveform, log-mel, encoder, projector, CTC."""

from collections.abc import Callable
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiny_audio.audio.features import mel_filters
from tiny_audio.audio.timebase import MEL_FRAME_RATE, SAMPLE_RATE
from tiny_audio.explain.page.lanes import (
    RAMP,
    absent,
    activity_data,
    activity_lane,
    heat_map,
    pairs,
    panel,
    scale,
    token_lane,
)
from tiny_audio.explain.page.wording import percent, visible_html
from tiny_audio.explain.trace import Activity, CTCView, Trace
from tiny_audio.types import Seconds

_WAVE_COLUMNS = 3000
"""Columns of the waveform; a column shows the range of its samples."""
_HERTZ_TICKS = (250, 500, 1000, 2000, 4000)
_COLOURS = '<span class="key high">Orange</span> is above zero, <span class="key low">blue</span> below.'

Part = tuple[str, dict[str, Any]]
"""A panel, and what the script has to know of it."""


def timeline(trace: Trace) -> tuple[str, dict[str, Any]]:
    """All panels, and the data of the script."""
    makers: tuple[Callable[[Trace], Part], ...] = (_waveform, _log_mel, _encoder, _projector, _ctc)
    parts = [make(trace) for make in makers]
    data: dict[str, Any] = {"duration": trace.duration}
    for _, own in parts:
        data |= own
    return "\n".join(html for html, _ in parts), data


def _waveform(trace: Trace) -> Part:
    columns = np.array_split(trace.waveform, min(_WAVE_COLUMNS, len(trace.waveform)))
    peaks = [[round(float(column.min()), 3), round(float(column.max()), 3)] for column in columns]
    loudest = max(float(np.abs(trace.waveform).max()), 1e-3)
    top = [f"{x},{-high / loudest:.3f}" for x, (_, high) in enumerate(peaks)]
    bottom = [f"{x},{-low / loudest:.3f}" for x, (low, _) in enumerate(peaks)]
    shape = " ".join([*top, *reversed(bottom)])
    lane = (
        f'<div class="lane wave" data-kind="wave"><svg viewBox="0 -1 {len(peaks) - 1} 2" preserveAspectRatio="none"'
        f' role="img" aria-label="Waveform"><polygon points="{shape}"/></svg>'
        f"{scale({0: f'{loudest:.2g}', 0.5: '0', 1: f'−{loudest:.2g}'})}</div>"
    )
    note = (
        f"{len(trace.waveform):,} numbers, {SAMPLE_RATE:,} a second. Height is the pressure of the air, 1 the loudest"
        " that a file can hold."
    )
    return panel("waveform", "Waveform", note, lane, trace.duration), {"wave": peaks}


def _log_mel(trace: Trace) -> Part:
    num_bands = len(trace.log_mel_MF)
    centres = _band_centres(num_bands)
    labels = {
        float(1 - (np.interp(hertz, centres, np.arange(num_bands)) + 0.5) / num_bands): (
            f"{hertz // 1000} kHz" if hertz >= 1000 else f"{hertz} Hz"
        )
        for hertz in _HERTZ_TICKS
    }
    reads = (
        "This is what the encoder reads."
        if trace.reads_mel
        else "It is here for the eye: this encoder reads the waveform itself."
    )
    note = (
        f"{num_bands} bands, a frame every {1000 / MEL_FRAME_RATE:.0f} ms; basses below, consonants such as s and f"
        f" above. Brighter is louder. {reads}"
    )
    lanes = f'<div class="lane mel" data-kind="mel"><canvas data-map="mel"></canvas>{scale(labels)}</div>'
    if trace.padding:
        whole = trace.duration + trace.padding
        note += f" It reads {whole:g} s, as it was trained: behind the clip stand {trace.padding:.2f} s of silence."
        lanes += (
            f'<div class="padding"><b style="width:{percent(trace.duration, whole)}">clip</b>'
            f"<span>padding, {trace.padding:.2f} s</span></div>"
        )
    lowest = float(trace.log_mel_MF.min())
    steps_MF = np.rint((1 - trace.log_mel_MF / min(lowest, -1.0)) * RAMP)[::-1]
    data = heat_map(steps_MF, 1 / MEL_FRAME_RATE) | {
        "lowest": lowest,
        "hertz": [round(float(hertz)) for hertz in reversed(centres)],
    }
    return panel("mel", "Log-mel spectrogram", note, lanes, trace.duration), {"mel": data}


def _band_centres(num_bands: int) -> NDArray[np.float64]:
    """Frequency of each mel band in hertz, where its filter is highest."""
    filters = mel_filters(num_bands).numpy()
    return filters.argmax(axis=1) * (SAMPLE_RATE / 2) / (filters.shape[1] - 1)


def _encoder(trace: Trace) -> Part:
    note = f"{_how_many(trace.encoder)}, the most active at the top. {_COLOURS}"
    lane = activity_lane("encoder", trace.encoder, trace.duration)
    return panel("encoder", "Encoder output", note, lane, trace.duration), {"encoder": activity_data(trace.encoder)}


def _projector(trace: Trace) -> Part:
    activity, title = trace.projector, "Projector output"
    if activity is None:
        return absent("projector", title, "This checkpoint has no projector: its CTC reads the encoder."), {}
    step = activity.frame_duration
    note = (
        f"{_how_many(activity)}. {_COLOURS} Below each step, the token whose embedding points most nearly the same way;"
        " between words it means little."
    )
    starts = [index * step for index in range(len(trace.nearest))]
    tokens = [row[0].text for row in trace.nearest]
    lanes = activity_lane("projector", activity, trace.duration)
    lanes += token_lane("nearest", tokens, starts, step, trace.duration, reader="nearest")
    data = activity_data(activity) | {"nearest": [pairs(row) for row in trace.nearest]}
    return panel("projector", title, note, lanes, trace.duration), {"projector": data}


def _how_many(activity: Activity) -> str:
    shown, step = len(activity.dims_N), f"every {1000 * activity.frame_duration:g} ms"
    if shown == activity.num_dims:
        return f"All {shown} dimensions, {step}"
    return f"The {shown} of {activity.num_dims:,} dimensions that vary most over the clip, {step}"


def _ctc(trace: Trace) -> Part:
    ctc, title = trace.ctc, "CTC and alignment"
    if ctc is None:
        reason = (
            "This projector was not aligned with CTC, so it gives no draft, no posteriors and no times: its output goes"
            " to the language model as it is."
        )
        return absent("ctc", title, reason), {}
    kept = sum(ctc.kept_A)
    note = (
        f"{len(ctc.blank_A)} frames of {1000 * ctc.frame_duration:g} ms. The bar is the probability that a frame is a"
        " token and not blank; the token stands below it."
    )
    if trace.prompt is not None:
        note += (
            f" {kept} frames are kept for the language model, {len(ctc.kept_A) - kept} that are surely blank"
            ' (<span class="key dropped">grey</span>) are dropped.'
        )
    if ctc.alignment:
        note += " Then the alignment: where each token of the final text stands on the best path."
    lanes = _posteriors(ctc, trace.duration) + _alignment(trace, ctc)
    data = {
        "frames": len(ctc.blank_A),
        "step": ctc.frame_duration,
        "blank": [round(blank, 4) for blank in ctc.blank_A],
        "guesses": [pairs(row) for row in ctc.guesses],
        "kept": [int(kept) for kept in ctc.kept_A],
    }
    return panel("ctc", title, note, lanes, trace.duration), {"ctc": data}


def _posteriors(ctc: CTCView, duration: Seconds) -> str:
    """Bars over what is dropped, and the tokens of the frames that are not blank."""
    step, num_frames = ctc.frame_duration, len(ctc.blank_A)
    bars = "".join(f"M{index} 1V{blank:.3f}h1V1z" for index, blank in enumerate(ctc.blank_A))
    dropped = "".join(f"M{index} 0h1v1h-1z" for index, kept in enumerate(ctc.kept_A) if not kept)
    lane = (
        f'<div class="lane posteriors" data-kind="ctc"><svg viewBox="0 0 {num_frames} 1" preserveAspectRatio="none"'
        f' style="width:{percent(num_frames * step, duration)}" role="img" aria-label="Probability of a token">'
        f'<path class="dropped" d="{dropped}"/><path class="bars" d="{bars}"/></svg>'
        f"{scale({0: '100 %', 0.5: '50 %'})}</div>"
    )
    heard = [
        (guesses[0].text, index * step)
        for index, (blank, guesses) in enumerate(zip(ctc.blank_A, ctc.guesses, strict=True))
        if guesses and blank < guesses[0].value
    ]
    texts, starts = [text for text, _ in heard], [start for _, start in heard]
    return lane + token_lane("heard", texts, starts, step, duration, reader="ctc")


def _alignment(trace: Trace, ctc: CTCView) -> str:
    duration = trace.duration
    tokens = "".join(
        f'<span style="left:{percent(token.start, duration)};width:{percent(token.end - token.start, duration)}"'
        f' title="{token.start:.2f} – {token.end:.2f} s, {100 * token.probability:.0f} %">'
        f"{visible_html(token.text)}</span>"
        for token in ctc.alignment
    )
    words = "".join(
        f'<span style="left:{percent(word.start, duration)};width:{percent(word.end - word.start, duration)}"'
        f' data-start="{word.start:.3f}" data-end="{word.end:.3f}"><b>{escape(word.text)}</b></span>'
        for word in trace.words
    )
    lanes = ""
    if tokens:
        size = f"--steps:{duration / ctc.frame_duration:.2f}"
        lanes += f'<div class="lane tokens aligned" data-kind="time" style="{size}">{tokens}</div>'
    if words:
        lanes += f'<div class="lane words" data-kind="time">{words}</div>'
    return lanes
