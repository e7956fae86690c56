"""The text of each game recording: the one shown in the game that the model's draft of it comes closest to.

    .venv/bin/python experiments/tiny_audio_base/game_texts.py MODEL RECORDINGS.jsonl TEXTS.json OUT.jsonl DEV.jsonl...

A draft with every third word wrong is enough to tell which of some thousand texts is spoken. Recordings of one dialogue
have names that begin alike, so the dialogue's texts are found first, from the clearest drafts, and the others are
looked for among them. What stays unclear is left out, and so is a text of three words or more in one of the DEV
manifests.
"""

import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rapidfuzz import fuzz, process

from tiny_audio.data.manifest import Utterance, read_manifest, write_manifest
from tiny_audio.data.recordings import load_waveform
from tiny_audio.inference.recognizer import Recognizer
from tiny_audio.text.normalizers import normalize_english

BATCH_SIZE = 8
SURE, MIN_SURE_LETTERS = 88, 15
"""Similarity in percent from which on a draft tells the dialogue, and letters it must have."""
MIN_SHARE = 0.15
"""Of a dialogue's sure drafts that a file of texts must hold to be one of the dialogue's."""
MIN_KNOWN, MIN_ANYWHERE = 56, 76
"""Similarity of the text among those of the dialogue, and among all."""
MORE_BELOW = ((10, 12), (16, 6))
"""Texts of fewer letters need so much more."""
MARGIN, SAME = 6, 90
"""The next text must be less similar by this, if it is not more similar than that to the first."""
LETTERS_PER_SECOND = (2, 30)


def letters(text: str) -> str:
    """What of a text is compared."""
    return re.sub(r"[^a-z0-9 ]", "", text.lower().replace("-", " ")).strip()


def dialogue(utterance: Utterance, files: Iterable[str]) -> str:
    """The dialogue a recording belongs to: a scene's file if there is one of that name, else how the name begins."""
    name = utterance.id.partition("-")[2]
    scene = re.match(r"C\d+[A-Z]*", name)
    return f"{scene[0]}.CUT" if scene and f"{scene[0]}.CUT" in files else name[:2]


def closest(similarities: np.ndarray, among: Sequence[int], texts: Sequence[str], minimum: int) -> int | None:
    """Index of the most similar text, or None if it is not similar enough or another one could be meant."""
    if not among:
        return None
    order = sorted(among, key=lambda index: -similarities[index])
    best = order[0]
    second = next((similarities[index] for index in order[1:] if fuzz.ratio(texts[index], texts[best]) < SAME), 0)
    minimum += next((more for limit, more in MORE_BELOW if len(texts[best]) < limit), 0)
    return best if similarities[best] >= max(minimum, second + MARGIN) else None


def matched(
    utterances: Sequence[Utterance], drafts: Sequence[str], texts_of_files: Mapping[str, Sequence[str]]
) -> list[Utterance]:
    """Those recordings whose text is clear, with it."""
    spelt = {letters(text): text for texts in reversed(list(texts_of_files.values())) for text in reversed(texts)}
    spelt.pop("", None)
    texts = list(spelt)
    index_of = {text: index for index, text in enumerate(texts)}
    file_indices = {
        file: sorted({index_of[letters(text)] for text in shown if letters(text)})
        for file, shown in texts_of_files.items()
    }
    similarities = process.cdist([letters(draft) for draft in drafts], texts, scorer=fuzz.ratio, dtype=np.int32)
    votes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for utterance, row in zip(utterances, similarities, strict=True):
        nearest = int(row.argmax())
        if row[nearest] >= SURE and len(texts[nearest]) >= MIN_SURE_LETTERS:
            holding = [file for file, indices in file_indices.items() if nearest in indices]
            votes[dialogue(utterance, texts_of_files)].update(holding)
    found = []
    for utterance, row in zip(utterances, similarities, strict=True):
        name = dialogue(utterance, texts_of_files)
        enough = max(2, MIN_SHARE * votes[name].total())
        files = [name] if name in texts_of_files else [file for file, count in votes[name].items() if count >= enough]
        known = sorted({index for file in files for index in file_indices[file]})
        best = closest(row, known, texts, MIN_KNOWN)
        if best is None:
            best = closest(row, row.argsort()[::-1][:12].tolist(), texts, MIN_ANYWHERE)
        low, high = LETTERS_PER_SECOND
        if best is not None and low < len(texts[best]) / utterance.duration < high:
            found.append(replace(utterance, text=spelt[texts[best]]))
    return found


def main() -> None:
    """Write the manifest, and say how much was found."""
    model, recordings, texts, output, *devs = sys.argv[1:]
    torch.set_num_threads(1)
    recognizer = Recognizer.from_pretrained(model, dtype="int8", mode="fast")
    utterances = sorted(read_manifest(recordings), key=lambda utterance: utterance.duration)
    drafts: list[str] = []
    for first in range(0, len(utterances), BATCH_SIZE):
        batch = [load_waveform(utterance) for utterance in utterances[first : first + BATCH_SIZE]]
        drafts += [transcript.text for transcript in recognizer.transcribe_waveforms(batch)]
    measured = {normalize_english(utterance.text) for dev in devs for utterance in read_manifest(dev)}
    measured = {text for text in measured if len(text.split()) >= 3}
    found = matched(utterances, drafts, json.loads(Path(texts).read_text(encoding="utf-8")))
    found = [utterance for utterance in found if normalize_english(utterance.text) not in measured]
    write_manifest(output, sorted(found, key=lambda utterance: utterance.id))
    hours = [sum(utterance.duration for utterance in part) / 3600 for part in (found, utterances)]
    sys.stderr.write(f"{len(found)} of {len(utterances)} recordings, {hours[0]:.2f} of {hours[1]:.2f} h\n")


if __name__ == "__main__":
    main()
