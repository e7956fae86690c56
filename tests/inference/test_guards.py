import math

import numpy as np
import pytest

from fakes import tone
from tiny_audio.inference.guards import (
    NO_SPEECH_THRESHOLD,
    CheckedText,
    Loop,
    active_duration,
    avg_logprob,
    check_text,
    compression_ratio,
    disagreement,
    find_loop,
    letters_no_speech_prob,
    no_speech_prob,
)
from tiny_audio.models.clarity import Clarity

NO_LOOPS = [
    "the number is 1000",
    "it costs 7000",
    "1,000,000,000,000",
    "room 111",
    "www",
    "she said no no no",
    "no, no, no, no!",
    "Bye bye. Bye bye.",
    "testing one two three one two three one two three",
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen",
    "call 555-5555 or 555 5555",
    "ha ha ha ha ha",
    "that that is is that that is not is not",
    "row row row your boat gently down the stream merrily merrily merrily merrily",
    "the cat and the dog and the bird and the fish and the cow and the horse",
    "",
]


@pytest.mark.parametrize("text", NO_LOOPS)
def test_correct_text_is_no_loop_and_stays_as_it_is(text: str) -> None:
    assert find_loop(text) is None
    assert check_text(text, None) == CheckedText(text=text)
    assert check_text(text, text) == CheckedText(text=text)


@pytest.mark.parametrize(
    ("text", "loop"),
    [
        ("thank you " * 20, Loop(phrase="thank you", count=20)),
        ("So I went home. " + "And then, and then. " * 3 + "And then and then and", Loop(phrase="and then", count=8)),
        ("no " * 9, Loop(phrase="no", count=9)),
        ("the end of the " * 4, Loop(phrase="the end of the", count=4)),
        ("it is 1" + "0" * 60, Loop(phrase="0", count=60)),
        ("ha" * 30, Loop(phrase="ha", count=30)),
    ],
)
def test_a_loop_is_found_unless_it_was_heard(text: str, loop: Loop) -> None:
    assert find_loop(text) == loop
    assert find_loop(text, heard="something else") == loop
    assert find_loop(text, heard=text) is None
    assert check_text(text, "what was said") == CheckedText(text="what was said", reason="loop")
    assert check_text(text, None) == CheckedText(text=text, reason="loop")


def test_disagreement_counts_words_however_they_are_written() -> None:
    assert disagreement("Press four, please!", "press 4 please") == 0.0
    assert disagreement("one thing", "another matter") == 1.0
    assert disagreement("a b c d", "a b x d") == disagreement("a b x d", "a b c d") == 0.25
    assert disagreement("", "") == 0.0
    assert disagreement("", "word") == disagreement("word", "") == 1.0


def test_an_invented_sentence_gives_way_to_the_draft_and_a_correction_does_not() -> None:
    draft = "press one to here your mesages"
    assert check_text("Thank you for watching this video", draft) == CheckedText(text=draft, reason="disagreement")
    assert check_text("Press one to hear your messages.", draft).flagged is False
    assert check_text("Goodbye!", "good by") == CheckedText(text="Goodbye!")  # too short to tell
    # Letters vouch for what the tokens did not hear.
    assert check_text("Urgent status removed", "Urban removed") == CheckedText(
        text="Urban removed", reason="disagreement"
    )
    assert check_text("Urgent status removed", "Urban removed", spelt="urgent statis removed").flagged is False
    assert check_text("Thank you for watching this video", draft, spelt="press wun for").flagged is True
    assert check_text("", draft) == CheckedText(text=draft, reason="disagreement")


def frames(*tokens: float, blanks: int) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities of the blank and of the best token: one frame a token with that posterior, then blanks."""
    best = np.array([*tokens, *[1e-6] * blanks])
    return np.log1p(-best), np.log(best)


def test_clear_and_dense_tokens_are_speech_and_rare_unsure_ones_are_not() -> None:
    assert no_speech_prob(*frames(*[0.9] * 25, blanks=100), active=8.0) < 0.1
    assert no_speech_prob(*frames(0.6, 0.55, 0.6, blanks=122), active=10.0) > NO_SPEECH_THRESHOLD
    assert no_speech_prob(*frames(0.55, 0.51, blanks=10), active=0.8) < NO_SPEECH_THRESHOLD


def test_a_word_in_a_long_silence_is_a_word() -> None:
    word = frames(0.95, blanks=374)
    assert no_speech_prob(*word, active=0.5) < 0.2 < NO_SPEECH_THRESHOLD < no_speech_prob(*word, active=30.0)


def test_only_long_pauses_are_not_active() -> None:
    waveform = (1e-4 * np.random.default_rng(0).standard_normal(10 * 16_000)).astype(np.float32)
    for start in (2.0, 2.8, 6.0):  # 0.3 s and 2.7 s between them
        waveform[round(start * 16_000) :][:8_000] += tone(duration=0.5, hertz=300.0) + np.float32(0.1)
    assert active_duration(waveform) == pytest.approx(1.8, abs=0.15)
    assert active_duration(waveform[:0]) == 0.0


def test_no_token_or_no_sound_is_no_speech() -> None:
    assert no_speech_prob(*frames(blanks=50), active=4.0) == 1.0
    assert no_speech_prob(np.zeros(0), np.zeros(0), active=0.0) == 1.0
    assert no_speech_prob(*frames(0.9, blanks=5), active=0.0) == 1.0


def test_clear_letters_are_speech_however_short_and_doubtful_or_rare_ones_are_not() -> None:
    def prob(num_letters: int, posterior: float, active: float) -> float:
        return letters_no_speech_prob(Clarity(num_letters, math.log(posterior)), active)

    assert prob(4, 0.85, 0.7) < 0.3  # "fifth"
    assert prob(4, 0.66, 0.8) < NO_SPEECH_THRESHOLD
    assert prob(2, 0.7, 0.7) < NO_SPEECH_THRESHOLD  # "I"
    assert prob(30, 0.5, 10.0) > NO_SPEECH_THRESHOLD  # dial tones
    assert prob(4, 0.78, 8.0) > NO_SPEECH_THRESHOLD  # bursts of noise
    assert prob(1, 0.99, 0.1) == prob(0, 0.0 + 1e-9, 3.0) == prob(9, 0.9, 0.0) == 1.0  # a click, nothing, no sound
    assert prob(400, 0.99, 20.0) < 0.2


def test_a_voice_activity_detector_moves_the_probability_both_ways_and_stays_within_bounds() -> None:
    evidence = frames(0.7, blanks=20)
    probs = [no_speech_prob(*evidence, active=1.6, speech_prob=prob) for prob in (1.0, 0.8, 0.5, 0.2, 0.0)]
    assert probs == sorted(probs)
    assert probs[2] == pytest.approx(no_speech_prob(*evidence, active=1.6))
    assert 0.0 <= probs[0] < probs[-1] <= 1.0
    assert no_speech_prob(*frames(*[0.99] * 30, blanks=20), active=4.0, speech_prob=0.0) < NO_SPEECH_THRESHOLD


def test_numbers_as_whisper_has_them() -> None:
    assert compression_ratio("") == 0.0
    assert (
        compression_ratio("The quick brown fox jumps over the lazy dog.") < 2.4 < compression_ratio("thank you " * 20)
    )
    assert avg_logprob(-6.0, 5) == -1.0
    assert avg_logprob(-0.5, 0) == -0.5
