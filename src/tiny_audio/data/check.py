"""What is wrong in manifests and their recordings, before anything is trained or measured on them."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from tiny_audio.audio.io import MIN_DURATION
from tiny_audio.audio.timebase import MAX_CHUNK
from tiny_audio.data.audio_facts import AudioFacts, measure
from tiny_audio.data.manifest import Utterance, scan_manifest
from tiny_audio.data.odd_characters import odd_characters
from tiny_audio.errors import ManifestError, UnitsError
from tiny_audio.text.normalizers import get_normalizer
from tiny_audio.types import Seconds

Kind = Literal[
    "line", "unreadable", "duration", "silent", "clipped", "characters", "infeasible", "rate", "same-audio",
    "test-speaker", "test-text", "test-audio", "no-text", "same-text", "long",
]  # fmt: skip
PROBLEMS: dict[Kind, str] = {
    "line": "no utterance in the line",
    "unreadable": "audio missing, empty, damaged or shorter than 0.1 s",
    "duration": "another duration than the recording's",
    "silent": "words, but nothing to hear",
    "clipped": "overdriven, the peaks are cut off",
    "characters": "characters or markup that nobody says",
    "infeasible": "more text than CTC can align to the audio",
    "rate": "far more or far less text a second than the others",
    "same-audio": "the very sound of another utterance",
    "test-speaker": "in train, with a speaker of test",
    "test-text": "in train, with a text of test",
    "test-audio": "in train, with the sound of one in test",
}
"""What should be mended or left out."""
NOTES: dict[Kind, str] = {
    "no-text": "sound without a text: not labelled, or not speech",
    "same-text": "the text of another utterance",
    "long": f"longer than {MAX_CHUNK:.0f} s, the most that a Whisper encoder takes",
}
"""What may well be meant."""

_DURATION_TOLERANCE: Seconds = 0.1  # rounded figures, and decoders that differ by some milliseconds
_CLIPPED_SHARE = 5e-4  # of all samples: 8 ms in 16 s can be heard
_RATE_DEVIATIONS = 5.0  # robust standard deviations of log(characters a second),
_RATE_FACTOR = 2.5  # and by this factor away from the median
_MIN_RATES = 20  # fewer utterances have no usual rate


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing about one line of a manifest."""

    manifest: str
    id: str
    """Of the utterance; `line 3` where there is none."""
    kind: Kind
    detail: str
    audio: str = ""
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Feasibility:
    """CTC frames that a duration has and that a text needs; `needed` may raise `UnitsError`."""

    available: Callable[[Seconds], int]
    needed: Callable[[str], int]
    speed: float = 1.0
    """Fastest that the audio is played in training."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A manifest to check, with the lines that are no utterances."""

    path: Path
    utterances: Sequence[Utterance]
    bad_lines: Mapping[int, str]
    role: Literal["", "train", "test"] = ""

    @classmethod
    def read(cls, path: Path, role: Literal["", "train", "test"] = "") -> "Part":
        """Read a manifest, going on behind a bad line.

        Raises:
            ManifestError: no such file.
        """
        rows = list(scan_manifest(path))
        return cls(
            path=path,
            role=role,
            utterances=[row for _, row in rows if isinstance(row, Utterance)],
            bad_lines={number: str(row) for number, row in rows if isinstance(row, ManifestError)},
        )


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """All findings, and what is left without them."""

    num_utterances: int
    duration: Seconds
    """Of all that can be read."""
    findings: Sequence[Finding]
    clean: Mapping[Path, Sequence[Utterance]]
    """Utterances of each manifest without problems; those with a wrong duration and no other have the right one."""

    @property
    def problems(self) -> list[Finding]:
        """The findings that are no notes."""
        return [finding for finding in self.findings if finding.kind in PROBLEMS]


def check(
    parts: Sequence[Part],
    *,
    feasibility: Feasibility | None = None,
    ignore: Collection[str] = (),
    workers: int = 1,
    progress: Callable[[int], object] = lambda _: None,
) -> CheckReport:
    """Look at every line and listen to every recording.

    Args:
        parts: manifests; where some are `train` and others `test`, what both have is a problem of `train`.
        feasibility: whether a text fits its audio; not looked at without.
        ignore: kinds of findings that do not count here.
        workers: processes that listen.
        progress: called with the number of utterances heard since the last call.
    """
    pairs = [(part, utterance) for part in parts for utterance in part.utterances]
    facts = measure([utterance for _, utterance in pairs], workers=workers, progress=progress)
    rows = [_Row(part, utterance, fact) for (part, utterance), fact in zip(pairs, facts, strict=True)]
    num_uses = Counter(row.utterance.audio for row in rows)
    identities = [_identity(row) for row in rows]
    others = _unusual_rates(rows), _twins(rows, identities), _leaks(rows, identities)
    findings = [
        Finding(manifest=str(part.path), id=f"line {number}", kind="line", detail=reason)
        for part in parts
        for number, reason in part.bad_lines.items()
        if "line" not in ignore
    ]
    clean: dict[Path, list[Utterance]] = {part.path: [] for part in parts}
    for index, row in enumerate(rows):
        found: _Found = dict(_of_audio(row, is_alone=num_uses[row.utterance.audio] == 1))
        found |= dict(_of_text(row, feasibility))
        for other in others:
            found |= other.get(index, {})
        found = {kind: detail for kind, detail in found.items() if kind not in ignore}
        utterance = row.utterance
        problems = found.keys() & PROBLEMS.keys()
        rest = row.fact.recording - utterance.start
        if problems == {"duration"} and rest >= MIN_DURATION:
            clean[row.part.path].append(replace(utterance, duration=round(rest, 4)))
        elif not problems:
            clean[row.part.path].append(utterance)
        about = {"manifest": str(row.part.path), "audio": str(utterance.audio), "text": utterance.text}
        findings += [Finding(**about, id=utterance.id, kind=kind, detail=detail) for kind, detail in found.items()]
    duration = sum(fact.duration for fact in facts)
    return CheckReport(num_utterances=len(rows), duration=duration, findings=findings, clean=clean)


