from itertools import pairwise

import numpy as np
import pytest

from fakes import tone
from tiny_audio.inference.longform import plan_chunks


def speech_with_pauses(pauses: list[tuple[float, float]], *, duration: float, floor: float = 0.001) -> np.ndarray:
    """A steady voice with a pause at each (start, length), over a little noise."""
    time = np.arange(round(duration * 16_000)) / 16_000
    waveform = 0.3 * np.sin(2 * np.pi * 300 * time)
    for start, length in pauses:
        waveform[round(start * 16_000) : round((start + length) * 16_000)] = 0.0
    return (waveform + floor * np.random.default_rng(0).standard_normal(len(waveform))).astype(np.float32)


@pytest.mark.parametrize("num_samples", [1600, 16_000, 480_000])
def test_audio_up_to_30_s_is_one_chunk(num_samples: int) -> None:
    (chunk,) = plan_chunks(np.zeros(num_samples, np.float32))

    assert (chunk.start_sample, chunk.end_sample) == (0, num_samples)


@pytest.mark.parametrize("num_samples", [480_001, 500_000, 960_000, 3_000_017])
@pytest.mark.parametrize("kind", ["zeros", "noise", "speech"])
def test_chunks_cover_the_audio_without_gap_or_overlap_and_fit_the_encoder(kind: str, num_samples: int) -> None:
    waveform = {
        "zeros": lambda: np.zeros(num_samples, np.float32),
        "noise": lambda: np.random.default_rng(0).standard_normal(num_samples).astype(np.float32),
        "speech": lambda: tone(duration=num_samples / 16_000),
    }[kind]()

    chunks = plan_chunks(waveform)

    assert chunks[0].start_sample == 0
    assert chunks[-1].end_sample == num_samples
    assert all(before.end_sample == after.start_sample for before, after in pairwise(chunks))
    assert all(chunk.end - chunk.start <= 30.0 for chunk in chunks)
    assert all(chunk.end - chunk.start >= 10.0 for chunk in chunks[:-1])
    assert chunks[-1].end - chunks[-1].start >= 1.9  # enough for the model whatever the length
    np.testing.assert_array_equal(np.concatenate([chunk.of(waveform) for chunk in chunks]), waveform)


def test_cuts_lie_in_the_longest_pause() -> None:
    waveform = speech_with_pauses([(5, 2), (12, 0.3), (17, 0.8), (22, 0.4), (40, 0.5)], duration=50)

    first, second, third = plan_chunks(waveform)

    assert first.end == pytest.approx(17.4, abs=0.05)
    assert second.end == pytest.approx(40.25, abs=0.05)
    assert third.end == 50.0


@pytest.mark.parametrize("floor", [0.0, 1e-4, 0.03])
def test_pauses_are_found_whatever_the_noise(floor: float) -> None:
    first, _ = plan_chunks(speech_with_pauses([(20, 0.5)], duration=45, floor=floor))

    assert first.end == pytest.approx(20.25, abs=0.05)


def test_without_a_pause_the_cut_is_at_the_quietest_point() -> None:
    waveform = speech_with_pauses([], duration=40)
    waveform[round(23.9 * 16_000) : round(24.1 * 16_000)] *= 0.8

    assert plan_chunks(waveform)[0].end == pytest.approx(24.0, abs=0.2)


def test_times_do_not_drift() -> None:
    """Adding 30 s a chunk instead of the real cut is a known mistake: half a second per chunk."""
    waveform = speech_with_pauses([(start, 1.0) for start in range(20, 600, 20)], duration=600)

    for chunk in plan_chunks(waveform)[:-1]:
        assert (chunk.end - 0.5) % 20 == pytest.approx(0.0, abs=0.05) or (chunk.end - 0.5) % 20 > 19.95
        assert chunk.end == chunk.end_sample / 16_000
