import random

import pytest

from tiny_audio.errors import UnknownNameError
from tiny_audio.evaluation.results import UtteranceResult
from tiny_audio.evaluation.scoring import build_scorer
from tiny_audio.evaluation.wer import ErrorCounts


def result(reference: str, hypothesis: str = "", **others) -> UtteranceResult:
    return UtteranceResult(id=others.pop("id", reference), reference=reference, hypothesis=hypothesis, **others)


def test_words_characters_draft_and_pairs_of_one_utterance():
    one = build_scorer().score(result("The cat sat.", "the bat sat down", draft="the cat"))

    assert one.counts == ErrorCounts(hits=2, substitutions=1, insertions=1)
    assert one.draft_counts == ErrorCounts(hits=2, deletions=1)
    assert one.character_counts == ErrorCounts(hits=10, substitutions=1, insertions=5)
    assert one.words == (("the", "the"), ("cat", "bat"), ("sat", "sat"), (None, "down"))
    assert one.is_speech
    assert not one.is_correct


def test_rates_are_about_speech_and_invented_words_have_a_bucket_of_their_own():
    system = build_scorer().score_system(
        "x", [result("red blue", "red blue", duration=3.0), result("[noise]", "thank you", duration=30.0)]
    )

    assert (system.wer, system.cer, system.sentence_error_rate) == (0.0, 0.0, 0.0)
    assert len(system.speech) == len(system.non_speech) == 1
    assert system.invented_words == 2
    assert system.invented_words_per_minute == pytest.approx(4.0)


def test_a_failure_is_all_words_deleted_and_is_named_even_without_words():
    broken = result("red blue", problem="cannot read", duration=2.0, wall_seconds=0.0)
    system = build_scorer().score_system(
        "x", [broken, result("green", "green", duration=1.0, wall_seconds=0.5), result("", problem="gone")]
    )

    assert system.counts == ErrorCounts(hits=1, deletions=2)
    assert [failure.problem for failure in system.failures] == ["cannot read", "gone"]
    assert system.sentence_error_rate == 0.5
    assert (system.audio_seconds, system.wall_seconds, system.rtfx) == (1.0, 0.5, 2.0)


def test_the_leaderboards_scorer_counts_as_kaldialign_does_with_merged_compounds():
    import kaldialign

    generator = random.Random(0)
    words = ["white", "paper", "whitepaper", "a", "b"]
    pairs = [(generator.choices(words, k=generator.randrange(1, 9)), generator.choices(words, k=5)) for _ in range(200)]
    scorer = build_scorer("leaderboard", "none")
    system = scorer.score_system(
        "x",
        [
            result(" ".join(said), " ".join(understood), id=str(number))
            for number, (said, understood) in enumerate(pairs)
        ],
    )

    theirs = kaldialign.batch_error_rate(*zip(*pairs, strict=True), merge_compounds=True)
    assert system.wer == theirs["err_rate"]
    counts = system.counts
    assert (counts.substitutions, counts.deletions, counts.insertions) == (theirs["sub"], theirs["del"], theirs["ins"])


def test_a_result_names_its_rules_with_their_versions():
    system = build_scorer("leaderboard", "open-asr-leaderboard").score_system("x", [])

    assert system.normalizer.startswith("open-asr-leaderboard (rules of 2026-07")
    assert system.scorer.startswith("leaderboard (kaldialign ")


def test_unknown_names_are_told_with_what_there_is():
    with pytest.raises(UnknownNameError, match=r"unknown scorer 'plane'.*Did you mean 'plain'"):
        build_scorer("plane")
    with pytest.raises(UnknownNameError, match=r"unknown normalizer 'whisper'.*whisper-english"):
        build_scorer(normalizer="whisper")


def test_other_tasks_are_scored_by_their_labels_and_leave_the_words_alone():
    rows = [
        result("happy", "She sounds happy.", id="a", task="emotion"),
        result("sad", "happy", id="b", task="emotion"),
        result("red blue", "red blew", id="c"),
    ]
    system = build_scorer().score_system("x", rows)

    assert system.counts == ErrorCounts(hits=1, substitutions=1)
    (emotion,) = system.tasks
    assert (emotion.task, emotion.accuracy) == ("emotion", 0.5)
    assert emotion.confusions == {("happy", "happy"): 1, ("sad", "happy"): 1}


def test_a_row_of_the_file_is_the_result_again():
    one = result("Said.", "sad", draft="s", speaker="ann", duration=1.5, wall_seconds=0.1, extra={"snr": 3})

    row = one.to_row()

    assert (row["text"], row["pred_text"], row["audio_filepath"]) == ("Said.", "sad", "")
    assert UtteranceResult.from_row(row) == one
