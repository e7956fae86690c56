"""The parts of a recogniser, built from its configuration."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from tiny_audio.models.asr_config import ASRConfig, ProjectorConfig
from tiny_audio.models.character_ctc import CharacterCTC
from tiny_audio.models.describer import Describer
from tiny_audio.models.encoders.build import build_encoder, encoder_architecture
from tiny_audio.models.encoders.encoder import Encoder
from tiny_audio.models.llm import build_llm, build_tokenizer, llm_architecture, load_embeddings
from tiny_audio.models.projectors.build import build_projector
from tiny_audio.models.projectors.conv_blocks import ConvBlocksProjector
from tiny_audio.models.speech_llm import SpeechLLM
from tiny_audio.text.prompts import Tokenizer
from tiny_audio.text.token_bytes import token_bytes
from tiny_audio.text.truncated_bpe import TruncatedBPE


@dataclass(frozen=True, kw_only=True)
class Modules:
    """What an `ASRModel` is made of."""

    projector: nn.Module
    table_VE: Tensor
    """The language model's input embeddings; for an aligned projector also the output layer of its CTC."""
    tokenizer: Tokenizer
    ctc_tokenizer: Tokenizer | None = None
    """Writes the labels of the CTC; None: `tokenizer` does."""
    encoder: Encoder | None = None
    """None: the model reads encoder output, as in training from a feature cache."""
    speech_llm: SpeechLLM | None = None
    """None: the text is the CTC draft."""


def build_modules(config: ASRConfig, *, with_encoder: bool = True, llm_dtype: torch.dtype = torch.float32) -> Modules:
    """Frozen parts with their weights, trained parts with new ones.

    Raises:
        CheckpointError: the frozen weights are not those that the configuration names.
        WeightsError: they can neither be found nor fetched.
    """
    tokenizer = build_tokenizer(config.llm)
    speech_llm = None
    if config.draft_only:
        table_VE = load_embeddings(config.llm)
    else:
        speech_llm = SpeechLLM(build_llm(config.llm, dtype=llm_dtype), tokenizer, config.prompt)
        table_VE = speech_llm.llm.get_input_embeddings().weight
    projector = build_projector(config.projector, encoder_dim=config.encoder_dim, llm_dim=config.llm_dim)
    projector.calibrate(table_VE, rms=config.projector.output_scale)
    if isinstance(projector, ConvBlocksProjector) and projector.spelling is not None:
        projector.spelling.set_tokens(token_bytes(tokenizer, config.projector.ctc_vocab_size or len(table_VE)))
    return Modules(
        encoder=build_encoder(config.encoder) if with_encoder else None,
        projector=projector,
        table_VE=table_VE,
        tokenizer=tokenizer,
        ctc_tokenizer=build_ctc_tokenizer(config.projector, tokenizer),
        speech_llm=speech_llm,
    )


def build_ctc_tokenizer(config: ProjectorConfig, tokenizer: Tokenizer) -> Tokenizer:
    """What writes the labels of the CTC: the language model's tokenizer, or the part of it that is asked for.

    Raises:
        ConfigError: that tokenizer cannot be divided so.
    """
    if not config.aligned or config.ctc_vocab_size is None:
        return tokenizer
    return TruncatedBPE(tokenizer, config.ctc_vocab_size)


@dataclass(frozen=True, kw_only=True)
class ParameterCount:
    """Parameters of a component."""

    total: int
    trainable: int

    @property
    def frozen(self) -> int:
        """Those that keep the values they came with."""
        return self.total - self.trainable

    def __add__(self, other: "ParameterCount") -> "ParameterCount":
        return ParameterCount(total=self.total + other.total, trainable=self.trainable + other.trainable)


def count_module(module: nn.Module) -> ParameterCount:
    """Parameters of a module; tied ones count once."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in module.parameters()]
    return ParameterCount(total=sum(n for n, _ in sizes), trainable=sum(n for n, trained in sizes if trained))


def count_parameters(config: ASRConfig) -> dict[str, ParameterCount]:
    """Parameters of `encoder`, `projector`, `decoder`, and of `describer` and `characters` if any, at full size.

    Nothing is downloaded, and no memory filled.

    Before there is a language model, `decoder` is its embedding table, which the CTC reads.
    """
    bare = without_source(config)
    sizes = {"encoder_dim": config.encoder_dim, "llm_dim": config.llm_dim}
    with torch.device("meta"):
        decoder = (
            ParameterCount(total=config.vocab_size * config.llm_dim, trainable=0)
            if config.draft_only
            else count_module(build_llm(bare.llm))
        )
        counts = {
            "encoder": count_module(build_encoder(bare.encoder)),
            "projector": count_module(build_projector(config.projector, **sizes)),
            "decoder": decoder,
        }
        if config.described_facts:
            counts["describer"] = count_module(Describer(config.encoder_dim, config.described_facts))
        if config.characters:
            counts["characters"] = count_module(CharacterCTC(config.encoder_dim, config.characters))
        return counts


def without_source(config: ASRConfig) -> ASRConfig:
    """The same sizes with random weights in place of the pretrained ones."""
    encoder = replace(config.encoder, architecture=encoder_architecture(config.encoder), source=None, sha256=None)
    llm = replace(config.llm, architecture=llm_architecture(config.llm), source=None, sha256=None)
    return replace(config, encoder=encoder, llm=llm)
