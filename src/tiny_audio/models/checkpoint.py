"""Checkpoints: a folder with `config.json` and `model.safetensors`, which holds the trained part only.

The frozen weights (encoder, language model) are named in the configuration, with their SHA-256, and come from where it
says. An encoder that comes from nowhere, because it was built with random weights, lies in the checkpoint too.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from tiny_audio.errors import CheckpointError, UnknownNameError
from tiny_audio.models.asr_config import ASRConfig
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.encoders.build import encoder_fingerprint
from tiny_audio.models.llm import llm_fingerprint
from tiny_audio.models.lora import lora_state_dict, merge_lora
from tiny_audio.models.modules import build_modules
from tiny_audio.models.state_check import check_state
from tiny_audio.models.stored_tensors import read_stored_tensors, write_tensors
from tiny_audio.text.prompts import check_prompt, prompt_token_ids
from tiny_audio.weights.hub_checkpoint import resolve_checkpoint

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
PRETRAINED = Path(__file__).parent.parent / "pretrained"
"""Shipped checkpoints, one folder each."""


def trained_state(model: ASRModel) -> dict[str, Tensor]:
    """All tensors that a checkpoint must hold, by name.

    They are `projector.*`, `lora.*`, `encoder_lora.*`, `describer.*`, `characters.*`, and whole parts.

    The tensors are the model's own, not copies.
    """
    state = {f"projector.{name}": tensor for name, tensor in model.projector.state_dict(keep_vars=True).items()}
    config = model.config
    for part, module in (("describer", model.describer), ("characters", model.characters)):
        if module is not None:
            state |= {f"{part}.{name}": tensor for name, tensor in module.state_dict(keep_vars=True).items()}
    if model.speech_llm is not None:
        state |= _part(model.speech_llm.llm, "llm", "lora", keeps_all=config.llm.training == "full")
    if model.encoder is not None:
        state |= _part(model.encoder, "encoder", "encoder_lora", keeps_all=config.encoder.source is None)
    return {name: tensor.detach() for name, tensor in state.items()}


def _part(module: nn.Module, prefix: str, lora_prefix: str, *, keeps_all: bool) -> dict[str, Tensor]:
    """The adapters of a part, and all else in it where that is found nowhere but here; tied tensors come once."""
    adapters = lora_state_dict(module)
    state: dict[str, Tensor] = {f"{lora_prefix}.{name}": tensor for name, tensor in adapters.items()}
    if keeps_all:
        state |= {
            f"{prefix}.{name.replace('.base.', '.')}": tensor
            for name, tensor in module.named_parameters()
            if name not in adapters
        }
    return state


def load_trained_state(state: Mapping[str, Tensor], model: ASRModel) -> None:
    """Copy tensors of `trained_state` into the model.

    Raises:
        CheckpointError: names or shapes differ; says which.
    """
    own = trained_state(model)
    check_state(state, own, source="the checkpoint")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(state[name])


def save_checkpoint(
    folder: Path, model: ASRModel, *, dtype: torch.dtype, of_llm: Mapping[str, Tensor] | None = None
) -> None:
    """Write a checkpoint folder; each file appears whole or not at all.

    Args:
        folder: made when missing.
        model: what is saved.
        dtype: of the stored tensors.
        of_llm: what `split_state` took from a model that is in memory without its language model; saved with it again.

    Raises:
        CheckpointError: the language model comes from nowhere, so nobody could load it or its tokenizer again.
    """
    if model.config.llm.source is None:
        raise CheckpointError(
            "the language model has no source; expected a name, a hub id or a folder made by its save_pretrained"
        )
    config = pinned(model)
    write_checkpoint(
        folder,
        config if of_llm is None else replace(config, draft_only=False),
        {**trained_state(model), **(of_llm or {})},
        dtype=dtype,
    )


def write_checkpoint(folder: Path, config: ASRConfig, tensors: Mapping[str, Tensor], *, dtype: torch.dtype) -> None:
    """Write what `read_checkpoint` reads; each file appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as temporary:
        write_tensors(Path(temporary) / WEIGHTS_FILE, tensors, dtype=dtype)
        config.save(Path(temporary) / CONFIG_FILE)
        for name in (WEIGHTS_FILE, CONFIG_FILE):
            (Path(temporary) / name).replace(folder / name)


