import random

import pytest

from tiny_audio.evaluation.wer import ErrorCounts, align_words, count_differences, count_errors

# reference, hypothesis, hits, substitutions, deletions, insertions; counted by hand
BY_HAND = [
    # nothing wrong
    ("", "", 0, 0, 0, 0),
    ("yes", "yes", 1, 0, 0, 0),
    ("the cat sat", "the cat sat", 3, 0, 0, 0),
    ("no no no", "no no no", 3, 0, 0, 0),
    ("a b a b", "a b a b", 4, 0, 0, 0),
    ("  two   spaces ", "two spaces", 2, 0, 0, 0),
    # substitutions only
    ("yes", "no", 0, 1, 0, 0),
    ("the cat sat", "the bat sat", 2, 1, 0, 0),
    ("the cat sat", "a cat sat", 2, 1, 0, 0),
    ("the cat sat", "the cat sit", 2, 1, 0, 0),
    ("the cat sat", "a bat sit", 0, 3, 0, 0),
    ("to two", "too too", 0, 2, 0, 0),
    ("up down", "left right", 0, 2, 0, 0),
    ("a b c d", "a x c y", 2, 2, 0, 0),
    ("one two three four", "won two three for", 2, 2, 0, 0),
    # deletions only
    ("yes", "", 0, 0, 1, 0),
    ("the cat sat", "", 0, 0, 3, 0),
    ("the cat sat", "the sat", 2, 0, 1, 0),
    ("the cat sat", "cat sat", 2, 0, 1, 0),
    ("the cat sat", "the cat", 2, 0, 1, 0),
    ("the cat sat", "cat", 1, 0, 2, 0),
    ("the cat sat", "sat", 1, 0, 2, 0),
    ("no no no", "no", 1, 0, 2, 0),
    ("no no no no", "no no", 2, 0, 2, 0),
    ("a b c d e f", "b d f", 3, 0, 3, 0),
    ("a b c d e f", "a f", 2, 0, 4, 0),
    ("one two three four five", "three four five", 3, 0, 2, 0),
    ("one two three four five", "one two three", 3, 0, 2, 0),
    # insertions only
    ("", "yes", 0, 0, 0, 1),
    ("", "invented words", 0, 0, 0, 2),
    ("", "thank you for watching", 0, 0, 0, 4),
    ("yes", "oh yes", 1, 0, 0, 1),
    ("yes", "yes sir", 1, 0, 0, 1),
    ("yes", "oh yes sir", 1, 0, 0, 2),
    ("the cat sat", "the big cat sat", 3, 0, 0, 1),
    ("the cat sat", "and the cat sat", 3, 0, 0, 1),
    ("the cat sat", "the cat sat down", 3, 0, 0, 1),
    ("the cat sat", "so the big cat sat down", 3, 0, 0, 3),
    ("no", "no no no no", 1, 0, 0, 3),
    ("ha", "ha ha", 1, 0, 0, 1),
    # compounds, which count as two errors
    ("whitepaper", "white paper", 0, 1, 0, 1),
    ("white paper", "whitepaper", 0, 1, 1, 0),
    ("the whitepaper said", "the white paper said", 2, 1, 0, 1),
    ("every body left", "everybody left", 1, 1, 1, 0),
    # substitution and deletion
    ("the cat sat", "bat sat", 1, 1, 1, 0),
    ("the cat sat", "dog", 0, 1, 2, 0),
    ("a b c d", "a x", 1, 1, 2, 0),
    ("a b c d", "x d", 1, 1, 2, 0),
    ("press one to record", "press won record", 2, 1, 1, 0),
    # substitution and insertion
    ("go", "no never again", 0, 1, 0, 2),
    ("yes", "no thanks", 0, 1, 0, 1),
    ("the cat sat", "the big bat sat", 2, 1, 0, 1),
    ("the cat sat", "a bat sat down", 1, 2, 0, 1),
    ("a b", "x y z", 0, 2, 0, 1),
    # deletion and insertion
    ("a b c", "b c d", 2, 0, 1, 1),
    ("one two three four", "two three four five", 3, 0, 1, 1),
    ("a b c d", "b c d a", 3, 0, 1, 1),
    ("it is a very long day", "is a long day today", 4, 0, 2, 1),
    # all kinds
    ("a b c d e", "x a c y e", 3, 1, 1, 1),
    ("one two three four five six", "two free four five six seven", 4, 1, 1, 1),
    ("a b c d e f g", "b c x e f g h", 5, 1, 1, 1),
    ("the quick brown fox jumps over the lazy dog", "quick brown box jumps over the lazy dog now", 7, 1, 1, 1),
]
assert len(BY_HAND) >= 60


