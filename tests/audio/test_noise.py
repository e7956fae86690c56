import numpy as np
import pytest

from tiny_audio.audio.noise import estimate_snr_db


def bursts(*, snr_db: float, seed: int = 0) -> np.ndarray:
    """Ten seconds of noise bursts, half of the time, over steady noise; the ratio is that of the mean powers."""
    generator = np.random.default_rng(seed)
    signal = generator.standard_normal(160_000) * (np.arange(160_000) // 4000 % 2)
    noise = generator.standard_normal(160_000) * np.sqrt(np.mean(signal**2) / 10 ** (snr_db / 10))
    return (0.05 * (signal + noise)).astype(np.float32)


@pytest.mark.parametrize("snr_db", [0.0, 5.0, 10.0, 20.0, 30.0])
def test_the_ratio_of_bursts_over_noise_is_found(snr_db):
    assert estimate_snr_db(bursts(snr_db=snr_db)) == pytest.approx(snr_db, abs=1.0)


def test_the_level_of_the_recording_does_not_matter():
    waveform = bursts(snr_db=15.0)

    assert estimate_snr_db(0.01 * waveform) == pytest.approx(estimate_snr_db(waveform), abs=0.2)


@pytest.mark.parametrize(
    ("waveform", "lowest", "highest"),
    [
        (np.zeros(0, np.float32), -10, -10),
        (np.zeros(16_000, np.float32), -10, -10),
        (np.random.default_rng(0).standard_normal(160_000).astype(np.float32), -10, 0),  # nothing but noise
        (np.concatenate([np.zeros(16_000), np.resize([1, -1], 100), np.zeros(16_000)]).astype(np.float32), 50, 60),
    ],
)
def test_silence_noise_and_clean_sound_stay_within_bounds(waveform, lowest, highest):
    assert lowest <= estimate_snr_db(waveform) <= highest
