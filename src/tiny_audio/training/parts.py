"""The parts of a system in training, by the names of its parameters."""

import math
from collections import defaultdict
from collections.abc import Iterable

from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.utils import get_total_norm

_PARTS = {"encoder": "encoder", "projector": "projector", "speech_llm": "llm", "head": "head"}
"""The module below the model that begins each part."""


def part_of(name: str) -> str:
    """`encoder`, `projector`, `llm` (the language model or its adapters), `head` (of a CTC), or else `other`."""
    return next((_PARTS[piece] for piece in name.split(".") if piece in _PARTS), "other")


def gradient_norms(parameters: Iterable[tuple[str, nn.Parameter]]) -> dict[str, float]:
    """Euclidean norm of each trained part's gradient, 0 where none came; of `named_parameters()`."""
    gradients: defaultdict[str, list[Tensor]] = defaultdict(list)
    for name, parameter in parameters:
        if parameter.requires_grad:
            gradients[part_of(name)] += [] if parameter.grad is None else [parameter.grad]
    return {part: _norm(tensors) for part, tensors in gradients.items()}


def _norm(tensors: Iterable[Tensor]) -> float:
    """Of all together; those of which this process has only a share (FSDP) count whole."""
    kinds: defaultdict[bool, list[Tensor]] = defaultdict(list)
    for tensor in tensors:
        kinds[isinstance(tensor, DTensor)].append(tensor)
    whole = get_total_norm(kinds[False])
    shared = get_total_norm(kinds[True])
    return math.hypot(float(whole), float(shared.full_tensor() if isinstance(shared, DTensor) else shared))
