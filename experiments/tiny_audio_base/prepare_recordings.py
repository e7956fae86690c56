"""Manifests of real speech for training, from RECORDINGS and from what Whisper base has labelled.

    .venv/bin/python experiments/tiny_audio_base/prepare_recordings.py RECORDINGS LABELLED OUT

Left out are the 18 LJ Speech clips with which `tiny-audio adapt` checks that a model keeps its general accuracy, and
all telephone prompts (`asterisk`): they are what adapting to a domain is tried on. Speakers whose median pitch is
clearly a man's or a woman's get a `sex`, for the task `describe`.
"""

import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from tiny_audio.audio.timebase import SAMPLE_RATE, seconds_to_samples
from tiny_audio.data.manifest import Utterance, read_manifest, write_manifest
from tiny_audio.data.recordings import load_waveform
from tiny_audio.data.replay import replay_utterances
from tiny_audio.types import Waveform

MAN_BELOW_HZ, WOMAN_ABOVE_HZ = 140.0, 170.0
"""Of the median pitch; all LJ Speech and telephone prompts (women) and 250 of 300 spoken digits (men) keep to it."""
MIN_FRAMES = 15
_LOWEST_HZ, _HIGHEST_HZ = 70, 350
_MIN_CORRELATION = 0.6


def pitch_track(waveform: Waveform) -> np.ndarray:
    """Pitch in Hz of each loud, voiced frame of 40 ms: the highest peak of the autocorrelation."""
    width = seconds_to_samples(0.04)
    window = np.hanning(width)
    frames = np.lib.stride_tricks.sliding_window_view(waveform, width)[:: width // 2]
    loudness = np.sqrt(np.mean(frames**2, axis=1))
    frames = frames[loudness > np.percentile(loudness, 60)]
    frames = (frames - frames.mean(axis=1, keepdims=True)) * window

    def correlate(rows: np.ndarray) -> np.ndarray:
        found = np.fft.irfft(np.abs(np.fft.rfft(rows, 4 * width)) ** 2)[..., :width]
        return found / np.maximum(found[..., :1], 1e-9)

    correlation = correlate(frames) / (correlate(window) + 1e-3)
    shortest, longest = SAMPLE_RATE // _HIGHEST_HZ, SAMPLE_RATE // _LOWEST_HZ
    lag = correlation[:, shortest:longest].argmax(axis=1) + shortest
    return SAMPLE_RATE / lag[correlation[np.arange(len(lag)), lag] > _MIN_CORRELATION]


def with_sex(utterances: list[Utterance]) -> list[Utterance]:
    """The same with `sex`, where the speaker's pitch tells it."""
    tracks: defaultdict[str, list[np.ndarray]] = defaultdict(list)

    def person(utterance: Utterance) -> str:
        return utterance.id if utterance.speaker in ("", "unknown") else utterance.speaker

    for utterance in utterances:
        tracks[person(utterance)].append(pitch_track(load_waveform(utterance)))
    sexes = {}
    for name, found in tracks.items():
        pitches = np.concatenate(found)
        if len(pitches) > MIN_FRAMES and not MAN_BELOW_HZ <= (median := float(np.median(pitches))) <= WOMAN_ABOVE_HZ:
            sexes[name] = "male" if median < MAN_BELOW_HZ else "female"
    return [
        replace(utterance, extra=utterance.extra | {"sex": sexes[person(utterance)]})
        for utterance in utterances
        if person(utterance) in sexes
    ]


def main(recordings: Path, labelled: Path, out: Path) -> None:
    """Write `ljspeech.jsonl`, and for `describe` one file more of each set."""
    out.mkdir(parents=True, exist_ok=True)
    _, checked = replay_utterances()
    kept = {utterance.id for utterance in checked}
    ljspeech = [one for one in read_manifest(recordings / "ljspeech" / "train.jsonl") if one.id not in kept]
    write_manifest(out / "ljspeech.jsonl", ljspeech)
    known = {"sex": "female", "clean": True}
    write_manifest(out / "ljspeech-sex.jsonl", [replace(one, extra=one.extra | known) for one in ljspeech])
    digits = read_manifest(recordings / "fsdd" / "train.jsonl")
    men = [replace(one, extra=one.extra | {"sex": "male"}) for one in digits]  # as the set's makers say of all six
    write_manifest(out / "fsdd-sex.jsonl", men[::13])
    for name in ("librispeech", "barista"):
        write_manifest(out / f"{name}-sex.jsonl", with_sex(read_manifest(labelled / f"{name}.jsonl")))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
