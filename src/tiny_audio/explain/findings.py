"""What a topic is asked and what it answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tiny_audio.explain.clip import Clip, read_clip
from tiny_audio.explain.samples import DEFAULT_SAMPLE, samples_folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Draw = Callable[["Figure"], None]
"""Draws on an empty figure."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked; a topic reads its part of it."""

    audio: Path | None = None
    """None: an example clip."""
    model: str = "tiny-audio-base"
    encoders: tuple[str, ...] = ()
    """None: those of the topic."""
    projector: str | None = None
    """A kind, with new weights, in place of the model's own."""
    rates: tuple[int, ...] = ()

    def clip(self) -> Clip:
        """The clip to look at.

        Raises:
            AudioError: it cannot be read.
        """
        return read_clip(self.audio or samples_folder() / DEFAULT_SAMPLE)


@dataclass(frozen=True, kw_only=True)
class Findings:
    """The table of a topic, and its pictures by the names of their files without suffix."""

    text: str
    pictures: Mapping[str, Draw] = field(default_factory=dict)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need to be; the first to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    lines = [
        "  ".join(cell.ljust(width) if not column else cell.rjust(width) for column, (cell, width) in enumerate(cells))
        for cells in (list(zip(row, widths, strict=True)) for row in [heads, *rows])
    ]
    return "\n".join([lines[0], "-" * sum([*widths, 2 * len(widths) - 2]), *lines[1:]])


def headline(text: str) -> str:
    """A title as the chapters print it."""
    rule = "=" * 60
    return f"{rule}\n{text}\n{rule}"


def note(text: str) -> str:
    """What a chapter says otherwise, and what is true."""
    return f"Note: {text}"
