"""Texts of many short recordings by Whisper base, a window of 30 s at a time.

    .venv/bin/python experiments/tiny_audio_base/label_packed.py RECORDINGS.jsonl OUT.jsonl

Whisper takes as long for a second as for thirty, so recordings are put behind each other with silence between, and the
times of its words tell which recording they belong to (`tiny-audio data label` takes each alone, three times as long).
Left out is what Whisper is not sure of, what is longer than a sentence and what would be said too fast or too slowly.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from faster_whisper import WhisperModel

from tiny_audio.audio.timebase import SAMPLE_RATE, seconds_to_samples
from tiny_audio.data.manifest import Utterance, read_manifest, write_manifest
from tiny_audio.data.recordings import load_waveform
from tiny_audio.evaluation.systems.faster_whisper import stored_files

SILENCE, WINDOW = 0.8, 28.5
"""Seconds."""
PEAK = 0.6
MIN_PROBABILITY = 0.75
MAX_SECONDS = 15
LETTERS_PER_SECOND = (3, 28)


def windows(utterances: Sequence[Utterance]) -> Iterator[list[Utterance]]:
    """As many neighbours at a time as fit into a window with the silence between them."""
    window: list[Utterance] = []
    seconds = 0.0
    for utterance in utterances:
        if window and seconds + utterance.duration + SILENCE > WINDOW:
            yield window
            window, seconds = [], 0.0
        window.append(utterance)
        seconds += utterance.duration + SILENCE
    yield window


def labelled(window: Sequence[Utterance], model: WhisperModel) -> Iterator[Utterance]:
    """The recordings of a window that Whisper is sure of, with their texts."""
    gap = np.zeros(seconds_to_samples(SILENCE), np.float32)
    pieces: list[np.ndarray] = []
    ends = []
    for utterance in window:
        waveform = load_waveform(utterance)
        pieces += [waveform * (PEAK / max(np.abs(waveform).max(), 0.05)), gap]
        ends.append(sum(map(len, pieces)) / SAMPLE_RATE - SILENCE / 2)
    segments, _ = model.transcribe(
        np.concatenate(pieces).astype(np.float32),
        language="en",
        beam_size=1,
        temperature=0.0,
        word_timestamps=True,
        condition_on_previous_text=False,
    )
    words = [word for segment in segments for word in segment.words or []]
    for utterance, start, end in zip(window, [-SILENCE / 2, *ends], ends, strict=False):
        own = [word for word in words if start <= (word.start + word.end) / 2 < end]
        text = "".join(word.word for word in own).strip()
        low, high = LETTERS_PER_SECOND
        if (
            own
            and np.mean([word.probability for word in own]) >= MIN_PROBABILITY
            and utterance.duration <= MAX_SECONDS
            and low < len(text) / utterance.duration < high
        ):
            yield replace(utterance, text=text)


def main() -> None:
    """Write the manifest, and say how much is in it."""
    recordings, output = sys.argv[1:3]
    model = WhisperModel("base", device="cpu", compute_type="int8", cpu_threads=1, files=stored_files("whisper-base"))
    utterances = read_manifest(recordings)
    found = [utterance for window in windows(utterances) for utterance in labelled(window, model)]
    write_manifest(output, found)
    hours = [sum(utterance.duration for utterance in part) / 3600 for part in (found, utterances)]
    sys.stderr.write(f"{len(found)} of {len(utterances)} recordings, {hours[0]:.2f} of {hours[1]:.2f} h\n")


if __name__ == "__main__":
    main()
