"""What goes into an encoder and what comes out."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from tiny_audio.audio.timebase import SAMPLE_RATE
from tiny_audio.explain.findings import Draw, Findings, Request, headline, note
from tiny_audio.explain.loading import load_encoder
from tiny_audio.models.encoders.encoder import Encoder
from tiny_audio.types import Waveform

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHOWN_DIMS, _SHOWN_FRAMES = 50, 100


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """One clip through one encoder."""

    num_samples: int
    input_shape: tuple[int, ...]
    """What the encoder reads: a waveform, or a spectrogram."""
    frames_TD: NDArray[np.float32]
    frame_rate: float
    """Frames a second; one frame begins that much after the other."""

    @property
    def reduction(self) -> float:
        """Samples for a frame, on average over the clip."""
        return self.num_samples / len(self.frames_TD)


@torch.inference_mode()
def encode(encoder: Encoder, waveform: Waveform) -> Encoded:
    """Run the encoder on one clip; padding, if there is some, is left out of the frames.

    Raises:
        AudioError: the clip is too short or too long for it.
    """
    features, lengths_1 = encoder.features([waveform])
    output = encoder(features, lengths_1)
    return Encoded(
        num_samples=len(waveform),
        input_shape=tuple(features.shape),
        frames_TD=output.last_hidden_state[0, : int(output.lengths[0])].float().numpy(),
        frame_rate=encoder.frame_rate,
    )


def explore(request: Request) -> Findings:
    """The input and output block of the chapter."""
    name = request.encoders[0] if request.encoders else request.model
    encoded = encode(load_encoder(name), request.clip().waveform)
    return Findings(text=describe(encoded, name), pictures={"encoder": draw_frames({name: encoded})})


def describe(encoded: Encoded, name: str) -> str:
    """As the chapter prints it."""
    num_frames, dim = encoded.frames_TD.shape
    values = encoded.frames_TD
    lines = [
        f"Encoder: {name}",
        "",
        headline("INPUT (Raw Audio)"),
        f"Shape: [1, {encoded.num_samples}]",
        f"Interpretation: [batch_size=1, samples={encoded.num_samples}]",
        f"Duration: {encoded.num_samples / SAMPLE_RATE:.2f} seconds",
    ]
    if len(encoded.input_shape) == 3:
        _, bands, frames = encoded.input_shape
        lines.append(f"As log-mel spectrogram: [1, {bands}, {frames}], {bands} bands in frames of 10 ms")
    lines += [
        "",
        headline("OUTPUT (Audio Embeddings)"),
        f"Shape: [1, {num_frames}, {dim}]",
        f"Interpretation: [batch_size=1, time_steps={num_frames}, embedding_dim={dim}]",
        "",
        f"Time dimension reduction: {encoded.reduction:.1f}x",
        f"Each embedding represents: ~{1000 * encoded.reduction / SAMPLE_RATE:.1f}ms of audio",
        f"Embedding dimensionality: {dim}D",
        "",
        headline("EMBEDDING STATISTICS"),
        f"Mean: {values.mean():z.4f}",
        f"Std: {values.std():.4f}",
        f"Min: {values.min():.4f}",
        f"Max: {values.max():.4f}",
        "",
        note(
            f"one embedding begins {1000 / encoded.frame_rate:g} ms after the other, exactly"
            f" {SAMPLE_RATE / encoded.frame_rate:g} samples. HuBERT and its like drop what does not fill a last frame,"
            " so the quotient of a whole clip is a little larger."
        ),
    ]
    return "\n".join(lines)


def draw_frames(encoded: dict[str, Encoded]) -> Draw:
    """The first dimensions over the first frames, of each encoder."""

    def draw(figure: "Figure") -> None:
        figure.set_size_inches(7 * len(encoded), 5)
        for axes, (name, one) in zip(figure.subplots(1, len(encoded), squeeze=False)[0], encoded.items(), strict=True):
            shown = one.frames_TD[:_SHOWN_FRAMES, :_SHOWN_DIMS].T
            limit = max(float(np.percentile(np.abs(shown), 99)), 1e-6)
            end = shown.shape[1] / one.frame_rate
            image = axes.imshow(
                shown, aspect="auto", cmap="coolwarm", vmin=-limit, vmax=limit, extent=(0, end, len(shown), 0)
            )
            axes.set(title=name, xlabel="Time (seconds)", ylabel="Embedding dimensions")
            figure.colorbar(image, ax=axes)

    return draw
