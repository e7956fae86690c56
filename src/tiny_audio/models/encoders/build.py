"""Encoder configurations to encoders: a file of the weights store, a folder, the hub, or random weights."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tiny_audio.errors import CheckpointError, ConfigError
from tiny_audio.models.asr_config import EncoderConfig
from tiny_audio.models.encoders.encoder import Encoder
from tiny_audio.models.encoders.presets import ARCHITECTURES
from tiny_audio.models.encoders.self_supervised import SelfSupervisedEncoder
from tiny_audio.models.encoders.whisper import WhisperEncoder
from tiny_audio.models.lora import add_lora
from tiny_audio.models.state_check import check_state
from tiny_audio.weights.ctranslate2 import read_whisper
from tiny_audio.weights.pretrained_folder import fingerprint, read_config, read_tensors, resolve_folder
from tiny_audio.weights.store import WHISPER_BASE, WHISPER_TINY_EN, fetch

STORED = {"whisper-base": WHISPER_BASE, "whisper-tiny.en": WHISPER_TINY_EN}
"""Encoders in the weights store; each file holds a whole Whisper."""
_PREPROCESSOR_FILE = "preprocessor_config.json"


def build_encoder(config: EncoderConfig) -> Encoder:
    """The encoder, frozen and in eval mode, float32; only its adapters, if the configuration has some, are trainable.

    Without a source, also at full size under `torch.device("meta")`.

    Raises:
        CheckpointError: the weights are not those that the configuration names.
        WeightsError: they can neither be found nor fetched.
        ConfigError: the sizes make no encoder of that family.
    """
    if config.source is None:
        encoder = _from_architecture(config, encoder_architecture(config))
    else:
        encoder = _load(config, config.source)
    encoder.requires_grad_(False)
    if (lora := config.lora) is not None:
        if lora.first_block:
            encoder.until(lora.first_block)  # says so at once where this encoder cannot be divided there
        add_lora(
            encoder,
            rank=lora.rank,
            alpha=lora.alpha,
            dropout=lora.dropout,
            targets=lora.targets,
            first_block=lora.first_block,
        )
    return encoder.eval()


def build_frozen_part(config: EncoderConfig) -> Encoder:
    """What training leaves alone, and whose output a feature cache holds: all, or the blocks before the adapted ones.

    Raises:
        ConfigError: the encoder is adapted from its first block on.
        CheckpointError, WeightsError: see `build_encoder`.
    """
    if not config.is_storable:
        raise ConfigError(
            ["this encoder is trained from its first block on, so nothing of it can be stored; train on the manifests"]
        )
    encoder = build_encoder(replace(config, lora=None))
    if config.stored_block is None:
        return encoder
    return encoder.until(config.stored_block)


def stored_meta(config: EncoderConfig) -> dict[str, object]:
    """What a feature cache says of the part of an encoder that made it.

    Raises:
        WeightsError: the encoder's files can neither be found nor fetched.
    """
    meta: dict[str, object] = {"encoder": config.source, "encoder_sha256": encoder_fingerprint(config)}
    return meta if config.stored_block is None else {**meta, "block": config.stored_block}


def encoder_architecture(config: EncoderConfig) -> dict[str, Any]:
    """Sizes as the family's own configuration names them; of a published encoder without a download.

    Raises:
        CheckpointError: the source is an encoder of another family.
        WeightsError: its files can neither be found nor fetched.
        ConfigError: neither a source nor an architecture.
    """
    if config.architecture or (config.family in ("aut", "log_mel") and config.source is None):
        return config.architecture
    if config.source is None:
        raise ConfigError(["encoder: neither a source nor an architecture; give one of them"])
    published = ARCHITECTURES.get(config.family, {}).get(config.source)
    return dict(published) if published is not None else _read_architecture(config, _folder(config))


def encoder_fingerprint(config: EncoderConfig) -> str | None:
    """SHA-256 of the weights; None for random ones, and of log-mel, which has none, that of its settings.

    Raises:
        WeightsError: their files can neither be found nor fetched.
    """
    if config.family == "log_mel":
        return hashlib.sha256(json.dumps(["log_mel", config.architecture], sort_keys=True).encode()).hexdigest()
    if config.source is None:
        return None
    return STORED[config.source].sha256 if config.source in STORED else fingerprint(_folder(config))


def _folder(config: EncoderConfig) -> Path:
    assert config.source is not None
    return resolve_folder(config.source, revision=config.revision, patterns=(_PREPROCESSOR_FILE,))


def _check_fingerprint(config: EncoderConfig) -> None:
    if config.sha256 is not None and (found := encoder_fingerprint(config)) != config.sha256:
        raise CheckpointError(
            f"the weights of '{config.source}' have SHA-256 {found}, expected {config.sha256}; "
            "give the revision that the checkpoint was trained with"
        )


def _from_architecture(config: EncoderConfig, architecture: Mapping[str, Any]) -> Encoder:
    if config.family == "whisper":
        return WhisperEncoder.from_architecture(architecture, pad_to_window=config.pad_to_window)
    if config.pad_to_window:
        raise ConfigError([f"encoder.pad_to_window: for whisper only, and this is {config.family}; leave it out"])
    if config.family == "aut":
        from tiny_audio.models.encoders.aut import AuTEncoder

        return AuTEncoder.from_architecture(architecture)
    if config.family == "log_mel":
        from tiny_audio.models.encoders.log_mel import LogMelEncoder

        return LogMelEncoder(**architecture)
    return SelfSupervisedEncoder.from_architecture(config.family, architecture)


def _load(config: EncoderConfig, source: str) -> Encoder:
    _check_fingerprint(config)
    own_name = _own_name(config)
    if source in STORED:
        if config.family != "whisper":
            raise CheckpointError(f"'{source}' is a whisper encoder, expected {config.family}; change encoder.family")
        architecture = encoder_architecture(config)
        stored = read_whisper(fetch(STORED[source]), stacks=("encoder",))
        state = {own: tensor for name, tensor in stored.items() if (own := own_name(name)) is not None}
    else:
        folder = _folder(config)
        # The folder's own sizes, not the published ones: they say what these very weights are.
        architecture = config.architecture or _read_architecture(config, folder)
        state = {name: tensor.float() for name, tensor in read_tensors(folder, own_name).items()}
    with torch.device("meta"):
        encoder = _from_architecture(config, architecture)
    check_state(state, encoder.state_dict(), source=f"the encoder of '{source}'")
    encoder.load_state_dict(state, assign=True)
    return encoder


def _own_name(config: EncoderConfig) -> Callable[[str], str | None]:
    """From the name of a stored tensor to that of our parameter; None for other parts of the checkpoint."""
    if config.family == "whisper":
        return WhisperEncoder.own_name
    if config.family == "aut":
        return lambda name: name.removeprefix("encoder.") if name.startswith("encoder.") else None
    return SelfSupervisedEncoder.own_name


def _read_architecture(config: EncoderConfig, folder: Path) -> dict[str, Any]:
    values = read_config(folder)
    found = values.get("model_type")
    if found != config.family:
        raise CheckpointError(f"'{folder}' has model_type '{found}', expected '{config.family}'; change encoder.family")
    if config.family == "aut":
        return dict(values.get("architecture", {}))
    if config.family == "whisper":
        keys = WhisperEncoder.ARCHITECTURE_KEYS
    else:
        keys = SelfSupervisedEncoder.ARCHITECTURE_KEYS
        values["do_normalize"] = read_config(folder, _PREPROCESSOR_FILE).get("do_normalize", True)
    return {name: value for name, value in values.items() if name in keys}
