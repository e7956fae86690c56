"""Word error rate of a corpus, from summed counts and with the kinds of error apart.

Counting only: which texts to compare is `evaluate`'s business. The alignment is kaldialign's, the one that Kaldi and
icefall report; each of substitution, deletion and insertion costs 1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tiny_audio.text.normalizers import normalize_english


@dataclass(frozen=True, kw_only=True)
class ErrorCounts:
    """Words by what became of them; add two of these to pool two corpora."""

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @property
    def reference_words(self) -> int:
        """Words that were said."""
        return self.hits + self.substitutions + self.deletions

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions together."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def wer(self) -> float:
        """Errors per reference word, a fraction that insertions can take above 1.

        Without any reference word it is 0.0 if nothing was inserted either, else the number of inserted words (as if
        there were one reference word): finite, and never hiding invented text.
        """
        return self.errors / max(self.reference_words, 1)

    def __add__(self, other: "ErrorCounts") -> "ErrorCounts":
        return ErrorCounts(
            hits=self.hits + other.hits,
            substitutions=self.substitutions + other.substitutions,
            deletions=self.deletions + other.deletions,
            insertions=self.insertions + other.insertions,
        )


def count_errors(
    references: Sequence[str],
    hypotheses: Sequence[str],
    normalize: Callable[[str], str] = normalize_english,
) -> ErrorCounts:
    """Return the pooled counts of all pairs; an utterance with an empty reference adds its words as insertions.

    Args:
        references: What was said, one text per utterance.
        hypotheses: What was recognised, in the same order.
        normalize: Applied to both sides; the result is split into words at whitespace.

    Raises:
        ValueError: The two sequences differ in length.
    """
    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} references, {len(hypotheses)} hypotheses; expected one hypothesis each")
    pairs = zip(references, hypotheses, strict=True)
    return sum((_align(normalize(ref).split(), normalize(hyp).split()) for ref, hyp in pairs), start=ErrorCounts())


def _align(reference: list[str], hypothesis: list[str]) -> ErrorCounts:
    import kaldialign

    distance = kaldialign.edit_distance(reference, hypothesis)
    substitutions, deletions = int(distance["sub"]), int(distance["del"])
    return ErrorCounts(
        hits=len(reference) - substitutions - deletions,
        substitutions=substitutions,
        deletions=deletions,
        insertions=int(distance["ins"]),
    )