@pytest.mark.parametrize(("reference", "hypothesis", "hits", "substitutions", "deletions", "insertions"), BY_HAND)
def test_counts_of_one_utterance(reference, hypothesis, hits, substitutions, deletions, insertions):
    expected = ErrorCounts(hits=hits, substitutions=substitutions, deletions=deletions, insertions=insertions)

    assert count_errors([reference], [hypothesis], normalize=str) == expected


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


def random_words(generator: random.Random, *, at_least: int = 0) -> list[str]:
    return generator.choices(["white", "paper", "whitepaper", "a", "b"], k=generator.randrange(at_least, 12))


def test_swapping_the_sides_swaps_deletions_and_insertions_and_keeps_the_errors():
    generator = random.Random(1)
    for _ in range(200):
        left, right = random_words(generator), random_words(generator)

        there, back = count_differences(left, right), count_differences(right, left)

        assert there.errors == back.errors
        assert there.insertions - there.deletions == back.deletions - back.insertions


@pytest.mark.parametrize("merge_compounds", [False, True])
def test_pairs_hold_both_texts_in_order_and_as_many_errors_as_are_counted(merge_compounds):
    generator = random.Random(2)
    for _ in range(200):
        left, right = random_words(generator), random_words(generator)

        pairs = align_words(left, right, merge_compounds=merge_compounds)
        counts = count_differences(left, right, merge_compounds=merge_compounds)

        assert " ".join(said for said, _ in pairs if said).split() == left
        assert " ".join(understood for _, understood in pairs if understood).split() == right
        joined = [
            (said and said.replace(" ", ""), understood and understood.replace(" ", "")) for said, understood in pairs
        ]
        assert sum(said != understood for said, understood in joined) == counts.errors
        assert sum(said is None for said, _ in pairs) == counts.insertions
        assert sum(understood is None for _, understood in pairs) == counts.deletions


def test_a_merged_compound_is_no_error_and_all_its_words_are_hits():
    counts = count_differences("a white paper".split(), "a whitepaper".split(), merge_compounds=True)

    assert counts == ErrorCounts(hits=3)
    assert align_words("a white paper".split(), "a whitepaper".split(), merge_compounds=True)[1] == (
        "white paper",
        "whitepaper",
    )


def test_rates_are_those_of_jiwer_to_the_last_bit():
    jiwer = pytest.importorskip("jiwer")
    generator = random.Random(3)
    pairs = [(row[0], row[1]) for row in BY_HAND if row[0].strip()]
    pairs += [(" ".join(random_words(generator, at_least=1)), " ".join(random_words(generator))) for _ in range(300)]
    for reference, hypothesis in pairs:
        theirs = jiwer.process_words(reference, hypothesis)
        ours = count_errors([reference], [hypothesis], normalize=str)
        assert ours.wer == theirs.wer
        assert ours.insertions - ours.deletions == theirs.insertions - theirs.deletions
        spelled = " ".join(reference.split()), " ".join(hypothesis.split())
        assert count_differences(*spelled).rate == jiwer.cer(*spelled)
    references, hypotheses = zip(*pairs, strict=True)
    assert count_errors(references, hypotheses, normalize=str).wer == jiwer.wer(list(references), list(hypotheses))


def test_a_missing_hypothesis_is_refused():
    with pytest.raises(ValueError, match="2 references, 1 hypotheses"):
        count_errors(["a", "b"], ["a"])
