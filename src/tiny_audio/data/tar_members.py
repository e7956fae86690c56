"""Recordings inside uncompressed tars, read in any order by their place in the tar.

A member is named like a file below its tar: `corpus/shard-000003.tar/a-17.opus`. Nothing is ever unpacked, so no name
in a tar leads anywhere.
"""

import io
import tarfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

from tiny_audio.errors import AudioError, DatasetError

TAR = ".tar"


class Member(NamedTuple):
    """Where a file lies in its tar."""

    offset: int
    size: int


class _NamedBytes(io.BytesIO):
    """Bytes with a name for messages."""

    def __init__(self, data: bytes, name: str) -> None:
        super().__init__(data)
        self.name = name


def split_member(path: Path) -> tuple[Path, str] | None:
    """The tar and the member's name in it, if the path leads into a tar."""
    for parent in path.parents:
        if parent.suffix == TAR and parent.is_file():
            return parent, path.relative_to(parent).as_posix()
    return None


def open_recording(path: Path) -> Path | BinaryIO:
    """The recording itself, or the bytes of one that lies in a tar.

    Raises:
        AudioError: the tar has no such member, or cannot be read.
    """
    if (found := split_member(path)) is None:
        return path
    tar, name = found
    try:
        member = tar_index(tar).get(name)
    except DatasetError as error:
        raise AudioError(str(error)) from None
    if member is None:
        raise AudioError(f"'{tar}' has no member '{name}'")
    return _NamedBytes(read_member(tar, member), str(path))


def read_member(tar: Path, member: Member) -> bytes:
    """Its bytes."""
    with tar.open("rb") as file:
        file.seek(member.offset)
        return file.read(member.size)


def tar_index(tar: Path) -> Mapping[str, Member]:
    """The files of a tar by name, in their order; the headers are read once, and again if the tar has changed.

    Raises:
        DatasetError: it cannot be read, ends early, or is compressed.
    """
    try:
        state = tar.stat()
    except OSError as error:
        raise DatasetError(f"cannot read '{tar}': {error.strerror}") from None
    return _read_index(tar, state.st_size, state.st_mtime_ns)


@cache
def _read_index(tar: Path, _size: int, _mtime_ns: int) -> Mapping[str, Member]:
    try:
        with tarfile.open(tar, "r:") as archive:
            members = {item.name: Member(item.offset_data, item.size) for item in archive if item.isfile()}
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DatasetError(f"cannot read '{tar}': {error}; expected a tar that is not compressed") from None
    for name, member in members.items():
        if member.offset + member.size > _size:
            raise DatasetError(f"'{tar}' ends inside its member '{name}'; copy or download it again")
    return members
