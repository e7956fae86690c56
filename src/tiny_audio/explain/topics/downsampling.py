"""What stacking more frames costs and saves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from tiny_audio.audio.timebase import SAMPLE_RATE
from tiny_audio.explain.findings import Draw, Findings, Request, headline, note, table
from tiny_audio.explain.full_size import HUBERT_XLARGE, meta_encoder
from tiny_audio.models.projectors.projector import stacked_lengths
from tiny_audio.types import Seconds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATES = (2, 3, 5, 8, 10)
_SECONDS = 3
_LLM_DIM = 2048
"""The chapter's: that of SmolLM3-3B."""


@dataclass(frozen=True, kw_only=True)
class Downsampled:
    """A clip at one rate."""

    rate: int
    frames: int
    tokens: int
    duration: Seconds
    memory: float
    """Of the embeddings in float32, MiB."""

    @property
    def resolution_ms(self) -> float:
        """Audio for a token."""
        return 1000 * self.duration / self.tokens


def downsample(frames: int, rates: Sequence[int], *, duration: Seconds, llm_dim: int) -> list[Downsampled]:
    """Audio tokens for that many frames; a last stack that is not full counts, as in the projectors."""
    found = []
    for rate in rates:
        tokens = int(stacked_lengths(torch.tensor(frames), rate))
        memory = tokens * llm_dim * 4 / 2**20
        found.append(Downsampled(rate=rate, frames=frames, tokens=tokens, duration=duration, memory=memory))
    return found


def explore(request: Request) -> Findings:
    """The chapter's table: 3 s through HuBERT-XLarge into a language model of width 2048."""
    frames = int(meta_encoder(HUBERT_XLARGE).output_lengths(torch.tensor([_SECONDS * SAMPLE_RATE])))
    found = downsample(frames, request.rates or RATES, duration=_SECONDS, llm_dim=_LLM_DIM)
    rows = [
        [f"{one.rate}x", f"{one.frames} to {one.tokens}", f"{one.resolution_ms:.1f} ms", f"{one.memory:.2f} MB"]
        for one in found
    ]
    text = "\n".join(
        [
            headline(f"DOWNSAMPLING {_SECONDS} s THROUGH {HUBERT_XLARGE}"),
            table(["Rate", "Frames to tokens", "Audio for a token", "Embeddings"], rows),
            "",
            note("a last stack that is not full counts; the chapter's next exercise rounds down."),
            note("the embeddings are the least of it: attention in the language model costs the square of the tokens."),
        ]
    )
    return Findings(text=text, pictures={"downsampling": draw_tokens(found)})


def draw_tokens(found: Sequence[Downsampled]) -> Draw:
    """Tokens and time resolution by rate."""

    def draw(figure: "Figure") -> None:
        figure.set_size_inches(11, 4)
        names = [f"{one.rate}x" for one in found]
        left, right = figure.subplots(1, 2)
        left.bar(names, [one.tokens for one in found], color="steelblue")
        left.set(xlabel="Downsampling", ylabel="Audio tokens", title=f"Tokens for {found[0].duration:g} s")
        right.bar(names, [one.resolution_ms for one in found], color="goldenrod")
        right.set(xlabel="Downsampling", ylabel="Audio for a token (ms)", title="Time resolution")

    return draw
