"""The sound of an utterance: its part of the recording that the manifest names."""

from tiny_audio.audio.io import MIN_DURATION, load_audio
from tiny_audio.audio.timebase import samples_to_seconds, seconds_to_samples
from tiny_audio.data.manifest import Utterance
from tiny_audio.data.tar_members import open_recording
from tiny_audio.errors import AudioError
from tiny_audio.types import Seconds, Waveform

_TAIL: Seconds = 0.25
"""Decoders differ by some milliseconds and durations are rounded: a rest this short belongs to the utterance."""


def load_waveform(utterance: Utterance) -> Waveform:
    """Return the utterance's samples `(num_samples,)` at 16 kHz: from `start` for `duration`, and a rest up to 0.25 s.

    Raises:
        AudioError: The recording cannot be read, or holds less than 0.1 s of the utterance.
    """
    return cut_waveform(load_audio(open_recording(utterance.audio)), utterance)


def cut_waveform(waveform: Waveform, utterance: Utterance) -> Waveform:
    """The utterance's part of the samples of its whole recording, as `load_waveform` returns it.

    Raises:
        AudioError: The recording holds less than 0.1 s of the utterance.
    """
    first = seconds_to_samples(utterance.start)
    end = first + seconds_to_samples(utterance.duration)
    if len(waveform) - end <= seconds_to_samples(_TAIL):
        end = len(waveform)
    part = waveform[first:end]
    if samples_to_seconds(len(part)) < MIN_DURATION:
        raise AudioError(
            f"'{utterance.audio}' lasts {samples_to_seconds(len(waveform)):.2f} s; the utterance at "
            f"{utterance.start:.2f} s for {utterance.duration:.2f} s must hold at least {MIN_DURATION} s of it"
        )
    return part
