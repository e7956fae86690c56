"""FSDP2: the layers of a language model that is trained as a whole lie shared out over the processes.

Each process keeps a part of every layer, of its gradient and of its optimizer state, and has a layer whole only while
it computes it (arXiv 2304.11277). Embeddings, projector and adapters are small and stay whole everywhere.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from tiny_audio.training.processes import Processes


def shard_layers(llm: Any, processes: Processes) -> None:
    """Share out the transformer blocks of a language model, in place."""
    mesh = init_device_mesh(processes.device.type, (processes.count,))
    for layer in llm.get_decoder().layers:
        sharded = fully_shard(layer, mesh=mesh)
        # Gradients of a step are sums over its rows, so those of the processes are added up and not averaged.
        sharded.set_gradient_divide_factor(1.0)
        sharded.set_force_sum_reduction_for_comms(True)  # gloo has no other


@contextmanager
def whole(module: nn.Module) -> Iterator[None]:
    """Within, all processes have all weights whole: to read them, and to run the model in one of them alone."""
    layers = [layer for layer in module.modules() if isinstance(layer, FSDPModule)]
    for layer in layers:
        layer.set_reshard_after_forward(False)
        layer.unshard()
    try:
        yield
    finally:
        for layer in layers:
            layer.reshard()
            layer.set_reshard_after_forward(True)


def gather_state(state: Any) -> Any:
    """The same state with whole tensors; all processes call it together."""
    if isinstance(state, DTensor):
        return state.full_tensor()
    if isinstance(state, dict):
        return {key: gather_state(value) for key, value in state.items()}
    return [gather_state(value) for value in state] if isinstance(state, list) else state


def share_like(whole_tensor: Tensor, parameter: Tensor) -> Tensor:
    """This process's part of a whole tensor, if it has only a part of the parameter that it belongs to."""
    if not isinstance(parameter, DTensor) or whole_tensor.shape != parameter.shape:  # such as the count of steps
        return whole_tensor
    return distribute_tensor(whole_tensor.to(parameter.device), parameter.device_mesh, parameter.placements)


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load a `gather_state` of the optimizer's."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    shared = {
        index: {key: share_like(value, parameters[index]) for key, value in values.items()}
        for index, values in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": shared})
