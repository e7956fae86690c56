"""Tensors as what a trace shows of them.

Shapes: as in `trace`.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from tiny_audio.audio.features import log_mel_spectrogram
from tiny_audio.audio.timebase import SAMPLE_RATE
from tiny_audio.explain.trace import Activity, CTCView, Guess, Spoken, Stage
from tiny_audio.models.ctc_alignment import TokenSpan
from tiny_audio.models.encoders.encoder import Encoder
from tiny_audio.models.posteriors import FramePosteriors
from tiny_audio.types import Seconds, Waveform

NUM_ROWS = 64
"""Dimensions of an output that are shown: those that vary most over the clip."""
NUM_GUESSES = 5
_BANDS_FOR_THE_EYE = 80
_MIN_PROBABILITY = 1e-4
"""A guess less likely than this is noise."""


class Decoder(Protocol):
    """What a tokenizer and the units of a CTC have in common."""

    def decode(self, ids: Sequence[int], /) -> str:
        """Text of token ids."""


def most_active(output_TD: Tensor, *, frame_duration: Seconds, num_rows: int = NUM_ROWS) -> Activity:
    """The rows of an output that vary most over time, by variance."""
    variance_D = output_TD.float().var(dim=0, correction=0)
    dims = variance_D.topk(min(num_rows, len(variance_D))).indices
    return Activity(
        values_NT=output_TD[:, dims].T.float().numpy(),
        dims_N=tuple(dims.tolist()),
        num_dims=len(variance_D),
        frame_duration=frame_duration,
    )


def nearest_tokens(
    vectors_AE: Tensor, table_VE: Tensor, tokenizer: Decoder, *, num_tokens: int
) -> list[tuple[Guess, ...]]:
    """The tokens whose embeddings point most nearly the same way as each vector, by cosine."""
    cosines_AV = F.normalize(vectors_AE.float(), dim=1) @ F.normalize(table_VE.float(), dim=1).T
    top = cosines_AV.topk(num_tokens, dim=1)
    return [
        tuple(Guess(text=tokenizer.decode([token_id]), value=value) for token_id, value in zip(*row, strict=True))
        for row in zip(top.indices.tolist(), top.values.tolist(), strict=True)
    ]


class Encoded(NamedTuple):
    """A clip behind the encoder."""

    frames_TD: Tensor
    """The real ones."""
    stages: list[Stage]
    """Up to here."""
    num_bands: int | None
    """Mel bands that the encoder reads; None: it reads the waveform."""

    def log_mel(self, waveform: Waveform) -> NDArray[np.float32]:
        """Of the clip, `(M, F)`, in decibels below the loudest place."""
        # Whisper's scale is (log10 of the power + 4) / 4.
        log_mel_MF = 40 * log_mel_spectrogram(waveform, n_mels=self.num_bands or _BANDS_FOR_THE_EYE)
        return (log_mel_MF - log_mel_MF.max()).numpy()  # type: ignore[no-any-return]


def encode_clip(encoder: Encoder, waveform: Waveform) -> Encoded:
    """Run the encoder.

    Raises:
        AudioError: the clip is too short or too long for it.
    """
    features, lengths_1 = encoder.features([waveform])
    output = encoder(features, lengths_1)
    frames_TD = output.last_hidden_state[0, : int(output.lengths[0])]
    stages = [stage("Waveform", torch.from_numpy(waveform), f"samples, {SAMPLE_RATE:,} a second")]
    if features.ndim == 3:
        mel_MF = features[0, :, : int(lengths_1[0])]
        stages.append(stage("Log-mel", mel_MF, "mel bands × frames of 10 ms"))
    else:
        stages.append(stage("Normalised", features[0], "samples with mean 0 and variance 1"))
    duration_ms = 1000 / encoder.frame_rate
    stages.append(stage("Encoder", frames_TD, f"frames of {duration_ms:g} ms × dimensions"))
    return Encoded(frames_TD, stages, features.shape[1] if features.ndim == 3 else None)


def stage(name: str, output: Tensor, meaning: str) -> Stage:
    """Shape and statistics of an output."""
    output = output.float()
    return Stage(
        name=name,
        shape=tuple(output.shape),
        meaning=meaning,
        mean=output.mean().item(),
        std=output.std(correction=0).item(),
        lowest=output.min().item(),
        highest=output.max().item(),
    )


def ctc_view(
    posteriors: FramePosteriors,
    kept_A: Tensor,
    alignment: Sequence[Spoken],
    tokenizer: Decoder,
    frame_duration: Seconds,
) -> CTCView:
    """The posteriors in plain numbers."""
    probabilities_AK = posteriors.top_log_probs_AK[:, :NUM_GUESSES].exp()
    return CTCView(
        frame_duration=frame_duration,
        blank_A=tuple(posteriors.blank_A.exp().tolist()),
        guesses=tuple(
            guesses_of(tokenizer, ids, values)
            for ids, values in zip(posteriors.top_ids_AK.tolist(), probabilities_AK.tolist(), strict=True)
        ),
        kept_A=tuple(kept_A.tolist()),
        alignment=tuple(alignment),
    )


def guesses_of(tokenizer: Decoder, ids: Sequence[int], probabilities: Sequence[float]) -> tuple[Guess, ...]:
    """Tokens with their probabilities, without those that are noise."""
    return tuple(
        Guess(text=tokenizer.decode([token_id]), value=value)
        for token_id, value in zip(ids, probabilities, strict=False)
        if value >= _MIN_PROBABILITY
    )


def spoken(spans: Sequence[TokenSpan], pieces: Sequence[str], frame_duration: Seconds) -> list[Spoken]:
    """Tokens of an alignment, in seconds."""
    return [
        Spoken(
            text=piece,
            start=span.start_frame * frame_duration,
            end=span.end_frame * frame_duration,
            probability=float(np.exp(span.log_prob)),
        )
        for span, piece in zip(spans, pieces, strict=True)
    ]
