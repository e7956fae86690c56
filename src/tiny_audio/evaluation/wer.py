"""Errors of a corpus, from summed counts and with the kinds of error apart; and which word became which.

Counting and aligning only: which texts to compare, and by which rules, is `scoring`'s business. The alignment is
kaldialign's, the one that Kaldi and icefall report; each of substitution, deletion and insertion costs 1. The number of
errors is that of every other tool; where several alignments are equally short, another tool may call a substitution and
its neighbour a deletion and an insertion.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tiny_audio.text.normalizers import normalize_english

WordPair = tuple[str | None, str | None]
"""(word that was said, word that was understood); None on the side that has none."""


@dataclass(frozen=True, kw_only=True)
class ErrorCounts:
    """Words (or characters) by what became of them; add two of these to pool two corpora."""

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
    def rate(self) -> float:
        """Errors per reference word, a fraction that insertions can take above 1.

        Without any reference word it is 0.0 if nothing was inserted either, else the number of inserted words (as if
        there were one reference word): finite, and never hiding invented text.
        """
        return self.errors / max(self.reference_words, 1)

    @property
    def wer(self) -> float:
        """The rate, where words are counted."""
        return self.rate

    def __add__(self, other: "ErrorCounts") -> "ErrorCounts":
        return ErrorCounts(
            hits=self.hits + other.hits,
            substitutions=self.substitutions + other.substitutions,
            deletions=self.deletions + other.deletions,
            insertions=self.insertions + other.insertions,
        )


def pool(counts: Iterable[ErrorCounts]) -> ErrorCounts:
    """The sum of all counts."""
    return sum(counts, start=ErrorCounts())


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
    return pool(count_differences(normalize(ref).split(), normalize(hyp).split()) for ref, hyp in pairs)


def count_differences(
    reference: Sequence[str], hypothesis: Sequence[str], *, merge_compounds: bool = False
) -> ErrorCounts:
    """Counts of two sequences: lists of words, or texts, which are sequences of characters.

    Args:
        reference: what was said.
        hypothesis: what was understood.
        merge_compounds: neighbouring words of one side that together spell one word of the other are no error.
    """
    import kaldialign

    distance = kaldialign.edit_distance(reference, hypothesis, merge_compounds=merge_compounds)
    substitutions, deletions = int(distance["sub"]), int(distance["del"])
    return ErrorCounts(
        hits=len(reference) - substitutions - deletions,
        substitutions=substitutions,
        deletions=deletions,
        insertions=int(distance["ins"]),
    )


def align_words(
    reference: Sequence[str], hypothesis: Sequence[str], *, merge_compounds: bool = False
) -> tuple[WordPair, ...]:
    """The pairs behind `count_differences`, in order; the parts of a merged compound stand together, with a space."""
    import kaldialign

    # An empty word never comes out of a split at whitespace, so it can stand for "no word".
    pairs = kaldialign.align(reference, hypothesis, "", merge_compounds=merge_compounds)
    return tuple((said or None, understood or None) for said, understood in pairs)
