import random

import pytest

from tiny_audio.evaluation.wer import ErrorCounts, count_errors

# reference, hypothesis, hits, substitutions, deletions, insertions; counted by hand
BY_HAND = [
    ("the cat sat", "the cat sat", 3, 0, 0, 0),
    ("the cat sat", "the bat sat", 2, 1, 0, 0),
    ("the cat sat", "the sat", 2, 0, 1, 0),
    ("the cat sat", "the big cat sat", 3, 0, 0, 1),
    ("the cat sat", "", 0, 0, 3, 0),
    ("", "invented words", 0, 0, 0, 2),
    ("", "", 0, 0, 0, 0),
    ("go", "no never again", 0, 1, 0, 2),
    ("a b c d e", "x a c y e", 3, 1, 1, 1),
    ("it is a very long day", "is a long day today", 4, 0, 2, 1),
]


@pytest.mark.parametrize(("reference", "hypothesis", "hits", "substitutions", "deletions", "insertions"), BY_HAND)
def test_counts_of_one_utterance(reference, hypothesis, hits, substitutions, deletions, insertions):
    expected = ErrorCounts(hits=hits, substitutions=substitutions, deletions=deletions, insertions=insertions)

    assert count_errors([reference], [hypothesis]) == expected


def test_corpus_rate_is_from_summed_counts_not_a_mean_of_rates():
    references = ["yes", "one two three four five six seven eight nine"]
    hypotheses = ["no", "one two three four five six seven eight nine"]

    counts = count_errors(references, hypotheses, normalize=str.lower)

    assert counts.wer == pytest.approx(1 / 10)  # the mean of the two rates would be 0.5


def test_adding_counts_pools_two_corpora():
    rows = [(row[0], row[1]) for row in BY_HAND]
    whole = count_errors(*zip(*rows, strict=True))
    parts = count_errors(*zip(*rows[:4], strict=True)) + count_errors(*zip(*rows[4:], strict=True))

    assert parts == whole


def test_counts_add_up_to_the_words_of_both_sides():
    generator = random.Random(0)
    for _ in range(200):
        reference, hypothesis = (generator.choices("abcd", k=generator.randrange(12)) for _ in range(2))

        counts = count_errors([" ".join(reference)], [" ".join(hypothesis)], normalize=str.lower)

        assert counts.reference_words == len(reference)
        assert counts.hits + counts.substitutions + counts.insertions == len(hypothesis)
        assert min(counts.hits, counts.substitutions, counts.deletions, counts.insertions) >= 0
        assert counts.errors == edit_distance(reference, hypothesis)


def edit_distance(left: list[str], right: list[str]) -> int:
    """Levenshtein's recurrence, the definition that any alignment must meet."""
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, start=1):
        previous, row[0] = row[0], i
        for j, b in enumerate(right, start=1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (a != b))
    return row[-1]


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [("", "", 0.0), ("", "three wrong words", 3.0), ("one", "one two three", 2.0), ("four words are here", "", 1.0)],
)
def test_the_rate_is_defined_without_reference_words_and_may_exceed_one(reference, hypothesis, expected):
    assert count_errors([reference], [hypothesis], normalize=str.lower).wer == pytest.approx(expected)


def test_texts_are_compared_after_the_english_normaliser_unless_told_otherwise():
    reference, hypothesis = ["Don't pay $20, Mr. Smith!"], ["do not pay twenty dollars mister smith"]

    assert count_errors(reference, hypothesis).errors == 0
    assert count_errors(reference, hypothesis, normalize=lambda text: text).errors > 0


def test_a_missing_hypothesis_is_refused():
    with pytest.raises(ValueError, match="2 references, 1 hypotheses"):
        count_errors(["a", "b"], ["a"])
