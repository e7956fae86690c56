"""Datasets on the hub, streamed through the package `datasets`; the audio comes as bytes, which we decode ourselves."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tiny_audio.data.corpora.columns import entry_of, find_columns
from tiny_audio.data.corpora.corpus import CorpusFormat, Entries, ReadOptions
from tiny_audio.errors import DatasetError, MissingExtraError

PREFIX = "hf:"
_SHUFFLE_BUFFER = 1000


def stream_rows(
    repo: str, *, config: str | None, split: str, audio: str | None = None, seed: int | None = None
) -> Iterator[dict[str, Any]]:
    """The rows of a set as they come from the hub, audio undecoded.

    Args:
        repo: id of the dataset on the hub.
        config: which variant of it, if it has several.
        split: which part.
        audio: column of the recordings; found by its type if it is not given.
        seed: of an order in which shards and a buffer of rows are shuffled; as they lie by default.

    Raises:
        MissingExtraError: the package is not installed.
        DatasetError: the set cannot be fetched.
    """
    try:
        hub = importlib.import_module("datasets")
    except ImportError:
        raise MissingExtraError("datasets", "data") from None
    try:
        rows = hub.load_dataset(repo, config, split=split, streaming=True)
        features = {} if audio else (rows.features or {}).items()
        for column in [audio] if audio else [name for name, kind in features if isinstance(kind, hub.Audio)]:
            rows = rows.cast_column(column, hub.Audio(decode=False))
        if seed is not None:
            rows = rows.shuffle(seed=seed, buffer_size=_SHUFFLE_BUFFER)
        yield from rows
    except Exception as error:  # the package passes on whatever its many layers raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DatasetError(
            f"cannot fetch '{repo}' from the hub: {reason}. Is there a network, and a login if it asks for one? "
            "A manifest or a folder of your own works without"
        ) from error


def _read(path: Path, options: ReadOptions) -> Entries:
    repo = path.as_posix().removeprefix(PREFIX)
    columns: dict[str, str] = {}
    split = options.split or "train"
    for number, row in enumerate(stream_rows(repo, config=options.config or None, split=split), start=1):
        columns = columns or find_columns(row, options.columns, where=f"'{repo}'")
        yield entry_of(row, columns, folder=Path(), where=f"{repo} {split}: row {number}")


HUB = CorpusFormat(
    name="hub",
    layout="hf:OWNER/NAME",
    matches=lambda path: path.as_posix().startswith(PREFIX),
    read=_read,
)
