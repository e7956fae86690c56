import numpy as np
import pytest

from tiny_audio.audio.timebase import SAMPLE_RATE
from tiny_audio.data.augment import (
    CODECS,
    AugmentConfig,
    add_hum,
    add_noise,
    augment,
    band_limit,
    change_gain,
    change_speed,
    clip,
    draw_speed,
    lossy_codec,
    mu_law,
    rng_for,
    simulate_room,
)


def tone(frequency, seconds=1.0, amplitude=0.3):
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (amplitude * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def rms(waveform):
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))


def loudest_hz(waveform):
    return np.argmax(np.abs(np.fft.rfft(waveform))) * SAMPLE_RATE / waveform.size


def test_generator_depends_on_seed_epoch_and_id_only():
    draws = {key: rng_for(*key).random() for key in [(0, 0, "a"), (1, 0, "a"), (0, 1, "a"), (0, 0, "b"), (0, 0, "1/a")]}
    assert len(set(draws.values())) == len(draws)
    assert rng_for(0, 0, "a").random() == draws[0, 0, "a"]


def test_augment_is_reproducible_valid_and_leaves_its_input_alone():
    speech = tone(220)
    before = speech.copy()
    for index in range(60):
        result = augment(speech, rng_for(0, 0, str(index)))
        np.testing.assert_array_equal(result, augment(speech, rng_for(0, 0, str(index))))
        assert result.dtype == np.float32
        assert result.ndim == 1
        assert np.isfinite(result).all()
        assert np.abs(result).max() <= 1.0
        assert 1 / 1.25 <= result.size / speech.size <= 1.25
    np.testing.assert_array_equal(speech, before)


def test_clean_clips_change_only_in_level():
    speech = tone(220)
    result = augment(speech, rng_for(0, 0, "x"), AugmentConfig(clean_probability=1.0))
    ratio = rms(result) / rms(speech)
    np.testing.assert_allclose(result, speech * ratio, atol=1e-5)


@pytest.mark.parametrize("num_samples", [0, 1, 100])
def test_augment_survives_tiny_and_silent_clips(num_samples):
    everything = AugmentConfig(
        clean_probability=0.0,
        speed_probability=1.0,
        room_probability=1.0,
        noise_probability=1.0,
        hum_probability=1.0,
        clip_probability=1.0,
        band_probability=1.0,
        mu_law_probability=1.0,
    )
    for index in range(10):
        assert np.isfinite(augment(np.zeros(num_samples, np.float32), rng_for(0, 0, str(index)), everything)).all()


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_speed_moves_duration_and_pitch_together(factor):
    result = change_speed(tone(400), factor)
    assert result.size == pytest.approx(SAMPLE_RATE / factor, abs=2)
    assert loudest_hz(result) == pytest.approx(400 * factor, abs=2)


@pytest.mark.parametrize("snr_db", [5.0, 20.0])
def test_noise_has_the_wanted_snr(snr_db):
    speech = tone(300)
    for index in range(5):
        noise = add_noise(speech, rng_for(0, 0, str(index)), snr_db=snr_db) - speech
        assert 20 * np.log10(rms(speech) / rms(noise)) == pytest.approx(snr_db, abs=0.5)


def test_pauses_do_not_change_the_noise_level():
    speech = tone(300)
    padded = np.concatenate([speech, np.zeros_like(speech)])
    noise = add_noise(padded, rng_for(0, 0, "a"), snr_db=10.0) - padded
    assert 20 * np.log10(rms(speech) / rms(noise)) == pytest.approx(10.0, abs=0.5)


def test_room_keeps_length_level_and_onset_and_rings_on():
    click = np.zeros(SAMPLE_RATE, np.float32)
    click[4000] = 0.5
    result = simulate_room(click, rng_for(0, 0, "a"), rt60=0.3)
    assert result.size == click.size
    assert rms(result) == pytest.approx(rms(click), rel=1e-3)
    np.testing.assert_allclose(result[:3990], 0.0, atol=1e-5)
    early, late = rms(result[4200:5000]), rms(result[8000:8800])
    assert 0.0 < late < early / 10
    np.testing.assert_allclose(result[4000 + int(0.31 * SAMPLE_RATE) :], 0.0, atol=1e-5)


def test_band_limit_passes_the_band_and_stops_the_rest():
    def gain(frequency):
        return rms(band_limit(tone(frequency), low_hz=300.0, high_hz=3400.0)) / rms(tone(frequency))

    assert gain(1000) == pytest.approx(1.0, abs=0.02)
    assert gain(100) < 0.02
    assert gain(6000) < 0.02


def test_gain_is_in_decibels_and_stops_at_full_scale():
    assert rms(change_gain(tone(300), -6.0)) == pytest.approx(rms(tone(300)) * 10 ** (-6 / 20), rel=1e-4)
    assert np.abs(change_gain(tone(300), 60.0)).max() == pytest.approx(1.0, abs=1e-4)


def test_clip_hum_and_mu_law():
    speech = tone(300)
    assert np.abs(clip(speech, 0.5)).max() == pytest.approx(0.15, abs=1e-3)
    hum = add_hum(speech, rng_for(0, 0, "a")) - speech
    assert loudest_hz(hum - hum.mean()) in [50.0, 60.0, 100.0, 120.0, 150.0, 180.0, 200.0, 240.0, 250.0, 300.0]
    companded = mu_law(speech)
    assert len(np.unique(companded)) <= 256
    np.testing.assert_allclose(companded, speech, atol=0.02)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("quality", [0.0, 1.0])
def test_a_codec_loses_something_and_keeps_length_and_position(codec, quality):
    speech = tone(220, 1.0) + tone(700, 1.0, 0.1)
    heard = lossy_codec(speech, codec, quality=quality)
    assert heard.shape == speech.shape
    middle = slice(4_000, 12_000)
    assert np.corrcoef(heard[middle], speech[middle])[0, 1] > 0.95  # half a period off would be -1
    assert rms(heard[middle] - speech[middle]) > 1e-3


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("num_samples", [0, 1, 333])
def test_a_codec_takes_any_length(codec, num_samples):
    assert lossy_codec(np.zeros(num_samples, np.float32), codec, quality=0.5).shape == (num_samples,)


def test_the_speed_that_is_announced_is_the_one_that_is_played():
    speech = tone(220)
    config = AugmentConfig(clean_probability=0.3, speed_probability=0.7)
    for index in range(20):
        limits = (0.0, 1.05) if index % 2 else (0.9, np.inf)
        _, speed = draw_speed(rng_for(0, 0, str(index)), config, limits)
        result = augment(speech, rng_for(0, 0, str(index)), config, speed_limits=limits)
        assert result.size == pytest.approx(speech.size / speed, abs=1)
        assert limits[0] <= speed <= limits[1]
