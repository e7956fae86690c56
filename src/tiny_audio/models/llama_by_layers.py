"""A checkpoint's language model read layer by layer: never whole in memory in full precision.

Shapes: V vocabulary, E width.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from tiny_audio.errors import CheckpointError
from tiny_audio.models.asr_config import ASRConfig
from tiny_audio.models.llama_runner import LlamaRunner
from tiny_audio.models.llm import open_llm_file


def can_run_by_layers(config: ASRConfig) -> bool:
    """Whether the language model is a plain Llama in one file, and not one that the checkpoint holds itself."""
    if config.draft_only or config.llm.training == "full":
        return False
    found = open_llm_file(config.llm)
    return found is not None and LlamaRunner.supports(found[0])


def runner_by_layers(
    config: ASRConfig, adapters: Mapping[str, Tensor], table_VE: Tensor, dtype: torch.dtype
) -> LlamaRunner:
    """The language model with its adapters folded in, of which one layer at a time is in memory in float32.

    Raises:
        CheckpointError: an adapter belongs to no layer, or is not whole.
    """
    found = open_llm_file(config.llm)
    assert found is not None
    sizes, file = found
    used: set[str] = set()

    def weight(name: str) -> Tensor:
        tensor = file.read(name)
        keys = [f"lora.{name.removesuffix('.weight')}.{part}" for part in ("up", "down")]
        if config.llm.lora is not None and any(key in adapters for key in keys):
            missing = [key for key in keys if key not in adapters]
            if missing:
                raise CheckpointError(f"the checkpoint does not fit its configuration: missing {missing[0]}")
            up, down = (adapters[key].float() for key in keys)
            used.update(keys)
            tensor.addmm_(up, down, alpha=config.llm.lora.alpha / config.llm.lora.rank)
        return tensor

    runner = LlamaRunner(sizes, weight, dtype=dtype, table_VE=table_VE)
    if unused := sorted(adapters.keys() - used):
        raise CheckpointError(f"the checkpoint does not fit its configuration: unexpected {unused[0]}")
    lora = config.llm.lora
    expected = len(lora.targets) * 2 * (sizes["num_hidden_layers"] - lora.first_block) if lora else 0
    if len(used) != expected:
        raise CheckpointError(
            f"the checkpoint does not fit its configuration: {len(used)} adapter tensors, expected {expected}"
        )
    return runner
