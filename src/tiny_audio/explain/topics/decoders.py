"""Language models for a recogniser: width, projector, adapters, and the memory to train with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiny_audio.explain.findings import Draw, Findings, Request, headline, note, table
from tiny_audio.explain.full_size import HUBERT_XLARGE, meta_encoder, meta_llm
from tiny_audio.models.asr_config import ProjectorConfig
from tiny_audio.models.lora import count_lora_parameters
from tiny_audio.models.modules import ParameterCount, count_module
from tiny_audio.models.projectors.build import num_parameters
from tiny_audio.recipes.recipe import training_memory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DECODERS = (
    "Qwen/Qwen3-8B",
    "meta-llama/Meta-Llama-3-8B-Instruct",
    "mistralai/Mistral-7B-Instruct-v0.3",
    "Qwen/Qwen3-1.7B",
    "HuggingFaceTB/SmolLM3-3B",
    "smollm2-135m-instruct",
)
"""The chapter's, in the form in which they exist, and those of the later edition and of the shipped model."""
_PROJECTOR = ProjectorConfig(kind="swiglu", aligned=False, hidden_dim=8192, stack_factor=5)
_RANK = 64
_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj")
_ENCODER_RANK, _ENCODER_TARGETS = 8, ("q_proj", "k_proj")


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """One language model behind HuBERT-XLarge."""

    name: str
    parameters: int
    hidden_dim: int
    num_layers: int
    vocab_size: int
    projector: int
    lora: int
    memory: int
    """Bytes of weights and optimizer; activations come on top."""

    @property
    def short_name(self) -> str:
        """Without its owner."""
        return self.name.rsplit("/", 1)[-1]


def measure(names: Sequence[str] = DECODERS) -> list[Decoder]:
    """Count each at full size; nothing is downloaded."""
    encoder = meta_encoder(HUBERT_XLARGE)
    encoder_lora = count_lora_parameters(encoder, rank=_ENCODER_RANK, targets=_ENCODER_TARGETS)
    encoder_size = count_module(encoder).total
    decoders = []
    for name in names:
        llm = meta_llm(name)
        parameters = count_module(llm).total
        projector = num_parameters(_PROJECTOR, encoder_dim=encoder.dim, llm_dim=llm.config.hidden_size)
        lora = count_lora_parameters(llm, rank=_RANK, targets=_TARGETS)
        counts = {
            "encoder": ParameterCount(total=encoder_size + encoder_lora, trainable=encoder_lora),
            "projector": ParameterCount(total=projector, trainable=projector),
            "decoder": ParameterCount(total=parameters + lora, trainable=lora),
        }
        decoders.append(
            Decoder(
                name=name,
                parameters=parameters,
                hidden_dim=llm.config.hidden_size,
                num_layers=llm.config.num_hidden_layers,
                vocab_size=llm.config.vocab_size,
                projector=projector,
                lora=lora,
                memory=training_memory(counts),
            )
        )
    return decoders


def explore(request: Request) -> Findings:
    """The two tables of the chapter, counted."""
    decoders = measure()
    sizes = [
        [
            one.short_name,
            f"{one.parameters / 1e9:.2f}B",
            str(one.hidden_dim),
            str(one.num_layers),
            f"{one.vocab_size:,}",
            f"{one.projector / 1e6:.1f}M",
        ]
        for one in decoders
    ]
    memory = [[one.short_name, f"{one.lora / 1e6:.1f}M", f"{one.memory / 1e9:.1f} GB"] for one in decoders]
    text = "\n".join(
        [
            headline("DECODER MODEL COMPARISON FOR ASR"),
            table(["Model", "Params", "Hidden", "Layers", "Vocab", "Projector params"], sizes),
            "",
            headline(f"MEMORY FOR TRAINING WITH LORA, RANK {_RANK} ON {', '.join(_TARGETS)}"),
            table(["Model", "LoRA params", "Weights and optimizer"], memory),
            "",
            note("Qwen3-8B is 4096 wide in 36 layers; the chapter has 2048 and 32. There is no Qwen3-1.5B."),
            note(
                "the chapter's 1.9 to 2.3 GB are 12 bytes a trained parameter alone. Frozen weights have to be in"
                " memory too: 2 bytes each, 16 for a trained one; activations come on top."
            ),
        ]
    )
    return Findings(text=text, pictures={"decoders": draw_decoders(decoders)})


def draw_decoders(decoders: Sequence[Decoder]) -> Draw:
    """Size of each, and of the projector that it needs."""

    def draw(figure: "Figure") -> None:
        figure.set_size_inches(12, 4)
        names = [one.short_name for one in decoders]
        for axes, values, title in zip(
            figure.subplots(1, 2, sharey=True),
            ([one.parameters / 1e9 for one in decoders], [one.projector / 1e6 for one in decoders]),
            ("Language model (billions)", "Its SwiGLU projector (millions)"),
            strict=True,
        ):
            bars = axes.barh(names, values, color="steelblue")
            axes.bar_label(bars, fmt="%.2f" if "billions" in title else "%.1f", padding=3)
            axes.set(title=title, xlabel="Parameters")
            axes.margins(x=0.15)
        figure.axes[0].invert_yaxis()

    return draw
