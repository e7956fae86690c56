"""What to evaluate on: the public test sets on the hub, a manifest, or a folder of audio with texts."""

import hashlib
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiny_audio.data.corpora.corpus import EmbeddedAudio, Entry, ReadOptions, Skipped
from tiny_audio.data.corpora.hub import stream_rows
from tiny_audio.data.corpora.importer import measure_duration, store_audio
from tiny_audio.data.corpora.pairs import PAIRS
from tiny_audio.data.manifest import Utterance, read_manifest, write_manifest
from tiny_audio.errors import AudioError, DatasetError, ManifestError, UnknownNameError
from tiny_audio.types import Seconds
from tiny_audio.weights.store import cache_folder, locked


@dataclass(frozen=True, kw_only=True)
class PublicSet:
    """A set on the hub, and the columns that we read of it."""

    repo: str
    config: str
    split: str
    audio: str = "audio"
    text: str = "text"
    id: str = "id"
    speaker: str = ""


_LEADERBOARD = "hf-audio/open-asr-leaderboard"
PUBLIC_SETS: dict[str, PublicSet] = {
    "loquacious": PublicSet(repo="speechbrain/LoquaciousSet", config="small", split="test", audio="wav", id="ID"),
    "librispeech": PublicSet(repo="openslr/librispeech_asr", config="clean", split="test", speaker="speaker_id"),
    "librispeech-other": PublicSet(repo="openslr/librispeech_asr", config="other", split="test", speaker="speaker_id"),
    "ami": PublicSet(repo="edinburghcstr/ami", config="ihm", split="test", id="audio_id", speaker="speaker_id"),
    "earnings22": PublicSet(
        repo="sanchit-gandhi/earnings22_robust_split", config="default", split="test", text="sentence"
    ),
    "gigaspeech": PublicSet(repo="fixie-ai/gigaspeech", config="dev", split="dev", id="segment_id"),
    "tedlium": PublicSet(repo="sanchit-gandhi/tedlium-data", config="default", split="test", speaker="speaker_id"),
    "voxpopuli": PublicSet(
        repo="facebook/voxpopuli",
        config="en",
        split="test",
        text="normalized_text",
        id="audio_id",
        speaker="speaker_id",
    ),
    "spgispeech": PublicSet(
        repo="kensho/spgispeech", config="test", split="test", text="transcript", id="wav_filename"
    ),
    "common-voice": PublicSet(
        repo="fixie-ai/common_voice_17_0", config="en", split="test", text="sentence", id="path", speaker="client_id"
    ),
    "peoples": PublicSet(repo="fixie-ai/peoples_speech", config="clean", split="test"),
    # The sets as the Open ASR Leaderboard counts them (August 2026).
    "leaderboard-ami": PublicSet(repo=_LEADERBOARD, config="ami_cleaned", split="test"),
    "leaderboard-earnings22": PublicSet(repo=_LEADERBOARD, config="earnings22", split="test"),
    "leaderboard-gigaspeech": PublicSet(repo=_LEADERBOARD, config="gigaspeech_cleaned", split="test"),
    "leaderboard-librispeech": PublicSet(repo=_LEADERBOARD, config="librispeech", split="test.clean"),
    "leaderboard-librispeech-other": PublicSet(repo=_LEADERBOARD, config="librispeech", split="test.other"),
    "leaderboard-spgispeech": PublicSet(repo=_LEADERBOARD, config="spgispeech", split="test"),
    "leaderboard-voxpopuli": PublicSet(repo=_LEADERBOARD, config="voxpopuli_cleaned_aa", split="test"),
}
"""Name on the command line -> where it lies. Some ask for a login on the hub; an id or a speaker may be missing."""

_NOT_TO_BE_SCORED = "ignore time segment in scoring"
"""What TED-LIUM writes as the text of such a stretch."""


@dataclass(frozen=True, kw_only=True)
class EvaluationSet:
    """Utterances to score a system on."""

    name: str
    utterances: list[Utterance]
    public: PublicSet | None = None
    """Where it comes from, if from the hub."""


def open_set(name: str, *, max_samples: int | None = None, seed: int = 42) -> EvaluationSet:
    """The set of that name, or a random part of it that is the same for every system.

    Of a public set no more is fetched than the part: shards and a buffer of rows are shuffled, not the whole set.

    Args:
        name: one of `PUBLIC_SETS`, a manifest, or a folder (see `read_folder`).
        max_samples: size of the part; all of it by default.
        seed: which part.

    Raises:
        DatasetError: the set cannot be had, or holds nothing.
        ManifestError: the manifest cannot be used.
        UnknownNameError: nothing has that name.
    """
    path = Path(name)
    if name in PUBLIC_SETS:
        public = PUBLIC_SETS[name]
        utterances = _fetch_public(name, public, max_samples=max_samples, seed=seed)
        return EvaluationSet(name=name, utterances=utterances, public=public)
    if path.is_dir():
        utterances = read_folder(path)
    elif path.is_file() or path.suffix == ".jsonl":
        utterances = read_manifest(path)
    else:
        raise UnknownNameError("dataset", name, [*PUBLIC_SETS, "MANIFEST.jsonl", "FOLDER"])
    if not utterances:
        raise ManifestError(name, None, "holds no utterances; expected one JSON object a line")
    return EvaluationSet(name=name, utterances=choose(utterances, max_samples, seed))


