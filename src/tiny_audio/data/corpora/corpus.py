"""What the readers of corpora have in common: one `Entry` for each utterance, one `Skipped` for what cannot be used."""

import gzip
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tiny_audio.audio.io import AUDIO_SUFFIXES
from tiny_audio.errors import DatasetError
from tiny_audio.types import Seconds


@dataclass(frozen=True, kw_only=True)
class EmbeddedAudio:
    """A recording that lies inside a table, byte by byte as it came."""

    data: bytes
    name: str = ""
    """Its file name, if it had one."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One utterance as its corpus names it; the attributes are those of `Utterance`.

    Attributes:
        where: file and line, for messages.
        id: empty: named after the recording.
        duration: None: to be measured.
    """

    where: str
    audio: Path | EmbeddedAudio
    text: str
    id: str = ""
    start: Seconds = 0.0
    duration: Seconds | None = None
    speaker: str = ""
    language: str = ""
    task: str = ""
    response: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """What stands in a corpus and cannot be used."""

    where: str
    reason: str


Entries = Iterator[Entry | Skipped]


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What a corpus leaves open."""

    split: str = ""
    """Which of several parts, such as `train`."""
    config: str = ""
    """Which variant of a set on the hub."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Our name of a field -> name of the column that holds it, where a table calls it something unusual."""


@dataclass(frozen=True, kw_only=True)
class CorpusFormat:
    """One way in which corpora lie on disk.

    Attributes:
        name: on the command line.
        layout: what it looks like, in a few words.
        matches: whether a path looks like that.
        read: its utterances; raises `DatasetError` where all of it is unusable.
    """

    name: str
    layout: str
    matches: Callable[[Path], bool]
    read: Callable[[Path, ReadOptions], Entries]


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number (from 1) and text of each line that is not blank; `.gz` is unpacked.

    Raises:
        DatasetError: not there, or not UTF-8.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if text := line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n"):
                    yield number, text
    except UnicodeDecodeError:
        raise DatasetError(f"'{path}' is not UTF-8 text; convert it first") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"cannot read '{path}': {getattr(error, 'strerror', None) or error}") from error


def first_line(path: Path) -> str:
    """The first line that is not blank; empty if there is none, or the file is not text."""
    try:
        return next(read_lines(path), (0, ""))[1]
    except DatasetError:
        return ""


def is_audio(path: Path) -> bool:
    """Whether a file is named like a recording."""
    return path.suffix.lower().removeprefix(".") in AUDIO_SUFFIXES


def recordings_by_stem(folder: Path) -> dict[str, Path]:
    """The recordings that lie directly in a folder, by name without ending."""
    return {path.stem: path for path in sorted(folder.iterdir()) if is_audio(path)} if folder.is_dir() else {}


def squeeze(text: str) -> str:
    """The text on one line, with single spaces."""
    return " ".join(text.split())
