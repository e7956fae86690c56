"""When each word of a known text is said: forced alignment of any recording with a CTC checkpoint or an aligned one.

    audio -> pieces of at most 28 s, cut at pauses -> CTC log-probabilities, one frame behind the other
    text  -> tokens of its words
    both  -> best path of all (Viterbi) -> word times (`inference.timestamps`)

The path is found over the whole recording, so a text need not be cut; only the encoder works piece by piece. Times lie
on the grid of the CTC frames, refined by the shape of each peak and by pauses.

Shapes: A CTC frames, N distinct tokens of the text.
"""

from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from tiny_audio.audio.timebase import HOP_LENGTH, SAMPLE_RATE, samples_to_seconds
from tiny_audio.audio.vad import find_pauses, frame_levels_db
from tiny_audio.errors import AudioError, CheckpointError
from tiny_audio.inference.timestamps import word_times
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.checkpoint import load_without_llm
from tiny_audio.models.ctc_alignment import token_log_probs, token_spans, word_token_ids
from tiny_audio.models.ctc_model import CTCModel, is_ctc_checkpoint
from tiny_audio.models.words import Word
from tiny_audio.text.ctc_units import BLANK_ID
from tiny_audio.types import Seconds, Waveform

MAX_PIECE: Seconds = 28.0
"""Less than the 30 s of a Whisper encoder."""
_MIN_PIECE: Seconds = 15.0
"""A piece that is not the last has at least this, so that most of it knows what is around it."""
_MIN_PAUSE: Seconds = 0.08
_MAX_CELLS = 1_500_000_000
"""Frames times states of the search, a byte each: about half an hour of speech."""
_SURELY_BLANK = (0.0, -50.0)
"""Log-probability of the blank and of all else, where an encoder gives a frame less than the audio has."""


class CTC(Protocol):
    """What can be aligned with."""

    frame_duration: Seconds
    """From one CTC frame to the next: the grid of the times."""

    def encode(self, words: Sequence[str]) -> tuple[list[list[int]], list[int]]:
        """Tokens of each word, and those that stand between two words."""

    def log_probs(self, waveform: Waveform, distinct: Sequence[int]) -> NDArray[np.float32]:
        """Natural-log probabilities `(A, 1 + N)` of the blank and of those tokens."""


class UnitCTC:
    """A recogniser with units of its own."""

    def __init__(self, model: CTCModel) -> None:
        self._model = model
        self.frame_duration = 1 / model.frame_rate

    def encode(self, words: Sequence[str]) -> tuple[list[list[int]], list[int]]:
        """Units of each word."""
        return self._model.units.encode_words(words)

    @torch.inference_mode()
    def log_probs(self, waveform: Waveform, distinct: Sequence[int]) -> NDArray[np.float32]:
        """Of the head."""
        features, lengths_B = self._model.encoder.features([waveform])
        log_probs_AV = self._model(features.to(self._model.head.weight.device), lengths_B).log_probs()[0]
        return log_probs_AV[:, [BLANK_ID, *distinct]].cpu().numpy()  # type: ignore[no-any-return]


class AlignedCTC:
    """An aligned projector, whose tokens are those of the language model; that one is not needed."""

    def __init__(self, model: ASRModel) -> None:
        self._model = model
        self.frame_duration = model.config.audio_downsample_rate / model.config.encoder.frame_rate

    def encode(self, words: Sequence[str]) -> tuple[list[list[int]], list[int]]:
        """Tokens of each word; the space belongs to the word behind it."""
        return word_token_ids(words, self._model.ctc_tokenizer), []

    @torch.inference_mode()
    def log_probs(self, waveform: Waveform, distinct: Sequence[int]) -> NDArray[np.float32]:
        """Of the projector."""
        encoder = self._model.encoder
        assert encoder is not None, "this model was built without its encoder"
        features, feature_lengths_B = encoder.features([waveform])
        device = self._model.table_VE.device
        projected = self._model.projector(*encoder(features.to(device), feature_lengths_B.to(device)))
        hidden_AE, blank_A = projected.hidden_BAE[0].float(), projected.blank_BA[0].float()
        return token_log_probs(hidden_AE, blank_A, distinct, self._model.ctc_table_VE)