def choose(utterances: list[Utterance], max_samples: int | None, seed: int) -> list[Utterance]:
    """A random part, in the given order; which ones depends on seed and ids alone, not on the order or the rest."""
    if max_samples is None or max_samples >= len(utterances):
        return utterances
    ranks = {one.id: hashlib.sha256(f"{seed} {one.id}".encode()).digest() for one in utterances}
    chosen = set(sorted(ranks, key=lambda key: ranks[key])[:max_samples])
    return [one for one in utterances if one.id in chosen]


def read_folder(folder: Path) -> list[Utterance]:
    """A folder with one manifest (`*.jsonl`), or with audio files that have their words beside them in `NAME.txt`.

    Raises:
        DatasetError: it holds neither, or a text without audio.
        ManifestError: the manifest cannot be used.
    """
    manifests = sorted(folder.glob("*.jsonl"))
    if len(manifests) == 1:
        return read_manifest(manifests[0])
    if manifests:
        names = ", ".join(path.name for path in manifests)
        raise DatasetError(f"'{folder}' holds several manifests ({names}); name one of them")
    entries = list(PAIRS.read(folder, ReadOptions()))
    if not entries:
        raise DatasetError(f"'{folder}' holds no manifest (*.jsonl) and no audio with texts (a.wav with a.txt)")
    return [_utterance_of(entry) for entry in entries]


def _utterance_of(entry: Entry | Skipped) -> Utterance:
    if isinstance(entry, Skipped):
        raise DatasetError(f"'{entry.where}': {entry.reason}")
    assert isinstance(entry.audio, Path)
    audio = entry.audio.absolute()
    return Utterance(id=entry.id, audio=audio, duration=_duration(audio), text=entry.text)


def _fetch_public(name: str, public: PublicSet, *, max_samples: int | None, seed: int) -> list[Utterance]:
    """The utterances of a set on the hub, kept in the cache, so that each of them is fetched once."""
    part = "all" if max_samples is None else f"{max_samples}-seed{seed}"
    folder = cache_folder() / "datasets" / name / part
    manifest = folder / "manifest.jsonl"
    with locked(folder):
        if not manifest.exists():  # written last, so what it names is complete
            folder.mkdir(exist_ok=True)
            order = None if max_samples is None else seed
            rows = stream_rows(public.repo, config=public.config, split=public.split, audio=public.audio, seed=order)
            write_manifest(manifest, store_rows(itertools.islice(rows, max_samples), public, folder))
    utterances = read_manifest(manifest)
    if not utterances:
        manifest.unlink()
        raise DatasetError(f"'{public.repo}' gave no utterances for split '{public.split}'")
    return utterances


def store_rows(rows: Iterable[dict[str, Any]], public: PublicSet, folder: Path) -> list[Utterance]:
    """Write the audio of each row to `folder`, byte by byte as it came, and return its utterances.

    Raises:
        DatasetError: a row lacks its audio or its text.
    """
    utterances: list[Utterance] = []
    ids: set[str] = set()
    for number, row in enumerate(rows):
        if public.audio not in row or public.text not in row:
            raise DatasetError(
                f"'{public.repo}' has columns {', '.join(row)}; expected '{public.audio}' and '{public.text}'"
            )
        text = str(row[public.text] or "")
        if text.strip().lower() == _NOT_TO_BE_SCORED:
            continue
        audio = row[public.audio]
        name = audio.get("path") or ""
        data = audio["bytes"] if audio.get("bytes") is not None else Path(name).read_bytes()
        path = store_audio(EmbeddedAudio(data=data, name=name), folder, number)
        row_id = str(row.get(public.id) or f"{number:06d}")
        row_id = row_id if row_id not in ids else f"{row_id}-{number:06d}"
        ids.add(row_id)
        speaker = row.get(public.speaker, "") if public.speaker else ""
        utterances.append(Utterance(id=row_id, audio=path, duration=_duration(path), text=text, speaker=str(speaker)))
    return utterances


def _duration(path: Path) -> Seconds:
    """Length of a file; 0 if it cannot be read, which the evaluation will find out and count."""
    try:
        return measure_duration(path)
    except AudioError:
        return 0.0
