"""Encoders side by side: size, speed and what they make of one clip."""

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass

from tiny_audio.explain.findings import Findings, Request, headline, table
from tiny_audio.explain.loading import load_encoder
from tiny_audio.explain.topics.encoder import Encoded, draw_frames, encode
from tiny_audio.models.encoders.encoder import Encoder
from tiny_audio.models.modules import count_module
from tiny_audio.types import Seconds, Waveform

DEFAULT = ("whisper-base", "whisper-tiny.en")
_NUM_RUNS = 3


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One encoder on the clip."""

    encoded: Encoded
    num_parameters: int
    inference_time: Seconds
    """Median of three, after one that warms up."""


def compare(encoders: Mapping[str, Encoder], waveform: Waveform) -> dict[str, Compared]:
    """Time each encoder on the clip.

    Raises:
        AudioError: the clip is too short or too long for one of them.
    """
    compared = {}
    for name, encoder in encoders.items():
        encoded = encode(encoder, waveform)
        times = []
        for _ in range(_NUM_RUNS):
            started = time.perf_counter()
            encode(encoder, waveform)
            times.append(time.perf_counter() - started)
        compared[name] = Compared(
            encoded=encoded,
            num_parameters=count_module(encoder).total,
            inference_time=statistics.median(times),
        )
    return compared


def explore(request: Request) -> Findings:
    """The comparison of the chapter, for any number of encoders."""
    encoders = {name: load_encoder(name) for name in request.encoders or DEFAULT}
    compared = compare(encoders, request.clip().waveform)
    return Findings(
        text=describe(compared),
        pictures={"encoder_embeddings": draw_frames({name: one.encoded for name, one in compared.items()})},
    )


def describe(compared: Mapping[str, Compared]) -> str:
    """A row for each encoder, and how the first two differ."""
    rows = []
    for name, one in compared.items():
        values = one.encoded.frames_TD
        rows.append(
            [
                name,
                f"{one.num_parameters / 1e6:.1f}M",
                str(values.shape[1]),
                str(len(values)),
                f"{one.inference_time:.3f}s",
                f"{values.mean():z.4f}",
                f"{values.std():.4f}",
            ]
        )
    heads = ["Encoder", "Parameters", "Embedding dim", "Frames", "Inference time", "Mean", "Std"]
    lines = [headline("ENCODER COMPARISON"), table(heads, rows)]
    if len(compared) > 1:
        (first, one), (second, other), *_ = compared.items()
        size, slowness = one.num_parameters / other.num_parameters, one.inference_time / other.inference_time
        lines += ["", f"{first} has {size:.1f}x the parameters of {second} and takes {slowness:.1f}x its time"]
        lines.append(
            "A projector fits one width: "
            + (
                "both have the same, so one of them could replace the other once the projector is trained anew."
                if one.encoded.frames_TD.shape[1] == other.encoded.frames_TD.shape[1]
                else "to replace one by the other is to build and train another projector."
            )
        )
    return "\n".join(lines)
