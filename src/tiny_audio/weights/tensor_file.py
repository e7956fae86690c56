"""Read a safetensors file one tensor at a time, so that no more of it is in memory than is asked for.

The library maps the whole file, and what was touched of it counts as memory of the process for as long as any of its
tensors lives. Format: 8 bytes length of the header, a JSON header, the data.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tiny_audio.errors import WeightsError

_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


class TensorFile:
    """A safetensors file of floats.

    Raises:
        WeightsError: not such a file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                header: dict[str, Any] = json.loads(file.read(length))
        except (OSError, ValueError, MemoryError, OverflowError) as error:
            raise WeightsError(f"cannot read '{path}': {error}; expected a safetensors file") from error
        header.pop("__metadata__", None)
        self._entries = header
        self._start = 8 + length

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def read(self, name: str) -> Tensor:
        """One tensor, in float32.

        Raises:
            WeightsError: there is none of that name, it is not of floats, or the file ends before it does.
        """
        entry = self._entries.get(name)
        if entry is None or entry["dtype"] not in _DTYPES:
            found = "no such tensor" if entry is None else f"type {entry['dtype']}"
            raise WeightsError(f"'{self.path}', '{name}': {found}; expected one of {list(_DTYPES)}")
        begin, end = entry["data_offsets"]
        data = np.fromfile(self.path, dtype=np.uint8, count=end - begin, offset=self._start + begin)
        if len(data) < end - begin:
            raise WeightsError(f"'{self.path}' ends within '{name}'; fetch it again")
        return torch.from_numpy(data).view(_DTYPES[entry["dtype"]]).reshape(entry["shape"]).float()
