from itertools import pairwise

import numpy as np
import pytest

from fakes import tone
from tiny_audio.audio.vad import EnergyDetector, EverythingIsSpeech, VadOptions
from tiny_audio.inference.longform import Chunk, Chunker, cut_into_chunks, load_detector

EVERYTHING = VadOptions(kind="none", max_speech_duration_s=30.0)
ENERGY = VadOptions(kind="energy", max_speech_duration_s=30.0)
RATE = 16_000


def chunks_of(waveform: np.ndarray, options: VadOptions = EVERYTHING) -> list[Chunk]:
    return list(cut_into_chunks([waveform], load_detector(options)(), options))


def speech_with_pauses(pauses: list[tuple[float, float]], *, duration: float, floor: float = 0.001) -> np.ndarray:
    """A steady voice with a pause at each (start, length), over a little noise."""
    time = np.arange(round(duration * RATE)) / RATE
    waveform = 0.3 * np.sin(2 * np.pi * 300 * time)
    for start, length in pauses:
        waveform[round(start * RATE) : round((start + length) * RATE)] = 0.0
    return (waveform + floor * np.random.default_rng(0).standard_normal(len(waveform))).astype(np.float32)


def bursts(*times: tuple[float, float], duration: float) -> np.ndarray:
    """Tones from start to end over a little noise."""
    waveform = 3e-5 * np.random.default_rng(0).standard_normal(round(duration * RATE)).astype(np.float32)
    for start, end in times:
        waveform[round(start * RATE) : round(end * RATE)] += tone(duration=end - start)
    return waveform


# Everything is speech: the chunks cover the signal


@pytest.mark.parametrize("num_samples", [1, 1600, 16_000, 479_999, 480_000])
def test_audio_up_to_30_s_is_one_chunk(num_samples: int) -> None:
    (chunk,) = chunks_of(np.zeros(num_samples, np.float32))

    assert (chunk.start_sample, chunk.end_sample) == (0, num_samples)


def test_no_audio_has_no_chunks() -> None:
    assert chunks_of(np.zeros(0, np.float32)) == []


@pytest.mark.parametrize("num_samples", [480_001, 500_000, 960_000, 3_000_017])
@pytest.mark.parametrize("kind", ["zeros", "noise", "speech"])
def test_chunks_cover_the_audio_without_gap_or_overlap_and_fit_the_encoder(kind: str, num_samples: int) -> None:
    waveform = {
        "zeros": lambda: np.zeros(num_samples, np.float32),
        "noise": lambda: np.random.default_rng(0).standard_normal(num_samples).astype(np.float32),
        "speech": lambda: tone(duration=num_samples / RATE),
    }[kind]()

    chunks = chunks_of(waveform)

    assert chunks[0].start_sample == 0
    assert chunks[-1].end_sample == num_samples
    assert all(before.end_sample == after.start_sample for before, after in pairwise(chunks))
    assert all(chunk.end - chunk.start <= 30.0 for chunk in chunks)
    assert all(chunk.end - chunk.start >= 10.0 for chunk in chunks[:-1])
    assert chunks[-1].end - chunks[-1].start >= 1.9  # enough for the model whatever the length
    np.testing.assert_array_equal(np.concatenate([chunk.waveform for chunk in chunks]), waveform)


def test_cuts_lie_in_the_longest_pause() -> None:
    waveform = speech_with_pauses([(5, 2), (12, 0.3), (17, 0.8), (22, 0.4), (40, 0.5)], duration=50)

    first, second, third = chunks_of(waveform)

    assert first.end == pytest.approx(17.4, abs=0.05)
    assert second.end == pytest.approx(40.25, abs=0.05)
    assert third.end == 50.0


@pytest.mark.parametrize("floor", [0.0, 1e-4, 0.03])
def test_pauses_are_found_whatever_the_noise(floor: float) -> None:
    first, _ = chunks_of(speech_with_pauses([(20, 0.5)], duration=45, floor=floor))

    assert first.end == pytest.approx(20.25, abs=0.05)


def test_without_a_pause_the_cut_is_at_the_quietest_point() -> None:
    waveform = speech_with_pauses([], duration=40)
    waveform[round(23.9 * RATE) : round(24.1 * RATE)] *= 0.8

    assert chunks_of(waveform)[0].end == pytest.approx(24.0, abs=0.2)


def test_times_do_not_drift() -> None:
    """Adding 30 s a chunk instead of the real cut is a known mistake: half a second per chunk."""
    waveform = speech_with_pauses([(start, 1.0) for start in range(20, 600, 20)], duration=600)

    for chunk in chunks_of(waveform)[:-1]:
        assert (chunk.end - 0.5) % 20 == pytest.approx(0.0, abs=0.05) or (chunk.end - 0.5) % 20 > 19.95
        assert chunk.end == chunk.end_sample / RATE


# Silence is left out


