"""Everything that a report says about one system beyond its sums, worked out once: all files show these numbers."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from tiny_audio.evaluation.report.buckets import DIMENSIONS, DURATION, Bucket, Dimension
from tiny_audio.evaluation.report.frequent_errors import FrequentErrors, find_frequent_errors
from tiny_audio.evaluation.report.hallucinations import applicable_checks, find_hallucinations
from tiny_audio.evaluation.results import SystemResult

_NUM_FREQUENT = 25


@dataclass(frozen=True, kw_only=True)
class SystemAnalysis:
    """One system, and where and how it fails."""

    system: SystemResult
    buckets: dict[Dimension, tuple[Bucket, ...]]
    """Of the speech; a dimension that is known of no utterance is left out."""
    speed: tuple[Bucket, ...]
    """All that was answered, by duration; empty where no time was measured."""
    frequent_errors: FrequentErrors
    checks: tuple[str, ...]
    """Keys of the checks that say something about this system."""
    hallucinations: dict[str, tuple[str, ...]]
    """Utterance id -> keys of the checks that its answer does not pass, where there are any."""

    @cached_property
    def hallucination_counts(self) -> Counter[str]:
        """Utterances by the check that they do not pass."""
        return Counter(key for keys in self.hallucinations.values() for key in keys)


def analyse(system: SystemResult, first: SystemResult) -> SystemAnalysis:
    """Work out buckets, frequent errors and suspicious answers.

    Args:
        system: What is reported on.
        first: The system that it is compared with, or itself; its utterances are the same.
    """
    pairs = list(zip(system.utterances, first.utterances, strict=True))
    speech = [pair for pair in pairs if pair[1].is_speech]
    buckets = ((dimension, dimension.buckets(speech)) for dimension in DIMENSIONS)
    found = ((utterance.result.id, find_hallucinations(utterance)) for utterance in system.utterances)
    answered = [pair for pair in pairs if not pair[0].failed]
    return SystemAnalysis(
        system=system,
        buckets={dimension: parts for dimension, parts in buckets if parts},
        speed=DURATION.buckets(answered) if system.wall_seconds else (),
        frequent_errors=find_frequent_errors(system.utterances, limit=_NUM_FREQUENT),
        checks=applicable_checks(system.utterances),
        hallucinations={name: keys for name, keys in found if keys},
    )
