"""LibriSpeech: `SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt` with one `ID WORDS` a line, and `ID.flac` beside it."""

from pathlib import Path

from tiny_audio.data.corpora.corpus import (
    CorpusFormat,
    Entries,
    Entry,
    ReadOptions,
    Skipped,
    read_lines,
    recordings_by_stem,
)

_PATTERN = "*.trans.txt"


def _read(folder: Path, _: ReadOptions) -> Entries:
    for path in sorted(folder.rglob(_PATTERN)):
        recordings = recordings_by_stem(path.parent)
        for number, line in read_lines(path):
            where = f"{path}:{number}"
            name, *words = line.split()
            if name not in recordings:
                yield Skipped(where=where, reason=f"no recording '{name}' beside it")
                continue
            speaker = name.partition("-")[0]
            yield Entry(where=where, id=name, audio=recordings[name], text=" ".join(words), speaker=speaker)


LIBRISPEECH = CorpusFormat(
    name="librispeech",
    layout="folders with *.trans.txt and .flac",
    matches=lambda path: path.is_dir() and next(path.rglob(_PATTERN), None) is not None,
    read=_read,
)
