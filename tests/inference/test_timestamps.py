from itertools import pairwise

import numpy as np
import pytest

from tiny_audio.inference.timestamps import ONSET_LAG, word_times
from tiny_audio.models.ctc_alignment import TokenSpan
from tiny_audio.models.words import Word

FRAME = 0.08


def span(onset: float, *, log_prob: float = -0.1) -> TokenSpan:
    """The peak that a token with this onset has."""
    centre = (onset + ONSET_LAG) / FRAME
    return TokenSpan(token_id=0, start_frame=int(centre), end_frame=int(centre) + 1, centre=centre, log_prob=log_prob)


def sound(*pieces: tuple[float, float], duration: float) -> np.ndarray:
    """A steady sound from start to end of each piece in a room that is not quite silent."""
    waveform = 1e-3 * np.random.default_rng(0).standard_normal(round(duration * 16_000))
    time = np.arange(len(waveform)) / 16_000
    for start, end in pieces:
        waveform += 0.2 * np.sin(2 * np.pi * 300 * time) * ((start <= time) & (time < end))
    return waveform.astype(np.float32)


def check(words: list[Word], texts: list[str], duration: float) -> None:
    assert [word.text for word in words] == texts
    assert all(0.0 <= word.start <= word.end <= duration for word in words)
    assert all(before.end <= after.start + 1e-9 for before, after in pairwise(words))
    assert all(0.0 <= word.confidence <= 1.0 for word in words)


def test_words_end_where_pauses_begin_and_begin_where_pauses_end() -> None:
    waveform = sound((0.5, 1.2), (1.6, 2.4), duration=3.0)
    texts = ["two", "words,", "then", "1000."]
    spans = [[span(0.55)], [span(0.85), span(0.95)], [span(1.55)], [span(1.95), span(2.1)]]

    words = word_times(texts, spans, waveform, frame_duration=FRAME)

    check(words, texts, 3.0)
    expected = [(0.5, 0.85), (0.85, 1.2), (1.6, 1.95), (1.95, 2.4)]
    assert [(word.start, word.end) for word in words] == [pytest.approx(pair, abs=0.04) for pair in expected]


def test_without_pauses_words_touch_and_the_last_one_does_not_reach_through_the_noise_behind_it() -> None:
    waveform = sound((0.0, 6.0), duration=6.0)
    words = word_times(["so", "it", "goes"], [[span(0.3)], [span(0.6)], [span(0.9)]], waveform, frame_duration=FRAME)
    check(words, ["so", "it", "goes"], 6.0)
    assert [word.start for word in words] == pytest.approx([0.3, 0.6, 0.9])
    assert [word.end for word in words] == pytest.approx([0.6, 0.9, 1.7])


def test_two_words_at_one_pause_keep_their_order_and_their_length() -> None:
    waveform = sound((0.2, 0.9), (1.2, 2.0), duration=2.2)
    words = word_times(["go", "to", "it"], [[span(0.2)], [span(1.12)], [span(1.24)]], waveform, frame_duration=FRAME)
    check(words, ["go", "to", "it"], 2.2)
    assert all(word.end - word.start > 0.04 for word in words)


def test_what_was_not_heard_shares_the_time_between_its_neighbours_by_its_letters() -> None:
    waveform = sound((0.0, 4.0), duration=4.0)
    texts = ["aaaa", "bb", "cc", "dddd"]
    unheard = [span(0.1, log_prob=-12.0)]

    for missing in ([], unheard):
        words = word_times(texts, [[span(0.5)], missing, missing, [span(2.5)]], waveform, frame_duration=FRAME)
        check(words, texts, 4.0)
        assert [word.start for word in words] == pytest.approx([0.5, 1.5, 2.0, 2.5])
        assert [word.confidence for word in words] == pytest.approx([np.exp(-0.1), 0.0, 0.0, np.exp(-0.1)])


@pytest.mark.parametrize("heard", [(), (0,), (2,), (0, 2)])
def test_any_word_may_be_unheard_and_all_of_them(heard: tuple[int, ...]) -> None:
    waveform = sound((0.5, 3.5), duration=4.0)
    texts = ["1", "two", "$3.50"]
    spans = [[span(1.0 + index)] if index in heard else [] for index in range(3)]

    words = word_times(texts, spans, waveform, frame_duration=FRAME)

    check(words, texts, 4.0)
    assert words[0].start == pytest.approx(1.0 if 0 in heard else 0.5, abs=0.05)
    assert words[-1].start < 3.5
    assert all(word.end > word.start for word in words)


def test_random_spans_never_break_the_order() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        duration = rng.uniform(0.1, 5.0)
        edges = np.sort(rng.uniform(0, duration, 6)).reshape(3, 2)
        waveform = sound(*((start, end) for start, end in edges), duration=duration)
        onsets = np.sort(rng.uniform(-ONSET_LAG, duration - ONSET_LAG, 8)).reshape(4, 2)
        spans = [
            [span(onset, log_prob=rng.uniform(-14, 0)) for onset in row[: rng.integers(0, 3)]]
            for row in onsets.tolist()
        ]
        check(word_times(list("abcd"), spans, waveform, frame_duration=FRAME), list("abcd"), len(waveform) / 16_000)


def test_no_words_and_silence() -> None:
    assert word_times([], [], np.zeros(16_000, np.float32), frame_duration=FRAME) == []
    check(word_times(["a"], [[]], np.zeros(1_600, np.float32), frame_duration=FRAME), ["a"], 0.1)
