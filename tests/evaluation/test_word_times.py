import pytest

from tiny_audio.evaluation.results import UtteranceResult
from tiny_audio.evaluation.scoring import build_scorer


def timed(text: str, *, offset: float) -> list[dict]:
    """Words of half a second each, shifted."""
    return [
        {"word": word, "start": number / 2 + offset, "end": (number + 1) / 2 + offset}
        for number, word in enumerate(text.split())
    ]


def error_of(said: str, understood: str, *, offset: float) -> float | None:
    extra = {"words": timed(said, offset=0.0), "pred_words": timed(understood, offset=offset)}
    one = UtteranceResult(id="a", reference=said, hypothesis=understood, extra=extra)
    return build_scorer().score_system("x", [one]).median_word_time_error


@pytest.mark.parametrize("offset", [0.0, 0.1, -0.2])
def test_a_shift_of_all_words_is_the_error(offset):
    assert error_of("The cat sat.", "the cat sat", offset=offset) == pytest.approx(abs(offset))


def test_only_words_that_were_understood_are_compared():
    # "cat" is deleted, so "sat" stands half a second earlier; "the" is where it was.
    assert error_of("the cat sat", "the sat", offset=0.0) == pytest.approx(0.25)
    assert error_of("the cat sat", "a dog ran", offset=0.0) is None


def test_without_times_there_is_no_error():
    one = UtteranceResult(id="a", reference="the", hypothesis="the")
    assert build_scorer().score_system("x", [one]).median_word_time_error is None
