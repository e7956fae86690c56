"""Where the layers of an encoder look: the weights that its attention mixes the frames with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from tiny_audio.explain.findings import Draw, Findings, Request, headline, note, table
from tiny_audio.explain.loading import load_encoder
from tiny_audio.models.encoders.encoder import Encoder
from tiny_audio.types import Seconds, Waveform

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MAX_DRAWN = 6
_NEAR: Seconds = 0.2
"""How far to either side counts as near."""


@dataclass(frozen=True, kw_only=True)
class Attention:
    """One layer on one clip."""

    weights_HTT: NDArray[np.float32]
    """Of each head: row t says how much of each frame goes into frame t; a row sums to 1."""
    frame_duration: Seconds

    @property
    def mean_distance(self) -> Seconds:
        """From a frame to where it looks, on average."""
        return self.frame_duration * float((self.weights_HTT.mean(axis=0) * self._distances()).sum(axis=1).mean())

    @property
    def near_share(self) -> float:
        """Of the weights within 0.2 s."""
        is_near = self._distances() * self.frame_duration <= _NEAR
        return float((self.weights_HTT.mean(axis=0) * is_near).sum(axis=1).mean())

    @property
    def strongest_frame_share(self) -> float:
        """Of the weights that go to the one frame that most is looked at."""
        return float(self.weights_HTT.mean(axis=(0, 1)).max())

    def _distances(self) -> NDArray[np.int64]:
        frames = np.arange(self.weights_HTT.shape[-1])
        return np.abs(frames[:, None] - frames)


class _Recorder(TorchFunctionMode):
    """Computes the weights of every attention that runs within the context, which PyTorch itself never shows."""

    def __init__(self) -> None:
        super().__init__()
        self.layers: list[Tensor] = []

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is F.scaled_dot_product_attention:
            self.layers.append(_weights(*args, **kwargs)[0])
        elif function is F.multi_head_attention_forward:  # WavLM's, whose mask holds its relative positions
            wanted = {"need_weights": True, "average_attn_weights": False}
            output, weights_BHTT = function(*args, **kwargs | wanted)
            self.layers.append(weights_BHTT[0])
            return output, None
        return function(*args, **kwargs)


def _weights(
    query_BHTd: Tensor, key_BHTd: Tensor, _: Tensor, attn_mask: Tensor | None = None, **options: Any
) -> Tensor:
    scale = options.get("scale") or query_BHTd.shape[-1] ** -0.5
    scores_BHTT = (query_BHTd @ key_BHTd.transpose(-2, -1)) * scale
    if attn_mask is not None:
        if attn_mask.dtype == torch.bool:
            scores_BHTT = scores_BHTT.masked_fill(~attn_mask, -torch.inf)
        else:
            scores_BHTT = scores_BHTT + attn_mask
    return scores_BHTT.softmax(dim=-1)


@torch.inference_mode()
def attention_of(encoder: Encoder, waveform: Waveform) -> list[Attention]:
    """The weights of every layer for one clip.

    Raises:
        AudioError: the clip is too short or too long for the encoder.
    """
    features, lengths_1 = encoder.features([waveform])
    with _Recorder() as recorder:
        encoder(features, lengths_1)
    return [
        Attention(weights_HTT=weights_HTT.float().numpy(), frame_duration=1 / encoder.frame_rate)
        for weights_HTT in recorder.layers
    ]


def explore(request: Request) -> Findings:
    """A row for each layer, and a picture of some of them."""
    name = request.encoders[0] if request.encoders else request.model
    layers = attention_of(load_encoder(name), request.clip().waveform)
    rows = [
        [
            f"Layer {number}",
            str(len(layer.weights_HTT)),
            f"{layer.mean_distance:.2f} s",
            f"{100 * layer.near_share:.0f} %",
            f"{100 * layer.strongest_frame_share:.1f} %",
        ]
        for number, layer in enumerate(layers, start=1)
    ]
    heads = ["", "Heads", "Mean distance", f"Within {_NEAR:g} s", "To the strongest frame"]
    text = "\n".join(
        [
            headline(f"ATTENTION, {name}"),
            table(heads, rows),
            "",
            note("a frame that all others look at carries no sound of its own: heads that find nothing look there."),
        ]
    )
    return Findings(text=text, pictures={"attention": draw_layers(layers)})


def draw_layers(layers: Sequence[Attention]) -> Draw:
    """Mean over the heads, of up to six layers from the first to the last."""
    chosen = sorted({round(place) for place in np.linspace(0, len(layers) - 1, min(_MAX_DRAWN, len(layers)))})

    def draw(figure: "Figure") -> None:
        columns = min(3, len(chosen))
        rows = -(-len(chosen) // columns)
        figure.set_size_inches(4.6 * columns, 4.2 * rows)
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for place, index in zip(axes, chosen, strict=False):
            mean_TT = layers[index].weights_HTT.mean(axis=0)
            end = len(mean_TT) * layers[index].frame_duration
            # The root brings out what is weak beside the diagonal.
            place.imshow(np.sqrt(mean_TT), cmap="magma", extent=(0, end, end, 0))
            place.set(title=f"Layer {index + 1}", xlabel="Looks at (seconds)", ylabel="Frame (seconds)")
        for unused in axes[len(chosen) :]:
            unused.set_visible(False)

    return draw