def load_ctc(name: str | Path) -> CTC:
    """What a checkpoint aligns with.

    Raises:
        CheckpointError: no such checkpoint, or one whose projector is not aligned.
        UnknownNameError: neither a folder nor a shipped model.
    """
    if is_ctc_checkpoint(name):
        return UnitCTC(CTCModel.load(Path(name)))
    model, _ = load_without_llm(name)
    if not model.is_aligned:
        raise CheckpointError(f"the projector of '{name}' has no CTC, so it knows no times; give an aligned checkpoint")
    return AlignedCTC(model)


def align_text(ctc: CTC, waveform: Waveform, text: str) -> list[Word]:
    """Times and confidence of every word of a text, in order, without overlap.

    Args:
        ctc: the model.
        waveform: mono, 16 kHz.
        text: what is said in it, all of it; marks around words are passed over.

    Raises:
        AudioError: fewer CTC frames than the text needs, or too long for one search.
        UnitsError: the text has characters that no unit has.
    """
    words = text.split()
    ids, separator = ctc.encode(words)
    said = [row for row in ids if row]
    labels = [token for row in said for token in [*row, *separator]][: -len(separator) or None]
    distinct = sorted(set(labels))
    log_probs_AN = _log_probs(ctc, waveform, distinct) if labels else np.zeros((0, 1), np.float32)
    if len(log_probs_AN) * (2 * len(labels) + 1) > _MAX_CELLS:
        raise AudioError(
            f"{samples_to_seconds(len(waveform)):.0f} s with {len(words)} words are too much for one alignment; align"
            " parts of it"
        )
    spans = token_spans(log_probs_AN, labels, distinct)
    if spans is None:
        raise AudioError(
            f"the audio has {len(log_probs_AN)} CTC frames ({samples_to_seconds(len(waveform)):.2f} s), too few for"
            f" {len(labels)} tokens; is it the text of this recording?"
        )
    following = iter(spans)
    of_words = []
    for row in ids:
        of_words.append(list(islice(following, len(row))))
        if row:
            list(islice(following, len(separator)))
    return word_times(words, of_words, waveform, frame_duration=ctc.frame_duration)


def _log_probs(ctc: CTC, waveform: Waveform, distinct: Sequence[int]) -> NDArray[np.float32]:
    """Of a recording of any length, exactly one row for each whole frame of it."""
    frame_size = round(ctc.frame_duration * SAMPLE_RATE)
    rows = []
    for start, end in pairwise(cut_points(waveform, frame_size)):
        piece = np.pad(waveform[start:end], (0, max(frame_size - (end - start), 0)))
        found_AN = ctc.log_probs(piece, distinct)[: max((end - start) // frame_size, 1)]
        missing = (end - start) // frame_size - len(found_AN)
        blanks_AN = np.full((max(missing, 0), 1 + len(distinct)), _SURELY_BLANK[1], np.float32)
        blanks_AN[:, 0] = _SURELY_BLANK[0]
        rows += [found_AN, blanks_AN]
    return np.concatenate(rows)


def cut_points(waveform: Waveform, frame_size: int) -> list[int]:
    """Samples at which a recording is cut, 0 and its end included: whole frames, in pauses where there are some."""
    return [0, *_cuts(waveform, frame_size), len(waveform)]


def _cuts(waveform: Waveform, frame_size: int) -> Iterator[int]:
    shortest, longest = (round(duration * SAMPLE_RATE) for duration in (_MIN_PIECE, MAX_PIECE))
    start = 0
    while len(waveform) - start > longest:
        levels = frame_levels_db(waveform[start + shortest : start + longest])
        pauses = find_pauses(levels, min_duration=_MIN_PAUSE)
        widest = max(pauses, key=lambda pause: pause[1] - pause[0], default=None)
        hop = sum(widest) // 2 if widest else int(levels.argmin())
        start += (shortest + hop * HOP_LENGTH) // frame_size * frame_size
        yield start
