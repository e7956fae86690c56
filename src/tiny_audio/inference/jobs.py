"""From the words of a command line to recordings and output files: folders, globs, lists, manifests, shards."""

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path

from tiny_audio.audio.io import AUDIO_SUFFIXES, STDIN
from tiny_audio.errors import ManifestError, OutputError

_AUDIO_KEYS = ("audio", "audio_filepath")  # ours, and that of NeMo's manifests


@dataclass(frozen=True, kw_only=True)
class Source:
    """One recording to transcribe."""

    audio: str
    """File name as it was given or found, or `-`."""
    relative: Path
    """Where its outputs lie in the output folder, but for the suffix."""

    @property
    def num_bytes(self) -> int:
        """Size of the file; 0 if there is none."""
        try:
            return Path(self.audio).stat().st_size
        except OSError:
            return 0


@dataclass(frozen=True, kw_only=True)
class Job:
    """One recording and what is to be written of it."""

    source: Source
    outputs: dict[str, Path]
    """Format to file; empty for standard output."""

    @property
    def is_done(self) -> bool:
        """Whether all of its outputs are there."""
        return bool(self.outputs) and all(path.exists() for path in self.outputs.values())


def find_sources(words: Sequence[str], *, recursive: bool = False) -> list[Source]:
    """The recordings that the words name, in their order.

    A word is a file, `-`, a folder (its audio files, by suffix and in the order of their names), a glob, `@LIST` (a
    text file with such a word a line), or a manifest `.jsonl` (each recording in it once). A word that leads nowhere
    stays as it is: opening it says why.

    Args:
        words: what was typed.
        recursive: look below folders too.

    Raises:
        ManifestError: a list or manifest cannot be read.
    """
    sources: list[Source] = []
    for word in words:
        path = Path(word)
        if word == STDIN:
            sources.append(Source(audio=STDIN, relative=Path("stdin")))
        elif word.startswith("@") and not path.exists():
            lines = (line.strip() for line in _read_text(Path(word[1:])).splitlines())
            sources += find_sources([line for line in lines if line], recursive=recursive)
        elif path.is_dir():
            sources += _in_folder(path, recursive) or [_file(word)]
        elif path.suffix == ".jsonl" and path.is_file():
            sources += _in_manifest(path)
        elif has_magic(word) and not path.exists():
            found = sorted(glob(word, recursive=True))  # noqa: PTH207 - a Path has no absolute patterns
            sources += find_sources(found, recursive=recursive) if found else [_file(word)]
        else:
            sources.append(_file(word))
    return sources


def plan_jobs(sources: Sequence[Source], directory: Path | None, formats: Sequence[str]) -> list[Job]:
    """One job for each source, with outputs in `directory` that are all different and none of them a source.

    `talk.wav` becomes `talk.txt`, and what was found in a folder keeps its path below it. If another source would have
    the same name, the suffix stays (`talk.wav.txt`), and if that is not enough, a hash of the source's path follows:
    names do not depend on the order, so part of a job can be run again. Letter case makes no difference, as on some
    disks.
    """
    if directory is None:
        return [Job(source=source, outputs={}) for source in sources]
    paths = {str(Path(source.audio).resolve()) for source in sources}
    taken = {path.casefold() for path in paths}
    bare = Counter(_key(source.relative.with_suffix("")) for source in sources)
    full = Counter(_key(source.relative) for source in sources)
    jobs = []
    for source in sources:
        relative = source.relative
        if bare[_key(relative.with_suffix(""))] == 1:
            names = [relative.with_suffix("").name]
        else:
            names = [relative.name] if full[_key(relative)] == 1 else []
        digest = hashlib.sha256(str(Path(source.audio).resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:8]
        # The same file twice has the same hash.
        names += [f"{relative.name}-{digest}", *(f"{relative.name}-{digest}-{n}" for n in range(2, len(sources) + 2))]
        for name in names:
            outputs = {kind: directory / relative.parent / f"{name}.{kind}" for kind in formats}
            keys = {str(path.resolve()).casefold() for path in outputs.values()}
            if not keys & taken:
                break
        taken |= keys
        jobs.append(Job(source=source, outputs=outputs))
    return jobs


def parse_shard(text: str) -> tuple[int, int]:
    """`2/8` is the second of eight parts.

    Raises:
        ValueError: it is something else.
    """
    part, _, num_parts = text.partition("/")
    if not (part.isdecimal() and num_parts.isdecimal() and 1 <= int(part) <= int(num_parts)):
        raise ValueError(f"found '{text}'; expected i/n with i from 1 to n, such as 1/4")
    return int(part), int(num_parts)


def make_output_folder(directory: Path) -> None:
    """Make the folder, or find out now, before the long work, that it cannot be written.

    Raises:
        OutputError: it is something else, or there is no permission.
    """
    if directory.exists() and not directory.is_dir():
        raise OutputError(str(directory), "it is a file; expected a folder")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise OutputError(str(directory), error.strerror or str(error)) from error


def _file(word: str) -> Source:
    return Source(audio=word, relative=Path(Path(word).name or "audio"))


def _in_folder(folder: Path, recursive: bool) -> list[Source]:
    files = folder.rglob("*") if recursive else folder.iterdir()
    return [
        Source(audio=str(path), relative=path.relative_to(folder))
        for path in sorted(files)
        if path.suffix[1:].lower() in AUDIO_SUFFIXES and path.is_file()
    ]


def _in_manifest(manifest: Path) -> list[Source]:
    """Read leniently: of a line only the name of the recording is needed."""
    sources = {}
    for number, line in enumerate(_read_text(manifest).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            name = next(row[key] for key in _AUDIO_KEYS if isinstance(row.get(key), str))
        except (ValueError, AttributeError, StopIteration) as error:
            reason = "expected a JSON object with the name of a recording as 'audio' or 'audio_filepath'"
            raise ManifestError(str(manifest), number, reason) from error
        path = manifest.parent / name
        relative = Path(name) if not Path(name).is_absolute() and ".." not in Path(name).parts else Path(path.name)
        sources[path] = Source(audio=str(path), relative=relative)
    return list(sources.values())


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ManifestError(str(path), None, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ManifestError(str(path), None, "not UTF-8 text") from error


def _key(path: Path) -> str:
    return str(path).casefold()
