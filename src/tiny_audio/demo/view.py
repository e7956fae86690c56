"""A transcript and a trace as pieces of HTML."""

import base64
from html import escape

from tiny_audio.inference.results import Segment, Transcript
from tiny_audio.inference.writers import Style, render
from tiny_audio.models.words import Word

_DOWNLOADS = {"srt": "SRT", "vtt": "WebVTT", "json": "JSON"}
_DOUBTFUL = 0.5
"""A word of which the CTC is less sure is marked."""
_FIT = (
    "const page = this.contentDocument.documentElement;"
    " new ResizeObserver(() => { this.style.height = page.scrollHeight + 'px' }).observe(this.contentDocument.body)"
)
"""A frame as high as what is in it."""


def words_html(transcript: Transcript) -> str:
    """Every word over the second in which it begins, a paragraph a segment."""
    spoken = [segment for segment in transcript.segments if segment.text]
    notes = [f'<p class="note">{escape(warning)}</p>' for warning in transcript.warnings]
    if not spoken:
        notes.append('<p class="note">No speech was heard.</p>')
    return f'<div class="words">{"".join(map(_segment_html, spoken))}{"".join(notes)}</div>'


def downloads_html(transcript: Transcript, name: str) -> str:
    """Links that hold the files themselves, so that none is left on the server."""
    style = Style(word_timestamps=True)
    links = (
        f'<a download="{escape(name)}.{suffix}" href="{_data_uri(render(transcript, suffix, style))}">{title}</a>'
        for suffix, title in _DOWNLOADS.items()
    )
    return f'<p class="downloads">Save as {" ".join(links)}</p>'


def trace_html(page: str) -> str:
    """The trace within the page, with a script and a security policy of its own."""
    return f'<iframe class="trace" title="Trace" srcdoc="{escape(page)}" onload="{escape(_FIT)}"></iframe>'


def _segment_html(segment: Segment) -> str:
    minutes, seconds = divmod(int(segment.start), 60)
    words = " ".join(map(_word_html, segment.words)) or escape(segment.text)
    return f'<p><span class="when">{minutes}:{seconds:02d}</span> {words}</p>'


def _word_html(word: Word) -> str:
    doubtful = ' class="doubtful"' if word.confidence < _DOUBTFUL else ""
    hint = f"{word.start:.2f} – {word.end:.2f} s, CTC is {100 * word.confidence:.0f} % sure"
    return f'<ruby{doubtful} title="{hint}">{escape(word.text)}<rt>{word.start:.2f}</rt></ruby>'


def _data_uri(text: str) -> str:
    return "data:text/plain;charset=utf-8;base64," + base64.b64encode(text.encode()).decode("ascii")
