"""The language model and its tokenizer: from the weights store, a folder, the hub, or with random weights."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tiny_audio.errors import CheckpointError, ConfigError
from tiny_audio.models.asr_config import LLMConfig, LoRAConfig
from tiny_audio.models.llm_presets import ARCHITECTURES
from tiny_audio.models.lora import add_lora
from tiny_audio.weights import gguf
from tiny_audio.weights.pretrained_folder import fingerprint, read_config, read_tensors, resolve_folder
from tiny_audio.weights.store import SMOLLM2_135M
from tiny_audio.weights.tensor_file import TensorFile

STORE_NAME = "smollm2-135m-instruct"
TOKENIZER_FILE = "tokenizer.json"
PATTERNS = (TOKENIZER_FILE, "tokenizer_config.json", "special_tokens_map.json", "*.jinja", "generation_config.json")
"""What a language model needs besides its weights."""
_SIZES = ("model_type", "vocab_size", "hidden_size", "num_hidden_layers")
"""Keys of an architecture that a wrong model would differ in."""
_LOGIT_CHANGES = ("final_logit_softcapping", "logits_scaling", "logit_scale")


def build_llm(config: LLMConfig, *, dtype: torch.dtype = torch.float32) -> Any:
    """A causal language model of `transformers` in eval mode, frozen, with adapters, or trainable.

    Without a source, also at full size under `torch.device("meta")`.

    Args:
        config: where from, and what of it is trained.
        dtype: of the weights; adapters are float32.

    Raises:
        CheckpointError: it is not the model that the configuration names, or one that we cannot drive.
        WeightsError: its files can neither be found nor fetched.
        ConfigError: neither a source nor an architecture.
    """
    _check_fingerprint(config)
    llm: Any
    if config.source is None:
        llm = _random_llm(config, dtype)
    elif config.source == STORE_NAME:
        llm = gguf.load_llm()
    else:
        llm = _load_folder(_folder(config), dtype)
    _check_architecture(config, llm)
    llm.to(dtype).eval().requires_grad_(config.training == "full")
    if config.training == "lora":
        lora = config.lora or LoRAConfig()
        add_lora(
            llm,
            rank=lora.rank,
            alpha=lora.alpha,
            dropout=lora.dropout,
            targets=lora.targets,
            first_block=lora.first_block,
        )
    return llm


def build_tokenizer(config: LLMConfig) -> Any:
    """The language model's tokenizer, a `transformers` class.

    Raises:
        CheckpointError: the files hold no tokenizer.
        WeightsError: they can neither be found nor fetched.
        ConfigError: a language model with random weights has none of its own.
    """
    if config.source is None:
        raise ConfigError(["llm.source: random weights bring no tokenizer; name a source, or give a tokenizer"])
    if config.source == STORE_NAME:
        return gguf.load_tokenizer()
    from transformers import AutoTokenizer

    folder = _folder(config)
    if not (folder / TOKENIZER_FILE).is_file():  # without it, some classes build an empty tokenizer
        raise CheckpointError(f"'{folder}' has no {TOKENIZER_FILE}; expected the tokenizer beside the language model")
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # whatever `tokenizers` finds wrong in the file, it raises a plain Exception
        raise CheckpointError(f"cannot read the tokenizer in '{folder}': {_first_line(error)}") from error


def load_embeddings(config: LLMConfig) -> Tensor:
    """The input embeddings `(V, E)` alone, float32, without the rest of the model in memory.

    Raises:
        CheckpointError, WeightsError, ConfigError: as `build_llm`.
    """
    if config.source is None:
        return _random_llm(config, torch.float32).get_input_embeddings().weight.detach()
    _check_fingerprint(config)
    if config.source == STORE_NAME:
        return gguf.load_embedding_table()
    folder = _folder(config)
    ending = "embed_tokens.weight"
    tables = list(read_tensors(folder, lambda name: name if name.endswith(ending) else None).values())
    if len(tables) != 1:
        raise CheckpointError(f"'{folder}' holds {len(tables)} tensors '*.{ending}', expected one")
    return tables[0].float()


def open_llm_file(config: LLMConfig) -> tuple[dict[str, Any], TensorFile] | None:
    """Sizes and weights of a language model in one file, to be read tensor by tensor; None if there are several.

    Raises:
        CheckpointError, WeightsError: as `build_llm`.
    """
    if config.source is None:
        return None
    _check_fingerprint(config)
    folder = gguf.prepare() if config.source == STORE_NAME else _folder(config)
    path = folder / "model.safetensors"
    return ({"model_type": "llama"} | read_config(folder), TensorFile(path)) if path.is_file() else None


def llm_fingerprint(config: LLMConfig) -> str | None:
    """SHA-256 of the weights; None for random ones.

    Raises:
        WeightsError: their files can neither be found nor fetched.
    """
    if config.source is None:
        return None
    return SMOLLM2_135M.sha256 if config.source == STORE_NAME else fingerprint(_folder(config))


def llm_architecture(config: LLMConfig) -> dict[str, Any]:
    """The `transformers` configuration with its `model_type`; of a known model without a download.

    Raises:
        WeightsError: the files can neither be found nor fetched.
        ConfigError: neither a source nor an architecture.
    """
    if config.architecture:
        return config.architecture
    if config.source is None:
        raise ConfigError(["llm: neither a source nor an architecture; give one of them"])
    return ARCHITECTURES.get(config.source) or read_config(_folder(config))


def _folder(config: LLMConfig) -> Path:
    assert config.source is not None
    return resolve_folder(config.source, revision=config.revision, patterns=PATTERNS)


def _random_llm(config: LLMConfig, dtype: torch.dtype) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    architecture = llm_architecture(config)
    try:
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(**architecture), dtype=dtype)
    except (ValueError, TypeError) as error:
        raise ConfigError([f"llm.architecture: {_first_line(error)}"]) from error


def _load_folder(folder: Path, dtype: torch.dtype) -> Any:
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    loaded: Any
    try:
        loaded = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"cannot load a language model from '{folder}': {_first_line(error)}; expected a causal one of transformers"
        ) from error
    llm, report = loaded
    if missing := sorted(report["missing_keys"]):
        raise CheckpointError(f"'{folder}' has no tensor '{missing[0]}' ({len(missing)} missing); expected all of them")
    return llm


def _check_fingerprint(config: LLMConfig) -> None:
    if config.sha256 is not None and (found := llm_fingerprint(config)) != config.sha256:
        raise CheckpointError(
            f"the weights of '{config.source}' have SHA-256 {found}, expected {config.sha256}; "
            "give the revision that the checkpoint was trained with"
        )


def _check_architecture(config: LLMConfig, llm: Any) -> None:
    found = llm.config
    wrong = [
        f"{key} {getattr(found, key)}, expected {config.architecture[key]}"
        for key in _SIZES
        if key in config.architecture and getattr(found, key) != config.architecture[key]
    ]
    if wrong:
        raise CheckpointError(f"the language model '{config.source}' has {'; '.join(wrong)}")
    for key in _LOGIT_CHANGES:
        if getattr(found, key, None) not in (None, 1):
            raise CheckpointError(
                f"a language model of type '{found.model_type}' changes its logits behind the output layer ({key}); "
                "expected one that does not, such as Llama, Qwen3, SmolLM or Mistral"
            )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
