"""Checkpoints: a folder with `config.json` and `model.safetensors`, which holds the trained part only.

The frozen weights (encoder, language model) are named in the configuration and come from the weights store.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tiny_audio.errors import CheckpointError, UnknownNameError
from tiny_audio.models.asr_config import ASRConfig
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.encoders.whisper import WhisperEncoder
from tiny_audio.models.lora import add_lora, lora_state_dict, merge_lora
from tiny_audio.models.projectors.aligned import AlignedProjector
from tiny_audio.models.speech_llm import SpeechLLM
from tiny_audio.weights.ctranslate2 import read_whisper
from tiny_audio.weights.gguf import load_embedding_table, load_llm, load_tokenizer
from tiny_audio.weights.store import WHISPER_BASE, fetch

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
PRETRAINED = Path(__file__).parent.parent / "pretrained"
"""Shipped checkpoints, one folder each."""


def build_projector(config: ASRConfig) -> AlignedProjector:
    """A projector with new weights."""
    return AlignedProjector(
        encoder_dim=config.encoder_dim,
        llm_dim=config.llm_dim,
        hidden_dim=config.projector.hidden_dim,
        stack_factor=config.projector.stack_factor,
        num_blocks=config.projector.num_blocks,
        dropout=config.projector.dropout,
    )


def build_speech_llm(config: ASRConfig, *, dtype: torch.dtype = torch.float32) -> SpeechLLM:
    """The language model, frozen and in `dtype`, with new adapters in float32, which change nothing yet."""
    llm: nn.Module = load_llm()
    llm.to(dtype).requires_grad_(False)
    if config.lora is not None:
        add_lora(llm, rank=config.lora.rank, alpha=config.lora.alpha, dropout=config.lora.dropout)
    return SpeechLLM(llm, load_tokenizer())


def trained_state(projector: nn.Module, speech_llm: SpeechLLM | None) -> dict[str, Tensor]:
    """All trained tensors by name: `projector.*` and `lora.*`."""
    state = {f"projector.{name}": tensor for name, tensor in projector.state_dict().items()}
    if speech_llm is not None:
        state |= {f"lora.{name}": tensor for name, tensor in lora_state_dict(speech_llm.llm).items()}
    return state


def load_trained_state(state: Mapping[str, Tensor], projector: nn.Module, speech_llm: SpeechLLM | None) -> None:
    """Copy tensors of `trained_state` into the modules.

    Raises:
        CheckpointError: names or shapes differ; says which.
    """
    own = trained_state(projector, speech_llm)
    problems = [f"missing {name}" for name in own.keys() - state.keys()]
    problems += [f"unexpected {name}" for name in state.keys() - own.keys()]
    problems += [
        f"{name} is {tuple(state[name].shape)}, expected {tuple(own[name].shape)}"
        for name in own.keys() & state.keys()
        if own[name].shape != state[name].shape
    ]
    if problems:
        shown = "; ".join(sorted(problems)[:4]) + ("; ..." if len(problems) > 4 else "")
        raise CheckpointError(f"the checkpoint does not fit its configuration: {shown}")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(state[name])


def save_checkpoint(
    folder: Path, config: ASRConfig, projector: nn.Module, speech_llm: SpeechLLM | None, *, dtype: torch.dtype
) -> None:
    """Write a checkpoint folder; each file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        name: tensor.detach().to("cpu", dtype).contiguous()
        for name, tensor in trained_state(projector, speech_llm).items()
    }
    with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as temporary:
        save_file(state, Path(temporary) / WEIGHTS_FILE, metadata={"format": "pt"})
        config.save(Path(temporary) / CONFIG_FILE)
        for name in (WEIGHTS_FILE, CONFIG_FILE):
            (Path(temporary) / name).replace(folder / name)


def read_checkpoint(name: str | Path) -> tuple[ASRConfig, dict[str, Tensor]]:
    """Configuration and trained tensors of a shipped model or of a folder.

    Raises:
        CheckpointError: the folder holds no checkpoint, or a damaged one.
        UnknownNameError: neither a folder nor a shipped model.
    """
    folder = Path(name)
    if not folder.is_dir():
        shipped = sorted(path.name for path in PRETRAINED.iterdir()) if PRETRAINED.is_dir() else []
        if str(name) not in shipped:
            if len(folder.parts) > 1:
                raise CheckpointError(f"no folder '{name}'; expected a checkpoint folder or one of {shipped}")
            raise UnknownNameError("model", str(name), shipped)
        folder = PRETRAINED / name
    config = ASRConfig.load(folder / CONFIG_FILE)
    try:
        return config, load_file(folder / WEIGHTS_FILE)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot read '{folder / WEIGHTS_FILE}': {error}") from error


def load_model(name: str | Path) -> ASRModel:
    """Build the recogniser of a checkpoint, ready for inference on the CPU; adapters are merged.

    Raises:
        CheckpointError, UnknownNameError, WeightsError: see `read_checkpoint` and `weights.store.fetch`.
    """
    config, state = read_checkpoint(name)
    with torch.device("meta"):
        projector = build_projector(config)
    projector.to_empty(device="cpu")
    speech_llm = build_speech_llm(config) if config.lora is not None else None
    load_trained_state(state, projector, speech_llm)
    if speech_llm is not None:
        merge_lora(speech_llm.llm)
    model = ASRModel(
        config,
        encoder=WhisperEncoder.from_state_dict(read_whisper(fetch(WHISPER_BASE), stacks=("encoder",))),
        projector=projector,
        table_VE=load_embedding_table() if speech_llm is None else speech_llm.llm.get_input_embeddings().weight,
        tokenizer=load_tokenizer() if speech_llm is None else speech_llm.tokenizer,
        speech_llm=speech_llm,
    )
    return model.requires_grad_(False).eval()
