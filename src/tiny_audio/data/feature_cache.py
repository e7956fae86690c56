"""Encoder output stored once, so that training a projector never runs the encoder.

A cache is a folder:

    features-00000.f16, ...   frames of utterances one after another, float16, rows of width D; about 1 GB a file
    index.jsonl               a line for each utterance, one for each file that is full, and a last one at the end
    cache.json                what made it

It is written utterance by utterance and can be continued: a line of the index is written after its frames are on disk.
Several processes fill one folder together, each of them its own part (`index-2-of-4.jsonl`, `features-2-of-4-...`).

Shapes: T encoder frames, D encoder width.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from tiny_audio import atomic
from tiny_audio.errors import ConfigError, ManifestError
from tiny_audio.types import Seconds
from tiny_audio.weights.store import hash_file

META = "cache.json"
FILE_BYTES = 1 << 30
"""A file that has reached this size is sealed, and the next one begun."""
_FIRST_VERSION_FILE = "features.f16"
"""Of caches made when there was one file, without a seal."""
_COMPLETE = {"complete": True}


@dataclass(frozen=True, kw_only=True)
class CachedUtterance:
    """One line of the index."""

    id: str
    first_frame: int
    """In its file."""
    num_frames: int
    """T."""
    duration: Seconds
    text: str
    speaker: str = ""
    file: str = _FIRST_VERSION_FILE
    task: str = ""
    """What is asked about it; empty for a transcript."""
    response: str = ""
    """The right answer to that, where it is not the text."""


@dataclass(frozen=True, kw_only=True)
class _Seal:
    """A line of the index that says: nothing is added to this file any more."""

    file: str
    bytes: int
    sha256: str


@dataclass(kw_only=True)
class _Index:
    """What an index file says."""

    utterances: list[CachedUtterance] = field(default_factory=list)
    seals: dict[str, _Seal] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    """As they stand in the file, without the last one of a complete index."""
    is_complete: bool = False


class FeatureCacheWriter:
    """Append utterances to a new or unfinished cache; use as a context manager.

    Attributes:
        done: ids that the cache holds already, in any of its parts.

    Args:
        folder: made when missing.
        meta: what made the features (encoder name, SHA-256, seed, ...); must equal that of a cache to be continued.
        dim: D.
        part: number of this part, from 1, and how many there are.
        file_bytes: size from which a file is sealed.

    Raises:
        ConfigError: the folder holds a cache made with other settings, or another process writes this part.
    """

    def __init__(
        self,
        folder: Path,
        *,
        meta: Mapping[str, object],
        dim: int,
        part: tuple[int, int] = (1, 1),
        file_bytes: int = FILE_BYTES,
    ) -> None:
        self._folder, self._dim, self._file_bytes = folder, dim, file_bytes
        self._suffix = "" if part == (1, 1) else f"-{part[0]}-of-{part[1]}"
        self._index_path = folder / f"index{self._suffix}.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / f".index{self._suffix}.lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise ConfigError([f"another process writes {self._index_path}; give it another --shard"]) from None
        self._check_meta({**meta, "dim": dim})
        index = _read_index(self._index_path) if self._index_path.exists() else _Index()
        # Half a line is the rest of an interrupted run.
        atomic.write_text(self._index_path, "".join(index.lines))
        self._index = self._index_path.open("a", encoding="utf-8", newline="\n")
        self.done = {item.id for path in _index_paths(folder) for item in _read_index(path).utterances}
        self._num_files = len({item.file for item in index.utterances})
        self._file: BinaryIO | None = None
        if index.utterances and (last := index.utterances[-1]).file not in index.seals:
            self._open(last.file, last.first_frame + last.num_frames)
            self._seal_if_full()

    def add(
        self,
        features_TD: NDArray[np.float16],
        *,
        id: str,
        duration: Seconds,
        text: str,
        speaker: str,
        task: str = "",
        response: str = "",
    ) -> None:
        """Store one utterance."""
        assert features_TD.dtype == np.float16
        assert features_TD.shape[1] == self._dim
        if self._file is None:
            self._num_files += 1
            self._open(f"features{self._suffix}-{self._num_files - 1:05d}.f16", 0)
        assert self._file is not None
        data = np.ascontiguousarray(features_TD).tobytes()
        self._file.write(data)
        self._file.flush()
        self._digest.update(data)
        utterance = CachedUtterance(
            id=id,
            first_frame=self._num_frames,
            num_frames=len(features_TD),
            duration=duration,
            text=text,
            speaker=speaker,
            file=self._name,
            task=task,
            response=response,
        )
        self._write_line(asdict(utterance))
        self.done.add(id)
        self._num_frames += len(features_TD)
        self._seal_if_full()

    def _check_meta(self, meta: dict[str, object]) -> None:
        path = self._folder / META
        if not path.exists():
            atomic.write_text(path, json.dumps(meta, indent=1) + "\n")
        found = json.loads(path.read_text(encoding="utf-8"))
        if found != meta:
            raise ConfigError([f"{self._folder} was made with {found}, not with {meta}; choose another folder"])

    def _open(self, name: str, num_frames: int) -> None:
        """Continue a file behind its first frames; more of them have no line in the index."""
        self._name, self._num_frames = name, num_frames
        path = self._folder / name
        self._file = path.open("ab")
        self._file.truncate(num_frames * self._dim * 2)
        with path.open("rb") as file:
            self._digest = hashlib.file_digest(file, "sha256")

    def _seal_if_full(self) -> None:
        if self._num_frames * self._dim * 2 >= self._file_bytes:
            self._seal()

    def _seal(self) -> None:
        assert self._file is not None
        os.fsync(self._file.fileno())
        self._file.close()
        self._file = None
        num_bytes = self._num_frames * self._dim * 2
        self._write_line(asdict(_Seal(file=self._name, bytes=num_bytes, sha256=self._digest.hexdigest())))

    def _write_line(self, row: Mapping[str, object]) -> None:
        self._index.write(json.dumps(row, ensure_ascii=False) + "\n")
        self._index.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            if self._file is not None:
                self._seal()
            self._write_line(_COMPLETE)
        elif self._file is not None:
            self._file.close()
        self._index.close()
        self._lock.release()


class FeatureCache(Sequence[CachedUtterance]):
    """A finished cache, read through memory maps.

    Raises:
        ManifestError: the folder is not a cache, not finished, or its files do not belong together.
    """

    def __init__(self, folder: Path) -> None:
        paths = _index_paths(folder)
        if not paths or not (folder / META).is_file():
            missing = META if paths else "index.jsonl"
            raise ManifestError(str(folder), None, f"no {missing}; expected a folder made by `tiny-audio data cache`")
        self.folder = folder
        self.meta = json.loads((folder / META).read_text(encoding="utf-8"))
        self.dim = int(self.meta["dim"])
        indices = {path: _read_index(path) for path in paths}
        self._utterances = [utterance for index in indices.values() for utterance in index.utterances]
        self._seals = {name: seal for index in indices.values() for name, seal in index.seals.items()}
        self._maps: dict[str, NDArray[np.float16]] = {}
        self._check_complete(indices)
        self._check_sizes()

    def __reduce__(self) -> tuple[type["FeatureCache"], tuple[Path]]:
        return FeatureCache, (self.folder,)  # a worker opens it again: copies of memory maps would be whole

    def __len__(self) -> int:
        return len(self._utterances)

    def __getitem__(self, index: int) -> CachedUtterance:  # type: ignore[override]
        return self._utterances[index]

    def __iter__(self) -> Iterator[CachedUtterance]:
        return iter(self._utterances)

    def features(self, utterance: CachedUtterance) -> NDArray[np.float16]:
        """Encoder frames `(T, D)` of an utterance of this cache, as a view of the file."""
        if utterance.file not in self._maps:
            frames_ND = np.memmap(self.folder / utterance.file, dtype=np.float16, mode="r")
            self._maps[utterance.file] = frames_ND.reshape(-1, self.dim)
        return self._maps[utterance.file][utterance.first_frame : utterance.first_frame + utterance.num_frames]

    def verify(self) -> list[str]:
        """Read every file again; the names of those that nothing is known of, since an older version made them.

        Raises:
            ManifestError: a file holds other bytes than were written.
        """
        for name, seal in self._seals.items():
            if (found := hash_file(self.folder / name)) != seal.sha256:
                reason = f"found SHA-256 {found}, expected {seal.sha256}; delete the cache and make it again"
                raise ManifestError(str(self.folder / name), None, reason)
        return sorted({utterance.file for utterance in self._utterances} - self._seals.keys())

    def _check_complete(self, indices: Mapping[Path, _Index]) -> None:
        """A cache is whole where all parts of one division are; an index of the first version says nothing of it."""
        complete = {
            _part(path)
            for path, index in indices.items()
            if index.is_complete or {utterance.file for utterance in index.utterances} == {_FIRST_VERSION_FILE}
        }
        counts = {count for _, count in map(_part, indices)}
        if not any(complete >= {(number, count) for number in range(1, count + 1)} for count in counts):
            have = ", ".join(f"{number} of {count}" for number, count in sorted(complete)) or "none"
            reason = f"not finished (complete parts: {have}); the same `tiny-audio data cache` again continues it"
            raise ManifestError(str(self.folder), None, reason)

    def _check_sizes(self) -> None:
        needed = {item.file: (item.first_frame + item.num_frames) * self.dim * 2 for item in self._utterances}
        for name, size in needed.items():
            path = self.folder / name
            found = path.stat().st_size if path.is_file() else 0
            expected = self._seals[name].bytes if name in self._seals else size
            if found < expected or (name in self._seals and found != expected):
                raise ManifestError(str(path), None, f"{found} bytes; its index needs {expected}")


def _index_paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("index*.jsonl"), key=_part)


def _part(path: Path) -> tuple[int, int]:
    """Number of a part, from 1, and how many there are."""
    found = re.fullmatch(r"index-(\d+)-of-(\d+)", path.stem)
    return (int(found[1]), int(found[2])) if found else (1, 1)


def _read_index(path: Path) -> _Index:
    index = _Index()
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith("\n"):
                break
            try:
                row = json.loads(line)
                if row == _COMPLETE:
                    index.is_complete = True
                    break
                if "sha256" in row:
                    index.seals[row["file"]] = _Seal(**row)
                else:
                    index.utterances.append(CachedUtterance(**row))
            except (TypeError, KeyError, json.JSONDecodeError) as error:
                raise ManifestError(str(path), number, f"not a line of a feature cache: {error}") from error
            index.lines.append(line)
    return index
