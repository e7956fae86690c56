"""Encoder output stored once, so that training a projector never runs the encoder.

A cache is a folder: `features.f16` (frames of all utterances one after another, float16, rows of width D),
`index.jsonl` (a line per utterance, in the order of the frames) and `cache.json` (what made it). It is written
utterance by utterance and can be continued: a line of the index is written after its frames are on disk.

Shapes: T encoder frames, D encoder width.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from tiny_audio.errors import ConfigError, ManifestError
from tiny_audio.types import Seconds

INDEX, FEATURES, META = "index.jsonl", "features.f16", "cache.json"


@dataclass(frozen=True, kw_only=True)
class CachedUtterance:
    """One line of the index."""

    id: str
    first_frame: int
    num_frames: int
    """T."""
    duration: Seconds
    text: str
    speaker: str = ""


class FeatureCacheWriter:
    """Append utterances to a new or unfinished cache; use as a context manager.

    Args:
        folder: made when missing.
        meta: what made the features (encoder name, SHA-256, seed, ...); must equal that of a cache to be continued.
        dim: D.

    Raises:
        ConfigError: the folder holds a cache made with other settings.
    """

    def __init__(self, folder: Path, *, meta: dict[str, object], dim: int) -> None:
        self._dim = dim
        folder.mkdir(parents=True, exist_ok=True)
        meta = {**meta, "dim": dim}
        meta_path = folder / META
        if meta_path.exists():
            found = json.loads(meta_path.read_text(encoding="utf-8"))
            if found != meta:
                raise ConfigError([f"{folder} was made with {found}, not with {meta}; choose another folder"])
        else:
            meta_path.write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")
        index_path = folder / INDEX
        done = _read_index(folder) if index_path.exists() else []
        self.done = {utterance.id for utterance in done}
        self._num_frames = sum(utterance.num_frames for utterance in done)
        # Frames without a line in the index are the rest of an interrupted run.
        with (folder / FEATURES).open("ab") as features:
            features.truncate(self._num_frames * dim * 2)
        index_path.write_text("".join(_index_line(utterance) for utterance in done), encoding="utf-8")
        self._features = (folder / FEATURES).open("ab")
        self._index = index_path.open("a", encoding="utf-8")

    def add(self, features_TD: NDArray[np.float16], *, id: str, duration: Seconds, text: str, speaker: str) -> None:
        """Store one utterance."""
        assert features_TD.dtype == np.float16
        assert features_TD.shape[1] == self._dim
        self._features.write(np.ascontiguousarray(features_TD).tobytes())
        self._features.flush()
        line = CachedUtterance(
            id=id,
            first_frame=self._num_frames,
            num_frames=len(features_TD),
            duration=duration,
            text=text,
            speaker=speaker,
        )
        self._index.write(_index_line(line))
        self._index.flush()
        self.done.add(id)
        self._num_frames += len(features_TD)

    def __enter__(self) -> "FeatureCacheWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._features.close()
        self._index.close()


class FeatureCache(Sequence[CachedUtterance]):
    """A finished cache, read through a memory map.

    Raises:
        ManifestError: the folder is not a cache, or its files do not belong together.
    """

    def __init__(self, folder: Path) -> None:
        for name in (INDEX, FEATURES, META):
            if not (folder / name).is_file():
                raise ManifestError(str(folder), 0, f"no {name}; expected a folder made by `tiny-audio data cache`")
        self.folder = folder
        self.meta = json.loads((folder / META).read_text(encoding="utf-8"))
        self._utterances = _read_index(folder)
        self.dim = int(self.meta["dim"])
        num_frames = sum(utterance.num_frames for utterance in self._utterances)
        found = (folder / FEATURES).stat().st_size
        if found < num_frames * self.dim * 2:
            raise ManifestError(
                str(folder / FEATURES), 0, f"{found} bytes; its index needs {num_frames * self.dim * 2}"
            )
        self._frames_ND = np.memmap(folder / FEATURES, dtype=np.float16, mode="r").reshape(-1, self.dim)

    def __len__(self) -> int:
        return len(self._utterances)

    def __getitem__(self, index: int) -> CachedUtterance:  # type: ignore[override]
        return self._utterances[index]

    def __iter__(self) -> Iterator[CachedUtterance]:
        return iter(self._utterances)

    def features(self, utterance: CachedUtterance) -> NDArray[np.float16]:
        """Encoder frames `(T, D)` of an utterance of this cache, as a view of the file."""
        return self._frames_ND[utterance.first_frame : utterance.first_frame + utterance.num_frames]


def _index_line(utterance: CachedUtterance) -> str:
    return json.dumps(asdict(utterance), ensure_ascii=False) + "\n"


def _read_index(folder: Path) -> list[CachedUtterance]:
    utterances = []
    with (folder / INDEX).open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith("\n"):
                break  # the last line of an interrupted run
            try:
                utterances.append(CachedUtterance(**json.loads(line)))
            except (TypeError, json.JSONDecodeError) as error:
                raise ManifestError(str(folder / INDEX), number, f"not a line of a feature cache: {error}") from error
    return utterances