def pinned(model: ASRModel) -> ASRConfig:
    """The model's configuration with all that its trained part presumes: frozen weights, vocabulary, prompt tokens."""
    config = model.config
    return replace(
        config,
        encoder=replace(config.encoder, sha256=encoder_fingerprint(config.encoder)),
        llm=replace(config.llm, sha256=llm_fingerprint(config.llm)),
        prompt=replace(config.prompt, token_ids=prompt_token_ids(model.tokenizer, config.prompt)),
        vocab_size=len(model.table_VE),
        llm_dim=model.table_VE.shape[1],
    )


def shipped_models() -> list[str]:
    """Names of the shipped checkpoints."""
    return sorted(path.name for path in PRETRAINED.iterdir()) if PRETRAINED.is_dir() else []


def checkpoint_folder(name: str | Path) -> Path:
    """The folder of a shipped model or a checkpoint, or of a published one, `user/name[@revision]`, which is fetched.

    Raises:
        CheckpointError: no such folder.
        UnknownNameError: neither a folder nor a shipped model.
        WeightsError: the hub does not deliver it, or it is refused.
    """
    folder = resolve_checkpoint(name)
    if folder.is_dir():
        return folder
    shipped = shipped_models()
    if str(name) in shipped:
        return PRETRAINED / name
    if len(folder.parts) > 1:
        raise CheckpointError(f"no folder '{name}'; expected a checkpoint folder or one of {shipped}")
    raise UnknownNameError("model", str(name), shipped)


def read_config(name: str | Path) -> ASRConfig:
    """Configuration of a shipped model or of a folder; see `read_checkpoint`.

    Sources that begin with `./` are folders within the checkpoint.
    """
    folder = checkpoint_folder(name)
    config = ASRConfig.load(folder / CONFIG_FILE)
    return replace(
        config,
        encoder=replace(config.encoder, source=_within(folder, config.encoder.source)),
        llm=replace(config.llm, source=_within(folder, config.llm.source)),
    )


def _within(folder: Path, source: str | None) -> str | None:
    return str(folder / source) if source is not None and source.startswith("./") else source


def read_checkpoint(name: str | Path) -> tuple[ASRConfig, dict[str, Tensor]]:
    """Configuration and trained tensors of a shipped model or of a folder.

    Raises:
        CheckpointError: the folder holds no checkpoint, or a damaged one.
        UnknownNameError: neither a folder nor a shipped model.
    """
    config = read_config(name)
    return config, read_stored_tensors(checkpoint_folder(name) / WEIGHTS_FILE)


def load_model(name: str | Path, *, config: ASRConfig | None = None, merge_adapters: bool = True) -> ASRModel:
    """Build the recogniser of a checkpoint, ready for inference on the CPU.

    What was trained stays trainable, so that it can be told from what was not, and trained on.

    Args:
        name: shipped model or folder.
        config: replaces the checkpoint's own.
        merge_adapters: fold them into the layers that they adapt, which is faster.

    Raises:
        CheckpointError, UnknownNameError, WeightsError: see `read_checkpoint` and `weights.store.fetch`.
    """
    found, state = read_checkpoint(name)
    model = _build(config or found, state)
    if merge_adapters:
        for part in (model.encoder, model.decoder):
            if part is not None:
                merge_lora(part)
    return model


def load_without_llm(name: str | Path) -> tuple[ASRModel, dict[str, Tensor]]:
    """The recogniser of an aligned checkpoint without its language model, and that one's trained tensors.

    For those who do without it, or build it in another form.

    Raises:
        CheckpointError, UnknownNameError, WeightsError: as `load_model`.
    """
    config, state = read_checkpoint(name)
    rest, of_llm = split_state(state)
    return _build(replace(config, draft_only=True), rest), of_llm


def split_state(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The tensors of a checkpoint that are not the language model's, and those that are."""
    of_llm = {key: tensor for key, tensor in state.items() if key.startswith(("lora.", "llm."))}
    return {key: tensor for key, tensor in state.items() if key not in of_llm}, of_llm


def _build(config: ASRConfig, state: Mapping[str, Tensor]) -> ASRModel:
    model = ASRModel(config, build_modules(config))
    if len(model.table_VE) != config.vocab_size:
        raise CheckpointError(
            f"the language model '{config.llm.source}' has {len(model.table_VE)} tokens, "
            f"the checkpoint was trained with {config.vocab_size}; expected the same language model"
        )
    check_prompt(model.tokenizer, config.prompt)
    load_trained_state(state, model)
    model.eval().keep_ctc_table()
    return model
