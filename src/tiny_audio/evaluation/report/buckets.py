"""Where the errors are: the same counts for short and long, slow and fast, clean and noisy speech, and each speaker."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tiny_audio.audio.noise import SNR_KEY
from tiny_audio.evaluation.results import ScoredUtterance
from tiny_audio.evaluation.wer import ErrorCounts, pool
from tiny_audio.types import Seconds


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """Utterances that have one thing in common, and their errors."""

    label: str
    num_utterances: int
    counts: ErrorCounts
    audio_seconds: Seconds
    """Audio of those that were answered."""
    wall_seconds: Seconds

    @property
    def rtfx(self) -> float:
        """Seconds of audio per second of work; 0.0 where no time was measured."""
        return self.audio_seconds / self.wall_seconds if self.wall_seconds else 0.0


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One way to part utterances into buckets: by a measured value, or by a name where there are no `edges`."""

    key: str
    title: str
    value_of: Callable[[ScoredUtterance], float | str | None]
    """None where it is not known; such utterances are in no bucket of this dimension."""
    edges: tuple[float, ...] = ()
    """A bucket holds what is at least its lower edge and below its upper one."""
    labels: tuple[str, ...] = ()
    """One more than edges."""

    def label(self, utterance: ScoredUtterance) -> str | None:
        """The bucket of this utterance."""
        value = self.value_of(utterance)
        if value is None or isinstance(value, str):
            return value or None
        return self.labels[bisect_right(self.edges, value)]

    def buckets(self, utterances: Iterable[tuple[ScoredUtterance, ScoredUtterance]]) -> tuple[Bucket, ...]:
        """The buckets that are not empty: in order of value, or those with the most words first.

        Args:
            utterances: What is counted, each with what its label is taken from: the same utterance of the system that
                others are compared with, so that a bucket holds the same utterances of all.
        """
        members: defaultdict[str, list[ScoredUtterance]] = defaultdict(list)
        for utterance, labelled in utterances:
            label = self.label(labelled)
            if label is not None:
                members[label].append(utterance)
        buckets = [_pool(label, group) for label, group in members.items()]
        if self.edges:
            return tuple(sorted(buckets, key=lambda bucket: self.labels.index(bucket.label)))
        return tuple(sorted(buckets, key=lambda bucket: (-bucket.counts.reference_words, bucket.label)))


def _words_per_minute(utterance: ScoredUtterance) -> float | None:
    duration = utterance.result.duration
    return 60 * utterance.counts.reference_words / duration if duration else None


def _snr_db(utterance: ScoredUtterance) -> float | None:
    value = utterance.result.extra.get(SNR_KEY)
    return float(value) if isinstance(value, int | float) else None


DURATION = Dimension(
    key="duration",
    title="Duration",
    value_of=lambda utterance: utterance.result.duration or None,
    edges=(2, 5, 10, 20, 30),
    labels=("under 2 s", "2–5 s", "5–10 s", "10–20 s", "20–30 s", "30 s and more"),
)
DIMENSIONS = (
    DURATION,
    Dimension(
        key="reference_words",
        title="Words said",
        value_of=lambda utterance: utterance.counts.reference_words,
        edges=(4, 11, 21, 41),
        labels=("1–3", "4–10", "11–20", "21–40", "41 and more"),
    ),
    Dimension(
        key="words_per_minute",
        title="Words per minute",
        value_of=_words_per_minute,
        edges=(110, 150, 190, 230),
        labels=("under 110", "110–150", "150–190", "190–230", "230 and more"),
    ),
    Dimension(
        key="snr_db",
        title="Signal to noise",
        value_of=_snr_db,
        edges=(5, 10, 20, 30),
        labels=("under 5 dB", "5–10 dB", "10–20 dB", "20–30 dB", "30 dB and more"),
    ),
    Dimension(key="speaker", title="Speaker", value_of=lambda utterance: utterance.result.speaker),
)


def _pool(label: str, utterances: list[ScoredUtterance]) -> Bucket:
    answered = [utterance.result for utterance in utterances if not utterance.failed]
    return Bucket(
        label=label,
        num_utterances=len(utterances),
        counts=pool(utterance.counts for utterance in utterances),
        audio_seconds=sum(result.duration for result in answered),
        wall_seconds=sum(result.wall_seconds for result in answered),
    )
