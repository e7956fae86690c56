"""Sound for the page: clips small enough to lie in it, or links to the recordings."""

import base64
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from tiny_audio.audio.timebase import SAMPLE_RATE
from tiny_audio.data.manifest import Utterance
from tiny_audio.data.recordings import load_waveform
from tiny_audio.errors import AudioError
from tiny_audio.evaluation.results import UtteranceResult
from tiny_audio.types import Seconds, Waveform

AudioMode = Literal["embed", "link", "none"]

_MAX_CLIP: Seconds = 60.0
"""A longer clip would take the room of many others; its text is enough to find it."""
_COMPRESSION = 0.9  # about 32 kbit/s at 16 kHz: words stay clear, a minute is 240 kB


def embed_clips(results: Iterable[UtteranceResult], *, max_clips: int, max_bytes: int) -> dict[str, str]:
    """Data URI of each utterance's sound by id: the first that fit, in the order given.

    MP3, since every browser plays it, those of older phones too. What cannot be read is left out, and what lasts over
    a minute.
    """
    clips: dict[str, str] = {}
    for result in results:
        if len(clips) == max_clips:
            break
        if result.audio is None or result.problem or result.duration > _MAX_CLIP:
            continue
        utterance = Utterance(
            id=result.id, audio=result.audio, start=result.start, duration=result.duration, text=result.reference
        )
        try:
            clip = _data_uri(load_waveform(utterance))
        except AudioError:
            continue
        max_bytes -= len(clip)
        if max_bytes < 0:
            break
        clips[result.id] = clip
    return clips


def link_clips(results: Iterable[UtteranceResult], folder: Path) -> dict[str, str]:
    """Address of each recording by utterance id, relative to `folder`, with the part that the utterance is."""
    return {
        result.id: quote(Path(os.path.relpath(result.audio, folder)).as_posix())
        + f"#t={result.start:.3f},{result.start + result.duration:.3f}"
        for result in results
        if result.audio is not None and not result.problem
    }


def _data_uri(waveform: Waveform) -> str:
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, waveform, SAMPLE_RATE, format="MP3", subtype="MPEG_LAYER_III", compression_level=_COMPRESSION)
    return "data:audio/mpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
