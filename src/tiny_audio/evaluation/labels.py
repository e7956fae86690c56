"""Tasks with a label as their answer (emotion, describe): share of right answers, and which label was taken for which.

A description holds several labels, one for each fact (`text.descriptions`), and each is judged by itself.

An answer may be a sentence ("She sounds happy."). It gives the label that stands in it as whole words; one that names
none, or several, gives none: "female" is not "male", and "happy or sad" is not an answer.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tiny_audio.text.descriptions import FACTS, read_facts
from tiny_audio.text.normalizers import get_normalizer

NO_LABEL = ""
"""What an answer gives that names no label, or several; also a failure."""


@dataclass(frozen=True, kw_only=True)
class LabelScore:
    """Answers to one task."""

    task: str
    labels: tuple[str, ...]
    """All that occur as references, sorted."""
    confusions: dict[tuple[str, str], int]
    """(right label, given label or `NO_LABEL`) -> how often."""

    @property
    def num_answers(self) -> int:
        """How many answers were judged."""
        return sum(self.confusions.values())

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        right = sum(count for (expected, given), count in self.confusions.items() if expected == given)
        return right / max(self.num_answers, 1)


def score_labels(task: str, references: Sequence[str], answers: Sequence[str]) -> LabelScore:
    """Judge answers by the labels that occur as references.

    Args:
        task: its name.
        references: the right label of each utterance.
        answers: what the system said, in the same order.
    """
    normalize = get_normalizer("basic")
    expected = [normalize(reference) for reference in references]
    labels = tuple(sorted(set(expected)))
    given = [_label_in(normalize(answer), labels) for answer in answers]
    return LabelScore(task=task, labels=labels, confusions=dict(Counter(zip(expected, given, strict=True))))


def score_task(task: str, references: Sequence[str], answers: Sequence[str]) -> list[LabelScore]:
    """A score for the task; where all its references are descriptions, one for each fact, of those that name it.

    Args:
        task: its name.
        references: the right answer to each utterance.
        answers: what the system said, in the same order.
    """
    expected = [read_facts(reference) for reference in references]
    if not all(expected):
        return [score_labels(task, references, answers)]
    scores = []
    for fact, values in FACTS.items():
        pairs = [
            (facts[fact], read_facts(answer).get(fact, NO_LABEL))
            for facts, answer in zip(expected, answers, strict=True)
            if fact in facts
        ]
        if pairs:
            labels = tuple(value for value in values if any(right == value for right, _ in pairs))
            scores.append(LabelScore(task=f"{task}: {fact}", labels=labels, confusions=dict(Counter(pairs))))
    return scores


def _label_in(answer: str, labels: Sequence[str]) -> str:
    found = [label for label in labels if label and re.search(rf"\b{re.escape(label)}\b", answer)]
    # "very happy" holds "happy" as well: what lies within a longer label that was found is not said on its own.
    outer = [label for label in found if not any(label != other and f" {label} " in f" {other} " for other in found)]
    return outer[0] if len(outer) == 1 else NO_LABEL
