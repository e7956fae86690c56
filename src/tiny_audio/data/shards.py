"""Corpora as WebDataset tars: few large files, read in any order, from a disk or a web server."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from glob import glob, has_magic
from pathlib import Path
from urllib.parse import urljoin

from tiny_audio.data.corpora.corpus import ReadOptions, Skipped
from tiny_audio.data.corpora.webdataset import read_tar
from tiny_audio.data.manifest import Utterance, read_manifest
from tiny_audio.data.remote_files import fetch_url, is_url
from tiny_audio.data.tar_members import TAR
from tiny_audio.errors import DatasetError, ManifestError

LIST = "shards.json"
"""What `data.shard_writer` writes beside its tars: bytes and SHA-256 of each."""
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")


def read_source(source: str) -> list[Utterance]:
    """The utterances of a manifest, or of shards: `x.tar`, `x-{000..009}.tar`, `x-*.tar`, or their `shards.json`.

    Shards may have an address (`https://...`) in place of a path; they are fetched into the cache first.

    Raises:
        ManifestError: it cannot be read, or has an utterance without a text or a duration.
        DatasetError: a shard cannot be fetched.
    """
    if not source.endswith((TAR, LIST)):
        if is_url(source):
            raise ManifestError(source, None, f"expected the address of shards, which ends in {TAR} or {LIST}")
        return read_manifest(source)
    utterances = [utterance for tar in local_shards(source) for utterance in _read_shard(tar)]
    if twice := [name for name, count in Counter(one.id for one in utterances).items() if count > 1]:
        raise ManifestError(source, None, f"id '{twice[0]}' occurs twice; expected ids that are unique in all shards")
    return utterances


def local_shards(source: str) -> list[Path]:
    """The tars that a source names, fetched where they are remote.

    Raises:
        ManifestError: there are none, or a tar has another size than the list says.
        DatasetError: a shard cannot be fetched.
    """
    if source.endswith(LIST):
        return list(_listed(source))
    names = _expand(source)
    found = [fetch_url(name) if is_url(name) else Path(name) for name in names]
    if missing := [path for path in found if not path.is_file()]:
        raise ManifestError(str(missing[0]), None, "no such file; expected a shard")
    return found


def _listed(source: str) -> Iterator[Path]:
    listing = fetch_url(source) if is_url(source) else Path(source)
    try:
        shards = json.loads(listing.read_text(encoding="utf-8"))["shards"]
        rows = [(Path(row["name"]).name, int(row["bytes"]), str(row["sha256"])) for row in shards]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ManifestError(source, None, f"not a list of `tiny-audio data shard`: {error}") from None
    for name, size, sha256 in rows:
        if is_url(source):
            yield fetch_url(urljoin(source, name), size=size, sha256=sha256)
            continue
        path = listing.parent / name
        if not path.is_file() or path.stat().st_size != size:
            found = f"{path.stat().st_size} bytes" if path.is_file() else "nothing"
            raise ManifestError(str(path), None, f"found {found}, expected {size} bytes; copy it again")
        yield path


def _expand(source: str) -> list[str]:
    """`{000..009}` written out, and the files of a glob."""
    if found := _BRACES.search(source):
        first, last = found[1], found[2]
        numbers = (f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1))
        return [
            name for number in numbers for name in _expand(f"{source[: found.start()]}{number}{source[found.end() :]}")
        ]
    if is_url(source) or not has_magic(source):
        return [source]
    if names := sorted(glob(source)):  # noqa: PTH207 - a Path has no absolute patterns
        return names
    raise ManifestError(source, None, "no shard has such a name")


def _read_shard(tar: Path) -> Iterator[Utterance]:
    try:
        for entry in read_tar(tar, ReadOptions()):
            problem = entry.reason if isinstance(entry, Skipped) else "no duration" if entry.duration is None else ""
            if problem or isinstance(entry, Skipped):
                hint = "`tiny-audio data import webdataset` makes a manifest of what can be used"
                raise ManifestError(entry.where, None, f"{problem}; {hint}")
            fields = {name: value for name, value in vars(entry).items() if name != "where"}
            yield Utterance(**fields)
    except DatasetError as error:
        raise ManifestError(str(tar), None, str(error)) from None