class _Row(NamedTuple):
    part: Part
    utterance: Utterance
    fact: AudioFacts


_Found = dict[Kind, str]
"""What was found about one row, with details."""


def _of_audio(row: _Row, *, is_alone: bool) -> Iterator[tuple[Kind, str]]:
    """Problems of the sound; the only utterance of one, from its start, should be all of it."""
    _, utterance, fact = row
    if fact.problem:
        yield "duration" if fact.recording else "unreadable", fact.problem
        return
    rest = fact.recording - utterance.start
    tolerance = _DURATION_TOLERANCE + 0.01 * rest
    is_whole = is_alone and utterance.start == 0
    if utterance.duration > rest + tolerance or (is_whole and utterance.duration < rest - tolerance):
        yield "duration", f"{utterance.duration:.2f} s, but the recording has {rest:.2f} s"
    if fact.is_silent and utterance.text.strip():
        yield "silent", f"{fact.duration:.2f} s without a sound"
    if fact.clipped_share > _CLIPPED_SHARE:
        yield "clipped", f"{fact.clipped_share:.2%} of the samples"
    if fact.duration > MAX_CHUNK:
        yield "long", f"{fact.duration:.1f} s"


def _of_text(row: _Row, feasibility: Feasibility | None) -> Iterator[tuple[Kind, str]]:
    _, utterance, fact = row
    if not utterance.text.strip():
        if not (fact.problem or fact.is_silent):
            yield "no-text", f"{fact.duration:.2f} s of sound"
        return
    odd = odd_characters(utterance.text)
    if feasibility is not None and not fact.problem:
        try:
            needed = feasibility.needed(utterance.text)
        except UnitsError as error:
            odd.append(str(error))
        else:
            available = feasibility.available(fact.duration / feasibility.speed)
            if available < needed:
                yield "infeasible", f"{needed} CTC frames needed, {available} there"
    if odd:
        yield "characters", "; ".join(odd)


def _unusual_rates(rows: Sequence[_Row]) -> dict[int, _Found]:
    """Outliers by median and median absolute deviation, so that they do not hide one another."""
    rates = {
        index: len(row.utterance.text) / row.fact.duration
        for index, row in enumerate(rows)
        if row.utterance.text.strip() and not row.fact.problem
    }
    if len(rates) < _MIN_RATES:
        return {}
    logs = np.log(list(rates.values()))
    median = np.median(logs)
    deviation = 1.4826 * np.median(np.abs(logs - median))  # the standard deviation, were they normally distributed
    limit = max(_RATE_DEVIATIONS * deviation, np.log(_RATE_FACTOR))
    usual = f"usual here are {np.exp(median):.1f}"
    return {
        index: {"rate": f"{rate:.1f} characters a second, {usual}"}
        for (index, rate), value in zip(rates.items(), logs, strict=True)
        if abs(value - median) > limit
    }


_Identity = Mapping[str, str | bytes]
"""By what one utterance is told from another, where it is known."""


def _identity(row: _Row) -> _Identity:
    normalize = get_normalizer("basic")
    values: dict[str, str | bytes] = {"speaker": row.utterance.speaker, "text": normalize(row.utterance.text)}
    if not row.fact.is_silent:  # one silence is like another
        values["audio"] = row.fact.digest
    return {name: value for name, value in values.items() if value}


def _twins(rows: Sequence[_Row], identities: Sequence[_Identity]) -> dict[int, _Found]:
    """Utterances whose sound or text one before them has, on the same side of train and test and for the same task."""
    kinds: dict[str, Kind] = {"audio": "same-audio", "text": "same-text"}
    first: dict[object, int] = {}
    found: defaultdict[int, _Found] = defaultdict(dict)
    for index, (row, identity) in enumerate(zip(rows, identities, strict=True)):
        for name in kinds.keys() & identity.keys():
            earlier = first.setdefault((row.part.role, row.utterance.task, name, identity[name]), index)
            if earlier != index:
                found[index][kinds[name]] = f"as '{rows[earlier].utterance.id}'"
    return found


def _leaks(rows: Sequence[_Row], identities: Sequence[_Identity]) -> dict[int, _Found]:
    """Utterances of train that share a speaker, a text or a sound with test."""
    kinds: dict[str, Kind] = {"speaker": "test-speaker", "text": "test-text", "audio": "test-audio"}
    pairs = list(zip(rows, identities, strict=True))
    tested = {item: row.utterance.id for row, identity in pairs if row.part.role == "test" for item in identity.items()}
    return {
        index: {kinds[item[0]]: f"as '{tested[item]}' in test" for item in identity.items() if item in tested}
        for index, (row, identity) in enumerate(pairs)
        if row.part.role == "train"
    }
