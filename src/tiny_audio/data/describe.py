"""Recordings for the `describe` task: what is true of each is known, because it was said of it or done to it.

Of the recording itself only what its manifest says is known: `sex` of the speaker (`female` or `male`) and whether it
is `clean`, recorded close by without noise or echo. Noise and room are added to clean recordings. The pace follows from
the words and the time from the first to the last sound. What is not known is not said.
"""

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile

from tiny_audio.audio.timebase import SAMPLE_RATE, samples_to_seconds
from tiny_audio.data.augment import change_gain, coloured_noise, mains_hum, mix_noise, rng_for, simulate_room
from tiny_audio.data.manifest import Utterance, write_manifest
from tiny_audio.data.recordings import load_waveform
from tiny_audio.data.synth import trim_silence
from tiny_audio.errors import AudioError, DatasetError
from tiny_audio.text.descriptions import describe, pace_of
from tiny_audio.types import Seconds, Waveform

TASK = "describe"
_SPEAKERS = {"female": "woman", "male": "man"}
_NOISE_PROBABILITY = 0.5
_ROOM_PROBABILITY = 0.5
_COLOURS = {"hiss": (0.0, 0.5), "rumble": (1.5, 2.0)}
"""How steeply the power falls with frequency, see `augment.coloured_noise`."""
_NUM_VOICES = (3, 6)
"""That talk at once in the background; fewer could be understood."""
_MAX_VOICES = 64
"""Recordings kept in memory for that."""
_SNR_DB = {"loud": (0.0, 10.0), "faint": (16.0, 26.0)}
_RT60: tuple[Seconds, Seconds] = (0.35, 0.8)
_DIRECT_DB = {"close": (6.0, 12.0), "far": (-6.0, 0.0)}
"""Level of the direct sound over the echoes: what distance is heard by."""


@dataclass(frozen=True, kw_only=True)
class DescribeReport:
    """What became of the recordings."""

    num_written: int
    skipped: dict[str, str]
    """Reason for each id of which nothing is known, or that cannot be read."""


def describe_recordings(
    utterances: Sequence[Utterance], output_dir: Path, *, copies: int = 1, seed: int = 0
) -> DescribeReport:
    """Write `audio/*.flac` and `manifest.jsonl` with a task and a response; the same seed makes the same clips.

    Args:
        utterances: recordings, of which the manifest may say `sex` and `clean`.
        output_dir: made when missing.
        copies: differing clips of each recording.
        seed: of noises and rooms.

    Raises:
        DatasetError: an id occurs twice, as it may in two manifests, or two differ by `/` and `_` alone.
    """
    counts = Counter(_file_name(utterance.id) for utterance in utterances)
    twice = list({_file_name(one.id): one.id for one in utterances if counts[_file_name(one.id)] > 1}.values())
    if twice:
        raise DatasetError(
            f"found id '{twice[0]}' twice, and {len(twice) - 1} others; expected manifests that share none"
        )
    (output_dir / "audio").mkdir(parents=True, exist_ok=True)
    others = _voices(utterances, seed)
    written: list[Utterance] = []
    skipped: dict[str, str] = {}
    for utterance in utterances:
        try:
            recording = load_waveform(utterance)
        except AudioError as error:
            skipped[utterance.id] = str(error)
            continue
        for copy in range(copies):
            waveform, facts = described_clip(utterance, recording, rng_for(seed, copy, utterance.id), others=others)
            if not facts:
                skipped[utterance.id] = "the manifest says neither `sex` nor `clean`, and it is too short for a pace"
                continue
            name = f"{utterance.id}-{copy}" if copies > 1 else utterance.id
            path = output_dir / "audio" / f"{_file_name(name)}.flac"
            unfinished = path.with_suffix(".part")
            soundfile.write(unfinished, waveform, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
            unfinished.replace(path)
            written.append(
                replace(
                    utterance,
                    id=name,
                    audio=path.absolute(),
                    start=0.0,
                    duration=round(samples_to_seconds(waveform.size), 4),
                    task=TASK,
                    response=describe(facts),
                )
            )
    write_manifest(output_dir / "manifest.jsonl", written)
    return DescribeReport(num_written=len(written), skipped=skipped)


def _voices(utterances: Sequence[Utterance], seed: int) -> list[Waveform]:
    """A few clean recordings whose sum is babble; none where there are too few."""
    clean = [utterance for utterance in utterances if utterance.extra.get("clean") and utterance.duration > 1.0]
    if len(clean) < _NUM_VOICES[1]:
        return []
    rng = rng_for(seed, 0, "voices")
    found: list[Waveform] = []
    for index in rng.permutation(len(clean))[:_MAX_VOICES]:
        with contextlib.suppress(AudioError):  # said where it is described itself
            found.append(load_waveform(clean[index]))
    return found


def described_clip(
    utterance: Utterance, recording: Waveform, rng: np.random.Generator, *, others: Sequence[Waveform] = ()
) -> tuple[Waveform, dict[str, str]]:
    """A clip of the recording, and all that is known of it, as `text.descriptions` names it.

    Args:
        utterance: what its manifest says.
        recording: its sound.
        rng: of room and noise.
        others: recordings to make a babble of voices from; none: no such noise.
    """
    facts: dict[str, str] = {}
    if (speaker := _SPEAKERS.get(str(utterance.extra.get("sex", "")))) is not None:
        facts["speaker"] = speaker
    if (pace := pace_of(utterance.text, samples_to_seconds(trim_silence(recording).size))) is not None:
        facts["pace"] = pace
    if not utterance.extra.get("clean"):
        return recording, facts
    waveform = recording
    facts["room"] = "echoing" if rng.random() < _ROOM_PROBABILITY else "dry"
    if facts["room"] == "echoing":
        facts["distance"] = str(rng.choice(list(_DIRECT_DB)))
        direct_db = _DIRECT_DB[facts["distance"]]
        waveform = simulate_room(waveform, rng, rt60=rng.uniform(*_RT60), direct_db=direct_db)
    facts["noise"] = "none"
    if rng.random() < _NOISE_PROBABILITY:
        facts["noise"] = str(rng.choice([*_COLOURS, "hum", *(["voices"] if others else [])]))
        facts["noise level"] = str(rng.choice(list(_SNR_DB)))
        noise = _noise(facts["noise"], waveform.size, rng, others)
        waveform = mix_noise(waveform, noise, snr_db=rng.uniform(*_SNR_DB[facts["noise level"]]))
    return np.clip(change_gain(waveform, rng.uniform(-12.0, 0.0)), -1.0, 1.0).astype(np.float32), facts


def _noise(kind: str, num_samples: int, rng: np.random.Generator, others: Sequence[Waveform]) -> np.ndarray:
    """Of any level."""
    if kind == "hum":
        return mains_hum(num_samples, rng)
    if kind != "voices":
        return coloured_noise(num_samples, rng, slope=rng.uniform(*_COLOURS[kind]))
    babble = np.zeros(num_samples)
    for _ in range(rng.integers(_NUM_VOICES[0], _NUM_VOICES[1] + 1)):
        voice = others[int(rng.integers(len(others)))]
        turned = np.roll(np.resize(voice, num_samples), rng.integers(num_samples))
        babble += turned / max(float(np.sqrt(np.mean(voice**2))), 1e-9)
    return babble


def _file_name(id: str) -> str:
    return id.replace("/", "_")
