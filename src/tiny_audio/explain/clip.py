"""The part of a recording that is looked at."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from tiny_audio.audio.io import MIN_DURATION, STDIN, open_audio
from tiny_audio.audio.timebase import MAX_CHUNK, samples_to_seconds, seconds_to_samples
from tiny_audio.audio.vad import VadOptions
from tiny_audio.errors import AudioError, ConfigError
from tiny_audio.inference.longform import cut_into_chunks, load_detector
from tiny_audio.types import Seconds, Waveform


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Sound that a model can hear at once."""

    name: str
    waveform: Waveform
    start: Seconds = 0.0
    """Where it begins in the recording."""
    is_whole: bool = True
    """Whether it is all of the recording."""

    @property
    def duration(self) -> Seconds:
        """How long it is."""
        return samples_to_seconds(len(self.waveform))


def read_clip(source: str | Path, *, start: Seconds | None = None, duration: Seconds | None = None) -> Clip:
    """Decode a recording, or a part of it.

    Args:
        source: a file of any format, or `-`.
        start: of the part. Without start and duration it is all of a recording of up to 30 s, and of a longer one the
            first chunk, as it would be cut to be transcribed.
        duration: of the part, at most 30 s.

    Raises:
        AudioError: no audio, or none in that part.
        ConfigError: times that are none.
    """
    if (start is not None and start < 0) or (duration is not None and not MIN_DURATION <= duration <= MAX_CHUNK):
        raise ConfigError([f"start {start} and duration {duration}; expected 0 or more, and 0.1 to {MAX_CHUNK:.0f} s"])
    name = "standard input" if str(source) == STDIN else Path(source).name
    with open_audio(source) as audio:
        blocks = iter(audio)
        if start is not None or duration is not None:
            first = seconds_to_samples(start or 0.0)
            end = first + seconds_to_samples(duration or MAX_CHUNK)
            heard = _read(blocks, end + 1)
            waveform, is_whole = heard[first:end], first == 0 and len(heard) <= end
        else:
            first, limit = 0, seconds_to_samples(MAX_CHUNK)
            waveform = _read(blocks, limit + 1)
            is_whole = len(waveform) <= limit
            if not is_whole:
                options = VadOptions()
                chunks = cut_into_chunks(chain([waveform], blocks), load_detector(options)(), options)
                chunk = next(chunks, None)
                if chunk is None:
                    raise AudioError(f"'{name}' holds no speech; give --start and --duration of the part to look at")
                first, waveform = chunk.start_sample, chunk.waveform
    if (found := samples_to_seconds(len(waveform))) < MIN_DURATION:
        raise AudioError(
            f"'{name}' has {found:.3g} s of audio in that part, and {audio.duration:.2f} s in all;"
            f" expected at least {MIN_DURATION} s"
        )
    return Clip(name=name, waveform=waveform, start=samples_to_seconds(first), is_whole=is_whole)


def _read(blocks: Iterator[Waveform], num_samples: int) -> Waveform:
    """At least that many samples from the beginning, or all there are."""
    parts, total = [np.zeros(0, np.float32)], 0
    for block in blocks:
        parts.append(block)
        total += len(block)
        if total >= num_samples:
            break
    return np.concatenate(parts)
