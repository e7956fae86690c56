import numpy as np
import pytest

from fakes import tone
from tiny_audio.audio.vad import find_pauses, frame_levels_db, is_silent


def noise(*, duration: float, rms: float) -> np.ndarray:
    return (rms * np.random.default_rng(0).standard_normal(round(duration * 16_000))).astype(np.float32)


def test_levels_are_decibels_below_full_scale_and_ignore_a_constant_offset() -> None:
    square = np.tile(np.repeat(np.float32([0.1, -0.1]), 8), 1000)

    levels = frame_levels_db(square + np.float32(0.3))

    assert len(levels) == 100
    np.testing.assert_allclose(levels, -20.0, atol=0.1)


@pytest.mark.parametrize("num_samples", [1, 159, 160, 161, 16_001])
def test_there_is_a_level_for_every_started_hop(num_samples: int) -> None:
    levels = frame_levels_db(noise(duration=2, rms=0.1)[:num_samples])

    assert len(levels) == -(-num_samples // 160)
    assert np.isfinite(levels).all()


@pytest.mark.parametrize("duration", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("level", [0.0, 0.4])
def test_a_constant_is_silent(level: float, duration: float) -> None:
    assert is_silent(np.full(round(duration * 16_000), level, np.float32))


def test_dither_is_silent() -> None:
    assert is_silent((np.random.default_rng(0).integers(-1, 2, 160_000) / 2**15).astype(np.float32))


@pytest.mark.parametrize("rms", [1e-3, 0.1])
@pytest.mark.parametrize("duration", [2.0, 30.0])
def test_steady_noise_and_hum_are_silent(rms: float, duration: float) -> None:
    time = np.arange(round(duration * 16_000)) / 16_000

    assert is_silent(noise(duration=duration, rms=rms))
    assert is_silent((rms * np.sin(2 * np.pi * 50 * time)).astype(np.float32))


@pytest.mark.parametrize("gain_db", [0, -20, -40, -55])
def test_quiet_speech_is_not_silent(gain_db: float) -> None:
    speech = tone(duration=3.0) * np.float32(10 ** (gain_db / 20))

    assert not is_silent(speech)
    assert not is_silent(speech + noise(duration=3.0, rms=0.01 * 10 ** (gain_db / 20)))


def test_one_short_word_in_long_steady_noise_is_not_silent() -> None:
    recording = noise(duration=30.0, rms=0.003)
    recording[200_000:204_800] += 0.1 * tone(duration=0.3)

    assert not is_silent(recording)


def test_one_steady_vowel_is_not_silent() -> None:
    time = np.arange(4800) / 16_000

    assert not is_silent((0.1 * np.sin(2 * np.pi * 200 * time)).astype(np.float32))


@pytest.mark.parametrize("floor_db", [-100.0, -60.0, -30.0])
def test_pauses_are_found_above_any_noise_floor(floor_db: float) -> None:
    levels = np.full(1000, -10.0, np.float32)
    levels[300:340] = floor_db
    levels[600:700] = floor_db
    levels[800:805] = floor_db  # too short

    assert find_pauses(levels, min_duration=0.2) == [(300, 340), (600, 700)]


def test_a_pause_may_touch_the_borders() -> None:
    levels = np.full(100, -60.0, np.float32)
    levels[40:60] = -10.0

    assert find_pauses(levels, min_duration=0.2) == [(0, 40), (60, 100)]
