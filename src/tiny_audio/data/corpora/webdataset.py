"""WebDataset: tars in which `key.flac` and `key.json` (or `key.txt`) stand side by side; the audio stays in the tar."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tiny_audio.data.corpora.columns import COLUMNS, entry_of, find_columns
from tiny_audio.data.corpora.corpus import CorpusFormat, Entries, Entry, ReadOptions, Skipped, is_audio
from tiny_audio.data.tar_members import TAR, Member, read_member, tar_index
from tiny_audio.errors import DatasetError

_TEXTS = {".txt", ".lab"}


def read_tar(tar: Path, options: ReadOptions) -> Entries:
    """The utterances of one tar, in its order."""
    groups: dict[str, dict[str, Member]] = {}
    for name, member in tar_index(tar).items():
        # By the format's own rule a key ends at the first dot of the file name.
        folder, _, file = name.rpartition("/")
        key, _, ending = file.partition(".")
        groups.setdefault(f"{folder}/{key}".lstrip("/"), {})[f".{ending}"] = member
    for key, files in groups.items():
        yield _entry(tar, key, files, options)


def _entry(tar: Path, key: str, files: Mapping[str, Member], options: ReadOptions) -> Entry | Skipped:
    where = f"{tar}: {key}"
    recordings = [ending for ending in files if is_audio(Path(f"a{ending}"))]
    if len(recordings) != 1:
        return Skipped(where=where, reason=f"{len(recordings)} recordings of this key; expected one")
    row: dict[str, Any] = {}
    try:
        if ".json" in files:
            row |= json.loads(read_member(tar, files[".json"]))
        for ending in files.keys() & _TEXTS:
            row["text"] = read_member(tar, files[ending]).decode()
    except (ValueError, TypeError) as error:
        return Skipped(where=where, reason=f"its JSON or text cannot be read: {error}")
    # Where the recording was, and began, before it came here.
    known = {name for column in ("audio", "start") for name in COLUMNS[column]}
    row = {name: value for name, value in row.items() if name.lower() not in known} | {"audio": key + recordings[0]}
    if not any(name.lower() in COLUMNS["id"] for name in row):
        row["id"] = key
    try:
        columns = find_columns(row, options.columns, where=where)
    except DatasetError as error:
        return Skipped(where=where, reason=str(error))
    return entry_of(row, columns, folder=tar, where=where)


def _tars(path: Path) -> list[Path]:
    return sorted(path.glob(f"*{TAR}")) if path.is_dir() else [path] if path.suffix == TAR and path.is_file() else []


def _read(path: Path, options: ReadOptions) -> Entries:
    for tar in _tars(path):
        yield from read_tar(tar, options)


WEBDATASET = CorpusFormat(
    name="webdataset",
    layout=".tar of key.flac and key.json, or a folder of them",
    matches=lambda path: bool(_tars(path)),
    read=_read,
)