def test_long_silence_is_left_out_but_for_a_margin() -> None:
    waveform = bursts((5.0, 8.0), (20.0, 23.0), duration=30.0)

    first, second = chunks_of(waveform, ENERGY)

    assert (first.start, first.end) == pytest.approx((4.6, 8.4), abs=0.1)
    assert (second.start, second.end) == pytest.approx((19.6, 23.4), abs=0.1)
    for chunk, (start, end) in ((first, (5, 8)), (second, (20, 23))):  # two seconds are heard, fewer are shown
        assert (chunk.start_sample, chunk.end_sample) == pytest.approx(((start - 2) * RATE, (end + 2) * RATE), abs=1600)
        np.testing.assert_array_equal(chunk.waveform, waveform[chunk.start_sample : chunk.end_sample])


def test_a_clip_with_short_silences_is_heard_whole() -> None:
    waveform = bursts((1.5, 4.0), (5.5, 7.0), duration=8.8)

    (chunk,) = chunks_of(waveform, ENERGY)

    assert (chunk.start_sample, chunk.end_sample) == (0, len(waveform))


@pytest.mark.parametrize("waveform", [np.zeros(160_000), 0.01 * np.random.default_rng(0).standard_normal(160_000)])
def test_silence_and_steady_noise_have_no_chunks(waveform: np.ndarray) -> None:
    assert chunks_of(waveform.astype(np.float32), ENERGY) == []


def test_a_word_that_was_cut_out_tightly_is_left_to_the_model() -> None:
    class Deaf(EverythingIsSpeech):
        def probabilities(self, waveform: np.ndarray) -> np.ndarray:
            return super().probabilities(waveform) * 0.1

    word = tone(duration=0.4)

    (chunk,) = cut_into_chunks(np.split(word, 100), Deaf(), VadOptions(min_silence_duration_ms=50))

    np.testing.assert_array_equal(chunk.waveform, word)
    assert list(cut_into_chunks([np.zeros(6400, np.float32)], Deaf(), VadOptions())) == []
    assert list(cut_into_chunks([tone(duration=1.0)], Deaf(), VadOptions())) == []


def test_a_word_after_an_hour_of_silence_is_found_where_it_is() -> None:
    silence = np.zeros(60 * RATE, np.float32)
    blocks = [*[silence] * 60, tone(duration=2.0), silence]

    (chunk,) = cut_into_chunks(blocks, EnergyDetector(), ENERGY)

    assert (chunk.start, chunk.end) == pytest.approx((3599.6, 3602.4), abs=0.1)


def test_options_have_the_meaning_of_their_names() -> None:
    waveform = bursts((3.0, 5.0), (5.8, 8.0), (12.0, 12.3), duration=15.0)
    options = VadOptions(
        kind="energy",
        min_silence_duration_ms=500,
        speech_pad_ms=100,
        min_speech_duration_ms=600,
        max_speech_duration_s=10,
    )

    first, second = chunks_of(waveform, options)  # the third burst is too short

    assert (first.start, first.end) == pytest.approx((2.9, 5.1), abs=0.1)
    assert (second.start, second.end) == pytest.approx((5.7, 8.1), abs=0.1)


# Blocks make no difference


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("options", [EVERYTHING, ENERGY])
def test_the_sizes_of_the_blocks_make_no_difference(options: VadOptions, seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = [
        tone(duration=rng.uniform(0.2, 25)) if rng.random() < 0.6 else np.zeros(round(rng.uniform(0.1, 4) * RATE))
        for _ in range(15)
    ]
    waveform = np.concatenate(parts).astype(np.float32)
    sizes = rng.integers(1, rng.choice([500, 5_000, 200_000]), size=len(waveform))
    borders = np.cumsum(sizes)
    blocks = np.split(waveform, borders[borders < len(waveform)])

    chunks = list(cut_into_chunks(blocks, load_detector(options)(), options))

    expected = chunks_of(waveform, options)
    assert [(chunk.start_sample, chunk.end_sample, chunk.delay) for chunk in chunks] == [
        (chunk.start_sample, chunk.end_sample, chunk.delay) for chunk in expected
    ]
    for chunk, other in zip(chunks, expected, strict=True):
        np.testing.assert_array_equal(chunk.waveform, other.waveform)
        np.testing.assert_array_equal(chunk.waveform, waveform[chunk.start_sample : chunk.end_sample])


def test_the_caller_may_reuse_its_block() -> None:
    chunker = Chunker(EverythingIsSpeech(), EVERYTHING)
    block = np.ones(1000, np.float32)

    chunker.push(block)
    block[:] = 0.0

    (chunk,) = chunker.flush()
    assert chunk.waveform.min() == 1.0


def test_no_more_is_kept_than_the_open_chunk() -> None:
    chunker = Chunker(EnergyDetector(), ENERGY)
    for _ in range(200):
        chunker.push(np.zeros(RATE, np.float32))
    assert sum(len(part) for _, part in chunker._signal._parts) <= 4 * RATE

    for _ in range(200):
        chunker.push(tone(duration=1.0))
    assert sum(len(part) for _, part in chunker._signal._parts) <= 32 * RATE


def test_the_delay_is_the_silence_that_was_waited_for() -> None:
    options = VadOptions(kind="energy", min_silence_duration_ms=500)

    (chunk,) = chunks_of(bursts((3.0, 6.0), duration=9.0), options)

    assert chunk.delay == pytest.approx(0.5, abs=0.04)
