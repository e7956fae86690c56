"""Encoder and projector output as pictures: what the modality gap looks like."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from tiny_audio.audio.timebase import SAMPLE_RATE
from tiny_audio.explain.findings import Draw, Findings, Request, note
from tiny_audio.explain.loading import load_projector_model
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.types import Seconds, Waveform

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Flow:
    """A clip behind encoder and projector."""

    num_samples: int
    encoder_TD: NDArray[np.float32]
    projector_AE: NDArray[np.float32]
    stack_factor: int

    @property
    def duration(self) -> Seconds:
        """Of the clip."""
        return self.num_samples / SAMPLE_RATE


@torch.inference_mode()
def flow(model: ASRModel, waveform: Waveform) -> Flow:
    """Run a clip through both.

    Raises:
        AudioError: the clip is too short or too long for the encoder.
    """
    encoder_1TD = model.encode(waveform)
    return Flow(
        num_samples=len(waveform),
        encoder_TD=encoder_1TD[0].float().numpy(),
        projector_AE=model.audio_projector(encoder_1TD)[0].float().numpy(),
        stack_factor=model.config.audio_downsample_rate,
    )


def explore(request: Request) -> Findings:
    """What the chapter's script prints, and its two pictures."""
    found = flow(load_projector_model(request.model), request.clip().waveform)
    return Findings(
        text=describe(found),
        pictures={
            "encoder_output": draw_embeddings(found.encoder_TD, "Encoder output (audio embeddings)", found.duration),
            "projector_output": draw_embeddings(
                found.projector_AE, "Projector output (text-like embeddings)", found.duration
            ),
        },
    )


def describe(found: Flow) -> str:
    """Shapes, steps and dimensions."""
    (frames, encoder_dim), (tokens, llm_dim) = found.encoder_TD.shape, found.projector_AE.shape
    step_ms = 1000 * found.duration / frames
    return "\n".join(
        [
            f"Audio: shape [1, {found.num_samples}], rate {SAMPLE_RATE} Hz, {found.duration:.2f} seconds",
            "",
            f"Encoder output: shape [1, {frames}, {encoder_dim}]",
            f"  Time steps: {frames} (each step is ~{step_ms:.0f}ms of audio)",
            f"  Embedding dimension: {encoder_dim}",
            "",
            f"Projector output: shape [1, {tokens}, {llm_dim}]",
            f"  Time steps: {tokens} (downsampled by {found.stack_factor}x, a last partial stack counts)",
            f"  Embedding dimension: {llm_dim} (projected from {encoder_dim} to {llm_dim})",
            "",
            note("a step of Whisper or HuBERT is 20 ms; the chapter has 20 to 30, and 30."),
            note("`ASRModel(config)` of the chapter has a new, random projector; this one is trained."),
        ]
    )


def draw_embeddings(values_TD: NDArray[np.float32], title: str, duration: Seconds) -> Draw:
    """All dimensions over time; colours up to the 99th percentile, so that no outlier hides the rest."""

    def draw(figure: "Figure") -> None:
        figure.set_size_inches(15, 5)
        axes = figure.subplots()
        low, high = np.percentile(values_TD, [1, 99])
        image = axes.imshow(
            values_TD.T,
            aspect="auto",
            origin="lower",
            cmap="viridis",
            vmin=low,
            vmax=high,
            extent=(0, duration, 0, values_TD.shape[1]),
        )
        figure.colorbar(image, ax=axes, label="Activation")
        axes.set(title=title, xlabel=f"Time (seconds), {len(values_TD)} steps", ylabel="Embedding dimension")

    return draw
