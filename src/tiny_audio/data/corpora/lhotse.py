"""Lhotse cuts (`cuts.jsonl`, `cuts.jsonl.gz`): each supervision of a cut is an utterance of its recording."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tiny_audio.data.corpora.corpus import (
    CorpusFormat,
    Entries,
    Entry,
    ReadOptions,
    Skipped,
    first_line,
    read_lines,
    squeeze,
)


def _matches(path: Path) -> bool:
    if not path.is_file() or ".jsonl" not in path.suffixes:
        return False
    try:
        row = json.loads(first_line(path))
    except ValueError:
        return False
    return isinstance(row, dict) and ("supervisions" in row or str(row.get("type", "")).endswith("Cut"))


def _read(path: Path, _: ReadOptions) -> Entries:
    for number, line in read_lines(path):
        where = f"{path}:{number}"
        try:
            yield from _utterances(json.loads(line), folder=path.parent, where=where)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            yield Skipped(where=where, reason=f"not a cut of one recording: {type(error).__name__}: {error}")


def _utterances(cut: dict[str, Any], *, folder: Path, where: str) -> Entries:
    recording = cut.get("recording")
    if recording is None:
        kind = cut.get("type", "cut without a recording")
        yield Skipped(where=where, reason=f"{kind}; expected a MonoCut with its recording: save it as audio first")
        return
    source = recording["sources"][0]
    if len(recording["sources"]) != 1 or source["type"] != "file" or recording.get("transforms"):
        yield Skipped(where=where, reason="its audio is not one file as it is; save the cuts as audio first")
        return
    if len(source["channels"]) > 1:
        yield Skipped(where=where, reason=f"channel {cut.get('channel')} of several; save each as mono first")
        return
    audio = folder / source["source"]
    if not audio.exists() and Path(source["source"]).exists():  # Lhotse's own rule: relative to where one stands
        audio = Path(source["source"])
    spoken = cut.get("supervisions") or [{"start": 0.0, "duration": cut["duration"]}]
    for supervision in spoken:
        extra = {"gender": supervision.get("gender")} | (supervision.get("custom") or {}) | (cut.get("custom") or {})
        yield Entry(
            where=where,
            id=str(supervision.get("id") or cut["id"]),
            audio=audio,
            start=float(cut["start"]) + float(supervision["start"]),
            duration=float(supervision["duration"]),
            text=squeeze(supervision.get("text") or ""),
            speaker=supervision.get("speaker") or "",
            language=supervision.get("language") or "",
            extra=_plain(extra),
        )


def _plain(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is empty, and without the manifests of arrays that Lhotse keeps beside the audio."""
    return {name: value for name, value in extra.items() if value is not None and not isinstance(value, Mapping)}


LHOTSE = CorpusFormat(
    name="lhotse",
    layout="cuts.jsonl or .jsonl.gz of Lhotse",
    matches=_matches,
    read=_read,
)
