"""Several processes that train one model: each computes its rows of a step, then their gradients are summed.

`torchrun` and `accelerate launch` start them. Accelerate finds the device and joins the processes; without a launcher
there is one. Gradients are summed here, once a step, and not by a DDP wrapper, which sums them while each batch is
computed. So a process may have more batches in a step than another, or none, may divide them further where its memory
is short, and no unused parameter can hang the others.
"""

import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, NoReturn, TypeVar

import torch
from accelerate import PartialState
from torch import Tensor, distributed, nn
from torch.distributed.tensor import DTensor

from tiny_audio.errors import TinyAudioError
from tiny_audio.types import Seconds

_BUCKET = 1 << 24
"""Numbers that are summed at once: 64 MB of float32."""
_TIMEOUT = timedelta(hours=24)
"""The others wait while the first one fills a feature cache. A process that died is noticed by the launcher at once."""
_LET_GO: Seconds = 5.0

T = TypeVar("T")


class Processes:
    """The processes of this run, as each of them sees them."""

    def __init__(self) -> None:
        state = PartialState(cpu=not torch.cuda.is_available(), timeout=_TIMEOUT)
        self.rank: int = state.process_index
        self.count: int = state.num_processes
        self.device: torch.device = state.device

    @property
    def is_main(self) -> bool:
        """Whether this one writes the files, and what is shown."""
        return self.rank == 0

    def main_first(self, work: Callable[[], T]) -> T:
        """Do the work in the first process, then in all others, which find there what it left on disk.

        Raises:
            TinyAudioError: from the work, in the first process; the others leave quietly.
        """
        if self.count == 1:
            return work()
        if not self.is_main:
            if not self.broadcast(None):
                raise SystemExit(1)
            return work()
        is_done = False
        try:
            result = work()
            is_done = True
        finally:
            self.broadcast(is_done)
        return result

    def fail(self, error: TinyAudioError) -> NoReturn:
        """End all processes, which all call this; only the first one says why.

        Raises:
            TinyAudioError: the error, in the first process.
        """
        if self.is_main:
            raise error
        raise SystemExit(1)

    def broadcast(self, value: Any) -> Any:
        """What the first process has."""
        if self.count == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, src=0)
        return values[0]

    def gather(self, value: T) -> list[T]:
        """What each process has, in all of them."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        distributed.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Until all are here."""
        if self.count > 1:
            distributed.barrier()

    def sum_gradients(self, parameters: Sequence[nn.Parameter], has_gradient: Sequence[bool]) -> None:
        """Give each parameter the sum of its gradients in all processes; where none has one, there is none.

        Those of which each process has only a share (FSDP) are summed already.

        Args:
            parameters: in the same order everywhere.
            has_gradient: of each parameter, whether any process has a gradient for it.
        """
        if self.count == 1:
            return
        own = [
            parameter
            for parameter, any_has in zip(parameters, has_gradient, strict=True)
            if any_has and not isinstance(parameter, DTensor)
        ]
        for parameter in own:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        for bucket in _buckets([parameter.grad for parameter in own if parameter.grad is not None]):
            flat = torch.cat([gradient.flatten() for gradient in bucket])
            distributed.all_reduce(flat)
            for gradient, total in zip(bucket, flat.split([gradient.numel() for gradient in bucket]), strict=True):
                gradient.copy_(total.view_as(gradient))

    def close(self) -> None:
        """Leave the others.

        A thread of gloo lets go of a collective's tensors a moment after its end, and needs the interpreter to do so; a
        process that ends meanwhile is aborted. So this waits until the last ones are gone.
        """
        if self.count == 1:
            return
        last = torch.zeros(1, device=self.device)
        distributed.all_reduce(last)
        held = weakref.ref(last)
        del last
        deadline = time.monotonic() + _LET_GO
        while held() is not None and time.monotonic() < deadline:
            time.sleep(0.01)
        distributed.destroy_process_group()


def _buckets(gradients: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Neighbours together, up to a bucket's size."""
    bucket: list[Tensor] = []
    size = 0
    for gradient in gradients:
        if bucket and size + gradient.numel() > _BUCKET:
            yield bucket
            bucket, size = [], 0
        bucket.append(gradient)
        size += gradient.numel()
    if bucket:
        yield bucket
