"""LJ Speech and corpora made like it: `metadata.csv` with `ID|text|text as it is read`, and `wavs/ID.wav`."""

from pathlib import Path

from tiny_audio.data.corpora.corpus import (
    CorpusFormat,
    Entries,
    Entry,
    ReadOptions,
    Skipped,
    first_line,
    read_lines,
    recordings_by_stem,
    squeeze,
)

_TABLE = "metadata.csv"


def _matches(path: Path) -> bool:
    folder = path if path.is_dir() else path.parent
    return (folder / "wavs").is_dir() and (path == folder or path.name == _TABLE) and "|" in first_line(folder / _TABLE)


def _read(path: Path, _: ReadOptions) -> Entries:
    """The last column is the text; the one before it, where it differs, is kept as `written`."""
    folder = path if path.is_dir() else path.parent
    recordings = recordings_by_stem(folder / "wavs")
    for number, line in read_lines(folder / _TABLE):
        where = f"{folder / _TABLE}:{number}"
        name, *texts = (squeeze(cell) for cell in line.split("|"))
        name = name.removesuffix(".wav")
        if not texts:
            yield Skipped(where=where, reason="no '|'; expected ID|text")
        elif name not in recordings:
            yield Skipped(where=where, reason=f"no recording '{name}' in wavs")
        else:
            extra = {"written": texts[0]} if texts[0] != texts[-1] else {}
            yield Entry(where=where, id=name, audio=recordings[name], text=texts[-1], extra=extra)


LJSPEECH = CorpusFormat(
    name="ljspeech",
    layout="metadata.csv with ID|text and a folder wavs",
    matches=_matches,
    read=_read,
)
