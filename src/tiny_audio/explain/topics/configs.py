"""Sizes of projectors: the chapter's, and every kind that can be built for a model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from tiny_audio.audio.timebase import SAMPLE_RATE
from tiny_audio.explain.findings import Draw, Findings, Request, headline, note, table
from tiny_audio.explain.full_size import HUBERT_XLARGE, meta_encoder
from tiny_audio.models.asr_config import ASRConfig, ProjectorConfig
from tiny_audio.models.projectors.build import PROJECTORS, build_projector, num_parameters
from tiny_audio.types import Seconds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHAPTER = {
    "Actual (Tiny Audio)": ProjectorConfig(kind="swiglu", aligned=False, hidden_dim=8192, stack_factor=5),
    "Smaller Projector": ProjectorConfig(kind="swiglu", aligned=False, hidden_dim=4096, stack_factor=5),
    "More Downsampling": ProjectorConfig(kind="swiglu", aligned=False, hidden_dim=8192, stack_factor=8),
    "Less Downsampling": ProjectorConfig(kind="swiglu", aligned=False, hidden_dim=8192, stack_factor=2),
}
_SECONDS = 3
_CHAPTER_LLM_DIM = 2048


@dataclass(frozen=True, kw_only=True)
class Sized:
    """One projector for a clip."""

    name: str
    parameters: int
    frames: int
    tokens: int
    duration: Seconds


def size_up(
    configs: dict[str, ProjectorConfig], *, encoder_dim: int, llm_dim: int, frames: int, duration: Seconds
) -> list[Sized]:
    """Parameters and audio tokens of each, built without memory for them."""
    sized = []
    for name, config in configs.items():
        with torch.device("meta"):
            projector = build_projector(config, encoder_dim=encoder_dim, llm_dim=llm_dim)
        sized.append(
            Sized(
                name=name,
                parameters=num_parameters(config, encoder_dim=encoder_dim, llm_dim=llm_dim),
                frames=frames,
                tokens=int(projector.output_lengths(torch.tensor([frames]))),
                duration=duration,
            )
        )
    return sized


def every_kind(config: ProjectorConfig) -> dict[str, ProjectorConfig]:
    """The same sizes in every kind of projector; those that need no CTC without it and its spellings."""
    kinds = {kind: replace(config, aligned=False, spelling_dim=0, kind=kind) for kind in PROJECTORS}  # type: ignore[arg-type]
    return kinds | {"conv_blocks": replace(config, kind="conv_blocks", aligned=True)}


def explore(request: Request) -> Findings:
    """The chapter's four, and all kinds for the model."""
    hubert = meta_encoder(HUBERT_XLARGE)
    frames = int(hubert.output_lengths(torch.tensor([_SECONDS * SAMPLE_RATE])))
    chapter = size_up(CHAPTER, encoder_dim=hubert.dim, llm_dim=_CHAPTER_LLM_DIM, frames=frames, duration=_SECONDS)
    config = ASRConfig.from_pretrained(request.model)
    own = size_up(
        every_kind(config.projector),
        encoder_dim=config.encoder_dim,
        llm_dim=config.llm_dim,
        frames=round(_SECONDS * config.encoder.frame_rate),
        duration=_SECONDS,
    )
    shipped = config.projector
    text = "\n".join(
        [
            headline(f"PROJECTOR CONFIGURATIONS, {hubert.dim}D TO {_CHAPTER_LLM_DIM}D, {_SECONDS} s"),
            _format(chapter),
            "",
            note(
                "the chapter's expected output has 60,829,696, 121,651,456 and 121,634,880 in its last three rows and"
                " 18 frames for stacks of 8; its own formula gives what stands here, and the model pads."
            ),
            "",
            headline(f"EVERY KIND FOR {request.model}, {config.encoder_dim}D TO {config.llm_dim}D, {_SECONDS} s"),
            _format(own),
            "",
            f"{request.model} has {shipped.kind}, hidden width {shipped.hidden_dim}, stacks of {shipped.stack_factor}.",
        ]
    )
    return Findings(text=text, pictures={"projector_configs": draw_sizes({"The chapter's": chapter, "Kinds": own})})


def _format(sized: Sequence[Sized]) -> str:
    rows = [
        [
            one.name,
            f"{one.parameters:,}",
            str(one.tokens),
            f"{1000 * one.duration / one.tokens:.1f}",
            f"{one.frames / one.tokens:.1f}x",
        ]
        for one in sized
    ]
    return table(["Config", "Params", "Tokens", "ms/token", "Compression"], rows)


def draw_sizes(groups: dict[str, Sequence[Sized]]) -> Draw:
    """Parameters of each, in millions."""

    def draw(figure: "Figure") -> None:
        figure.set_size_inches(12, 4)
        for axes, (title, sized) in zip(figure.subplots(1, len(groups)), groups.items(), strict=True):
            bars = axes.barh([one.name for one in sized], [one.parameters / 1e6 for one in sized], color="steelblue")
            axes.bar_label(bars, fmt="%.1f", padding=3)
            axes.set(title=title, xlabel="Parameters (millions)")
            axes.invert_yaxis()
            axes.margins(x=0.15)

    return draw
