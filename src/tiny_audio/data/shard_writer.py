"""Write a corpus as WebDataset tars.

shard-000000.tar     00000000.opus, 00000000.json, 00000001.opus, ...
manifest.jsonl       the same utterances, for all that reads manifests
shards.json          bytes and SHA-256 of each tar; written last, so it stands for a finished work
"""

import io
import json
import tarfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import soundfile

from tiny_audio import atomic
from tiny_audio.audio.timebase import SAMPLE_RATE
from tiny_audio.data.manifest import Utterance, write_manifest
from tiny_audio.data.recordings import load_waveform
from tiny_audio.data.shards import LIST
from tiny_audio.data.tar_members import TAR, open_recording
from tiny_audio.errors import AudioError, OutputError
from tiny_audio.weights.store import hash_file

MANIFEST = "manifest.jsonl"


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """An utterance that is in no shard."""

    id: str
    reason: str


def write_shards(
    utterances: Sequence[Utterance],
    folder: Path,
    *,
    shard_bytes: int,
    progress: Callable[[int], object] = lambda _: None,
) -> list[Unreadable]:
    """Write tars of about `shard_bytes`; returns what had to be left out.

    A recording goes in as it is; of one that holds several utterances, each part as FLAC.

    Args:
        utterances: with ids that are unique.
        folder: made when missing; shards that are there are written anew.
        shard_bytes: size from which the next tar is begun.
        progress: gets the number of utterances that were written or left out.

    Raises:
        OutputError: the folder cannot be written.
    """
    uses = Counter(utterance.audio for utterance in utterances)
    unreadable: list[Unreadable] = []
    members: list[Utterance] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / LIST).unlink(missing_ok=True)
        with _Tars(folder, shard_bytes) as tars:
            for number, utterance in enumerate(utterances):
                try:
                    suffix, data = _recording(utterance, is_alone=uses[utterance.audio] == 1)
                except AudioError as error:
                    unreadable.append(Unreadable(id=utterance.id, reason=str(error)))
                else:
                    audio = tars.add(f"{number:08d}", suffix, data, _description(utterance))
                    members.append(replace(utterance, audio=audio, start=0.0))
                progress(1)
        write_manifest(folder / MANIFEST, members)
        atomic.write_text(folder / LIST, json.dumps({"shards": tars.rows}, indent=1) + "\n")
    except OSError as error:
        raise OutputError(str(folder), error.strerror or str(error)) from None
    return unreadable


class _Tars:
    """Tars of a folder, one after another; each has its name when it is whole."""

    def __init__(self, folder: Path, shard_bytes: int) -> None:
        self._folder, self._shard_bytes = folder, shard_bytes
        self._tar: tarfile.TarFile | None = None
        self.rows: list[dict[str, Any]] = []
        """Of the list, for each finished tar."""

    @property
    def _name(self) -> str:
        return f"shard-{len(self.rows):06d}{TAR}"

    @property
    def _part(self) -> Path:
        return self._folder / f".{self._name}.partial"

    def add(self, key: str, suffix: str, data: bytes, description: dict[str, Any]) -> Path:
        """Where the recording is now."""
        if self._tar is None:
            self._tar = tarfile.open(self._part, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        member = self._folder / self._name / f"{key}{suffix}"
        for name, content in (
            (member.name, data),
            (f"{key}.json", json.dumps(description, ensure_ascii=False).encode()),
        ):
            header = tarfile.TarInfo(name)  # of no owner and no time: the same corpus makes the same bytes
            header.size = len(content)
            self._tar.addfile(header, io.BytesIO(content))
        if self._tar.offset >= self._shard_bytes:
            self._finish()
        return member

    def _finish(self) -> None:
        assert self._tar is not None
        self._tar.close()
        self._tar = None
        path = self._folder / self._name
        self._part.replace(path)
        self.rows.append({"name": path.name, "bytes": path.stat().st_size, "sha256": hash_file(path)})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._tar is not None and error is None:
            self._finish()
        elif self._tar is not None:
            self._tar.close()
            self._part.unlink(missing_ok=True)


def _recording(utterance: Utterance, *, is_alone: bool) -> tuple[str, bytes]:
    """Ending and bytes of the utterance's sound.

    Raises:
        AudioError: it cannot be read.
    """
    waveform = load_waveform(utterance)  # also of what is copied: a shard holds nothing that training would stop at
    if is_alone and not utterance.start:
        source = open_recording(utterance.audio)
        data = source.read_bytes() if isinstance(source, Path) else source.read()
        return utterance.audio.suffix.lower(), data
    file = io.BytesIO()
    soundfile.write(file, waveform, SAMPLE_RATE, format="FLAC")
    return ".flac", file.getvalue()


def _description(utterance: Utterance) -> dict[str, Any]:
    """The utterance without what only its old place knows."""
    old = ("audio", "start", "extra")
    fields = {name: value for name, value in vars(utterance).items() if name not in old and value}
    return {"text": "", **fields, **utterance.extra}
