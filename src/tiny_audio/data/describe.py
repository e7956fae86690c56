"""Recordings for the `describe` task: what is true of each is known, because it was said of it or done to it.

Of the recording itself only what its manifest says is known: `sex` of the speaker (`female` or `male`) and whether it
is `clean`, recorded close by without noise or echo. Noise and room are added to clean recordings. The pace follows from
the words and the time from the first to the last sound. What is not known is not said.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile

from tiny_audio.audio.timebase import SAMPLE_RATE, samples_to_seconds
from tiny_audio.data.augment import add_noise, change_gain, rng_for, simulate_room
from tiny_audio.data.manifest import Utterance, write_manifest
from tiny_audio.data.recordings import load_waveform
from tiny_audio.data.synth import trim_silence
from tiny_audio.errors import AudioError, DatasetError
from tiny_audio.text.descriptions import describe
from tiny_audio.types import Seconds, Waveform

TASK = "describe"
_SPEAKERS = {"female": "woman", "male": "man"}
_SLOW, _FAST = 12.0, 16.5
"""Letters a second (14 are 180 words a minute); between them is a normal pace, and near them nothing is said of it."""
_UNSURE = 0.75
_MIN_LETTERS = 20
"""Fewer are too few to speak of a pace."""
_NOISE_PROBABILITY = 0.5
_ROOM_PROBABILITY = 0.5
_NOISES = {"hiss": (0.0, 0.5), "rumble": (1.5, 2.0)}
"""How steeply the power falls with frequency, see `augment.coloured_noise`."""
_SNR_DB = {"loud": (0.0, 10.0), "faint": (16.0, 26.0)}
_RT60: tuple[Seconds, Seconds] = (0.35, 0.8)


@dataclass(frozen=True, kw_only=True)
class DescribeReport:
    """What became of the recordings."""

    num_written: int
    skipped: dict[str, str]
    """Reason for each id of which nothing is known, or that cannot be read."""


def describe_recordings(
    utterances: Sequence[Utterance], output_dir: Path, *, copies: int = 1, seed: int = 0
) -> DescribeReport:
    """Write `audio/*.opus` and `manifest.jsonl` with a task and a response; the same seed makes the same clips.

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
    written: list[Utterance] = []
    skipped: dict[str, str] = {}
    for utterance in utterances:
        try:
            recording = load_waveform(utterance)
        except AudioError as error:
            skipped[utterance.id] = str(error)
            continue
        for copy in range(copies):
            waveform, facts = described_clip(utterance, recording, rng_for(seed, copy, utterance.id))
            if not facts:
                skipped[utterance.id] = "the manifest says neither `sex` nor `clean`, and it is too short for a pace"
                continue
            name = f"{utterance.id}-{copy}" if copies > 1 else utterance.id
            path = output_dir / "audio" / f"{_file_name(name)}.opus"
            unfinished = path.with_suffix(".part")
            soundfile.write(unfinished, waveform, SAMPLE_RATE, format="OGG", subtype="OPUS")
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


def described_clip(
    utterance: Utterance, recording: Waveform, rng: np.random.Generator
) -> tuple[Waveform, dict[str, str]]:
    """A clip of the recording, and all that is known of it, as `text.descriptions` names it."""
    facts: dict[str, str] = {}
    if (speaker := _SPEAKERS.get(str(utterance.extra.get("sex", "")))) is not None:
        facts["speaker"] = speaker
    if (pace := _pace(utterance.text, recording)) is not None:
        facts["pace"] = pace
    if not utterance.extra.get("clean"):
        return recording, facts
    waveform = recording
    facts["room"] = "echoing" if rng.random() < _ROOM_PROBABILITY else "dry"
    if facts["room"] == "echoing":
        waveform = simulate_room(waveform, rng, rt60=rng.uniform(*_RT60))
    facts["noise"] = "none"
    if rng.random() < _NOISE_PROBABILITY:
        facts["noise"] = str(rng.choice(list(_NOISES)))
        facts["noise level"] = str(rng.choice(list(_SNR_DB)))
        snr_db = rng.uniform(*_SNR_DB[facts["noise level"]])
        waveform = add_noise(waveform, rng, snr_db=snr_db, slope=_NOISES[facts["noise"]])
    return np.clip(change_gain(waveform, rng.uniform(-12.0, 0.0)), -1.0, 1.0).astype(np.float32), facts


def _file_name(id: str) -> str:
    return id.replace("/", "_")


def _pace(text: str, recording: Waveform) -> str | None:
    """Slow, normal or fast; None where that cannot be told."""
    num_letters = sum(character.isalpha() for character in text)
    duration = samples_to_seconds(trim_silence(recording).size)
    if num_letters < _MIN_LETTERS or not duration or any(character.isdigit() for character in text):
        return None
    rate = num_letters / duration
    if min(abs(rate - _SLOW), abs(rate - _FAST)) < _UNSURE:
        return None
    return "slow" if rate < _SLOW else "fast" if rate > _FAST else "normal"
