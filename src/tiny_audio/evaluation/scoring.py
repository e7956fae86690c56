"""From raw texts to counted errors: one normaliser on both sides, one way of counting, both named in the result."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from tiny_audio.errors import UnknownNameError
from tiny_audio.evaluation.labels import score_task
from tiny_audio.evaluation.results import TRANSCRIBE, ScoredUtterance, SystemResult, UtteranceResult
from tiny_audio.evaluation.wer import ErrorCounts, align_words, count_differences
from tiny_audio.evaluation.word_times import median_word_time_error
from tiny_audio.text.normalizers import DEFAULT_NORMALIZER, Normalizer, get_normalizer

DEFAULT_SCORER = "plain"
SCORERS = {"plain": False, "leaderboard": True}
"""Whether compounds are merged: "white paper" and "whitepaper" are no error for the Open ASR Leaderboard."""


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """Counts the errors of utterances; build it with `build_scorer`."""

    name: str
    normalizer: Normalizer
    merge_compounds: bool

    @property
    def label(self) -> str:
        """Name and version, as reports carry it."""
        return f"{self.name} (kaldialign {version('kaldialign')})"

    def score(self, result: UtteranceResult) -> ScoredUtterance:
        """Count the errors of one utterance; one without an answer has all its words deleted."""
        reference, hypothesis = self.normalizer(result.reference), self.normalizer(result.hypothesis)
        words = reference.split()
        return ScoredUtterance(
            result=result,
            counts=self._count(words, hypothesis),
            draft_counts=self._count(words, self.normalizer(result.draft) if result.draft else ""),
            character_counts=count_differences(reference, hypothesis),
            words=align_words(words, hypothesis.split(), merge_compounds=self.merge_compounds),
        )

    def score_system(
        self,
        name: str,
        results: Iterable[UtteranceResult | ScoredUtterance],
        *,
        dataset: str = "",
        settings: Mapping[str, Any] | None = None,
    ) -> SystemResult:
        """Score all answers of one system; those that were scored by this scorer before are not scored again."""
        scored: list[ScoredUtterance] = []
        by_task: dict[str, list[UtteranceResult]] = {}
        for one in results:
            if isinstance(one, ScoredUtterance):
                scored.append(one)
            elif one.task == TRANSCRIBE:
                scored.append(self.score(one))
            else:
                by_task.setdefault(one.task, []).append(one)
        return SystemResult(
            name=name,
            utterances=tuple(scored),
            normalizer=self.normalizer.label,
            scorer=self.label,
            dataset=dataset,
            tasks=tuple(
                score
                for task, rows in sorted(by_task.items())
                for score in score_task(task, [one.reference for one in rows], [one.hypothesis for one in rows])
            ),
            median_word_time_error=median_word_time_error(scored, self.normalizer),
            settings=dict(settings or {}),
        )

    def _count(self, words: Sequence[str], hypothesis: str) -> ErrorCounts:
        return count_differences(words, hypothesis.split(), merge_compounds=self.merge_compounds)


def build_scorer(name: str = DEFAULT_SCORER, normalizer: str = DEFAULT_NORMALIZER) -> Scorer:
    """The scorer of that name, with the normaliser of that name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in SCORERS:
        raise UnknownNameError("scorer", name, SCORERS)
    return Scorer(name=name, normalizer=get_normalizer(normalizer), merge_compounds=SCORERS[name])
