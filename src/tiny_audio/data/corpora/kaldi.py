"""Kaldi data folders: `wav.scp` and `text`, with `segments`, `utt2spk` and `utt2lang` where there are some."""

from pathlib import Path

from tiny_audio.data.corpora.corpus import CorpusFormat, Entries, Entry, ReadOptions, Skipped, read_lines, squeeze
from tiny_audio.errors import DatasetError


def _read(folder: Path, _: ReadOptions) -> Entries:
    recordings = {name: _recording(folder, value) for name, value in _table(folder / "wav.scp").items()}
    texts = _table(folder / "text")
    speakers = _table(folder / "utt2spk", optional=True)
    languages = _table(folder / "utt2lang", optional=True)
    # Without segments, each recording is one utterance.
    segments = _table(folder / "segments", optional=True) or {name: name for name in recordings}
    for name in texts.keys() - segments.keys():
        yield Skipped(where=f"{folder}: {name}", reason="no recording of that name")
    for name, segment in segments.items():
        where = f"{folder}: {name}"
        recording, *times = segment.split()
        if name not in texts:
            yield Skipped(where=where, reason="no line in text")
            continue
        if recording not in recordings:
            yield Skipped(where=where, reason=f"recording '{recording}' is not in wav.scp")
            continue
        try:
            start, end = map(float, times[:2]) if times else (0.0, -1.0)
        except ValueError:
            yield Skipped(where=where, reason=f"times are '{' '.join(times)}'; expected start and end in seconds")
            continue
        if end >= 0 and end <= start:
            yield Skipped(where=where, reason=f"it ends at {end:g} s, before its start at {start:g} s")
            continue
        yield Entry(
            where=where,
            id=name,
            audio=recordings[recording],
            start=start,
            duration=end - start if end >= 0 else None,  # -1: to the end of the recording
            text=squeeze(texts[name]),
            speaker=speakers.get(name, ""),
            language=languages.get(name, ""),
        )


def _table(path: Path, *, optional: bool = False) -> dict[str, str]:
    """The first word of each line -> the rest of it."""
    if optional and not path.is_file():
        return {}
    words = (line.split(maxsplit=1) for _, line in read_lines(path))
    return {key: "".join(rest).strip() for key, *rest in (word for word in words if word)}


def _recording(folder: Path, value: str) -> Path:
    if value.endswith("|"):
        raise DatasetError(
            f"'{folder / 'wav.scp'}' holds a command ('{value[:60]}'); expected the path of a file: commands are never "
            "run, so write their output to files first"
        )
    path = folder / value
    # Kaldi's own rule: relative to where one stands.
    return path if path.exists() or not Path(value).exists() else Path(value)


KALDI = CorpusFormat(
    name="kaldi",
    layout="folder with wav.scp and text",
    matches=lambda path: (path / "wav.scp").is_file() and (path / "text").is_file(),
    read=_read,
)
