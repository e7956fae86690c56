"""Parameters of adapters (LoRA, arXiv 2106.09685) by rank and by the layers that they adapt."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from tiny_audio.explain.findings import Draw, Findings, Request, headline, note, table
from tiny_audio.explain.full_size import HUBERT_XLARGE, meta_encoder
from tiny_audio.models.encoders.encoder import Encoder
from tiny_audio.models.lora import count_lora_parameters
from tiny_audio.models.modules import count_module

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RANKS = (1, 2, 4, 8, 16, 32, 64, 128)
_TARGETS = ("q_proj", "k_proj")
_RANK = 8
_BYTES_A_PARAMETER = 16
"""Weight, gradient and AdamW's two moments in float32."""
_CHAPTER_LAYERS = 24
_ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj")


@dataclass(frozen=True, kw_only=True)
class Adapters:
    """Adapters of one rank on some layers."""

    name: str
    parameters: int
    share: float
    """Of the encoder's own parameters."""


def by_rank(encoder: Encoder, ranks: Sequence[int] = RANKS) -> list[Adapters]:
    """On queries and keys, as in the chapter."""
    return [_count(encoder, f"Rank {rank}", rank, _TARGETS) for rank in ranks]


def by_target(encoder: Encoder, *, rank: int = _RANK) -> list[Adapters]:
    """On parts of the attention and on the feed-forward network, by the names that this encoder's layers have."""
    feed_forward = feed_forward_names(encoder)
    groups: dict[str, Sequence[str]] = {
        "Attention QV": ("q_proj", "v_proj"),
        "Attention QK": ("q_proj", "k_proj"),
        "All attention": _ATTENTION,
        f"Feed-forward ({', '.join(feed_forward)})": feed_forward,
    }
    return [_count(encoder, name, rank, targets) for name, targets in groups.items()]


def feed_forward_names(encoder: Encoder) -> list[str]:
    """Last parts of the names of the linear layers in its blocks that belong to no attention."""
    names = {
        path.rsplit(".", 1)[-1]
        for path, module in encoder.named_modules()
        if isinstance(module, nn.Linear) and any(part.isdigit() for part in path.split(".")[:-1])
    }
    return sorted(name for name in names if name not in _ATTENTION and not name.startswith("gru"))


def num_layers(encoder: Encoder) -> int:
    """Transformer blocks: each has one layer of queries."""
    return sum(path.endswith("q_proj") for path, _ in encoder.named_modules())


def _count(encoder: Encoder, name: str, rank: int, targets: Sequence[str]) -> Adapters:
    parameters = count_lora_parameters(encoder, rank=rank, targets=targets)
    return Adapters(name=name, parameters=parameters, share=parameters / count_module(encoder).total)


def explore(request: Request) -> Findings:
    """The chapter's two tables, with the true number of layers."""
    name = request.encoders[0] if request.encoders else HUBERT_XLARGE
    encoder = meta_encoder(name)
    ranks, targets = by_rank(encoder), by_target(encoder)
    layers, total = num_layers(encoder), count_module(encoder).total
    lines = [
        headline(f"LoRA RANK ANALYSIS, {name}"),
        f"{layers} layers, {total:,} parameters; adapters on {' and '.join(_TARGETS)}",
        "",
        _format("Rank", ranks),
        "",
        headline(f"LoRA TARGETS, RANK {_RANK}"),
        _format("Layers", targets),
        "",
    ]
    if name == HUBERT_XLARGE:
        chapter = next(one for one in ranks if one.name == f"Rank {_RANK}").parameters * _CHAPTER_LAYERS / layers
        lines.append(
            note(
                f"the chapter counts {_CHAPTER_LAYERS} layers, so its script prints half of it ({chapter / 1e6:.2f}M at"
                f" rank {_RANK}), and takes the share of 1.3 billion."
            )
        )
    lines.append(note("the chapter's factors of memory and speed are formulas; memory here is what training holds."))
    return Findings(text="\n".join(lines), pictures={"lora": draw_adapters(ranks, targets)})


def _format(title: str, adapters: Sequence[Adapters]) -> str:
    rows = [
        [
            one.name,
            f"{one.parameters / 1e6:.2f}M",
            f"{100 * one.share:.2f} %",
            f"{one.parameters * _BYTES_A_PARAMETER / 1e6:.0f} MB",
        ]
        for one in adapters
    ]
    return table([title, "Params", "Of the encoder", "Training holds"], rows)


def draw_adapters(ranks: Sequence[Adapters], targets: Sequence[Adapters]) -> Draw:
    """Parameters by rank and by layers."""

    def draw(figure: "Figure") -> None:
        figure.set_size_inches(13, 4)
        left, right = figure.subplots(1, 2)
        left.bar([one.name.removeprefix("Rank ") for one in ranks], [one.parameters / 1e6 for one in ranks])
        left.set(title="By rank, on queries and keys", xlabel="Rank", ylabel="Parameters (millions)")
        bars = right.barh([one.name for one in targets], [one.parameters / 1e6 for one in targets])
        right.bar_label(bars, fmt="%.2f", padding=3)
        right.set(title=f"By layers, rank {_RANK}", xlabel="Parameters (millions)")
        right.invert_yaxis()
        right.margins(x=0.15)

    return draw
