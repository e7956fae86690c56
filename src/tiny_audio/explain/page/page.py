"""`data_trace.html`: one clip on its way to text, as a page that needs no network and no other file.

Shapes, times, tokens and texts are in the HTML itself; the script paints the heat maps, moves the cursor with the
sound, and tells values under the pointer.
"""

import base64
import hashlib
import io
import json
from html import escape
from importlib.resources import files

import soundfile

from tiny_audio.audio.timebase import SAMPLE_RATE
from tiny_audio.explain.clip import Clip
from tiny_audio.explain.page.sections import sections
from tiny_audio.explain.page.timeline import timeline
from tiny_audio.explain.page.wording import heard
from tiny_audio.explain.trace import Trace
from tiny_audio.models.words import Word
from tiny_audio.types import Waveform


def trace_page(trace: Trace, clip: Clip, *, model: str) -> str:
    """The page.

    Args:
        trace: what the model made of the clip.
        clip: where the sound is from.
        model: name of the model.
    """
    panels, data = timeline(trace)
    rest = "\n".join(
        f'<section id="{key}" aria-labelledby="{key}-title">\n<h2 id="{key}-title">{title}</h2>\n{body}\n</section>'
        for key, title, body in sections(trace)
    )
    title = escape(clip.name)
    style, script = _resource("trace.css"), _resource("trace.js")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_security_policy(script)}">
<title>{title} · trace</title>
<style>
{style}</style>
</head>
<body>
<header>
<div class="kicker"><span>Tiny Audio trace</span><button id="theme" type="button" hidden></button></div>
<h1>{title}</h1>
<p class="lead">{_lead(trace, clip, model)}</p>
<p class="said">{_said(trace)}</p>
</header>
<div class="player">
<audio id="sound" controls preload="auto" src="{_sound(trace.waveform)}"></audio>
<button id="fit" type="button" aria-pressed="false" hidden>Fit to width</button>
</div>
<main>
<div class="timeline" id="timeline" tabindex="0" role="region" aria-label="Stages over time">
<div class="track" style="--seconds:{trace.duration:.4f}">
{panels}
<i class="cursor" id="cursor" hidden></i>
</div>
</div>
<output id="readout" hidden></output>
{rest}
</main>
<script type="application/json" id="data">{_script_data(data)}</script>
<script>{script}</script>
</body>
</html>
"""


def _lead(trace: Trace, clip: Clip, model: str) -> str:
    parts = [f"{trace.duration:.2f} s of sound", f"through <b>{escape(model)}</b>"]
    if not clip.is_whole:
        parts[0] = f"{trace.duration:.2f} s of the recording, from {clip.start:.2f} s on"
    return " · ".join(parts)


def _said(trace: Trace) -> str:
    if not trace.text:
        return '<span class="quiet">Nothing was understood: the model hears no speech in this clip.</span>'
    if not trace.words:
        return escape(trace.text)
    return " ".join(_word_button(word) for word in trace.words)


def _word_button(word: Word) -> str:
    hint = f"{word.start:.2f} – {word.end:.2f} s, {heard(word)}"
    return (
        f'<button type="button" class="word" data-start="{word.start:.3f}" data-end="{word.end:.3f}"'
        f' title="{hint}">{escape(word.text)}</button>'
    )


def _sound(waveform: Waveform) -> str:
    """Data URI of the clip, lossless: what is heard is the very sample that is drawn."""
    file = io.BytesIO()
    soundfile.write(file, waveform, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return "data:audio/flac;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _script_data(value: object) -> str:
    """JSON that cannot end the element that it stands in."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _security_policy(script: str) -> str:
    """Nothing but our own script runs, and nothing is fetched."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; media-src data:"


def _resource(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")
