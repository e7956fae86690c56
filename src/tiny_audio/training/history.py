"""What a run has logged so far: the lines of its metrics, as series over the steps."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Series = list[tuple[int, float]]
"""Steps, counted from 1, and what was measured there."""


class RunHistory:
    """Metrics by name; grows with `add`, or is read from the file of a run that may still be going on."""

    def __init__(self) -> None:
        self._series: dict[str, Series] = {}

    @classmethod
    def read(cls, path: Path) -> "RunHistory":
        """The lines of a `metrics.jsonl`; without the file, or for a line that is still being written, nothing."""
        history = cls()
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
        for line in lines:
            if line.endswith("\n"):
                values: dict[str, Any] = json.loads(line)
                history.add(int(values.pop("step")), values)
        return history

    def add(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Append what was measured at a step."""
        for name, value in metrics.items():
            if isinstance(value, int | float):
                self._series.setdefault(name, []).append((step, float(value)))

    def names(self, prefix: str = "") -> list[str]:
        """Of all series that begin like that."""
        return [name for name in self._series if name.startswith(prefix)]

    def series(self, name: str) -> Series:
        """All of one metric."""
        return self._series.get(name, [])

    def last(self, name: str) -> float | None:
        """Its newest value."""
        series = self.series(name)
        return series[-1][1] if series else None
