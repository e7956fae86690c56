"""Folders of recordings, at any depth, with their words beside them: `a.wav` and `a.txt` or `a.lab`."""

from collections.abc import Iterator
from pathlib import Path

from tiny_audio.data.corpora.corpus import (
    CorpusFormat,
    Entries,
    Entry,
    ReadOptions,
    Skipped,
    is_audio,
    read_lines,
    squeeze,
)

_TEXT_SUFFIXES = (".txt", ".lab")


def _recordings(folder: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Each recording and the texts of its name."""
    for audio in sorted(path for path in folder.rglob("*") if is_audio(path)):
        texts = (audio.with_suffix(suffix) for suffix in _TEXT_SUFFIXES)
        yield audio, [text for text in texts if text.is_file()]


def _read(folder: Path, _: ReadOptions) -> Entries:
    used: set[Path] = set()
    for audio, texts in _recordings(folder):
        if len(texts) != 1 or texts[0] in used:
            found = "two recordings" if texts and texts[0] in used else f"{len(texts)} texts"
            yield Skipped(where=str(audio), reason=f"{found} of its name; expected one recording and one text")
            continue
        used.add(texts[0])
        yield Entry(
            where=str(audio),
            id=audio.relative_to(folder).with_suffix("").as_posix(),
            audio=audio,
            text=squeeze(" ".join(line for _, line in read_lines(texts[0]))),
        )
    for text in sorted(path for path in folder.rglob("*") if path.suffix in _TEXT_SUFFIXES and path not in used):
        if not any(is_audio(path) for path in text.parent.glob(f"{text.stem}.*")):
            yield Skipped(where=str(text), reason="no recording of its name beside it")


PAIRS = CorpusFormat(
    name="pairs",
    layout="folder of a.wav with a.txt",
    matches=lambda path: path.is_dir() and any(texts for _, texts in _recordings(path)),
    read=_read,
)
