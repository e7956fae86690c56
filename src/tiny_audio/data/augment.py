"""Make clean speech sound like real recordings: other voices, rooms, lines, microphones and noise.

Every function takes and returns a 16 kHz mono waveform `(num_samples,)` and draws only from the generator it is given,
so a result depends on nothing but the seed.
"""

import hashlib
import io
import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import soundfile
import soxr

from tiny_audio.audio.timebase import SAMPLE_RATE, seconds_to_samples
from tiny_audio.types import Seconds, Waveform

NO_LIMITS = (0.0, math.inf)
"""Any speed."""
_QUIET = 1e-4
"""RMS below which a clip holds no speech to set a level by (-80 dBFS)."""
Codec = Literal["opus", "mp3", "gsm"]
CODECS: tuple[Codec, ...] = get_args(Codec)
# libsndfile's container, subtype, a rate that the codec has, and its compression levels:
# Opus 7 to 21 kbit/s, MP3 17 to 26, GSM 13.
_CODECS: dict[Codec, tuple[str, str, int, tuple[float, float] | None]] = {
    "opus": ("OGG", "OPUS", 16_000, (0.99, 0.93)),
    "mp3": ("MP3", "MPEG_LAYER_III", 16_000, (0.99, 0.5)),
    "gsm": ("WAV", "GSM610", 8_000, None),
}


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """How often and how strongly a clip is changed; a range is drawn from uniformly.

    Each effect has its own probability; `clean_probability` of all clips get only the gain.
    """

    clean_probability: float = 0.4
    speed_probability: float = 0.4
    speed: tuple[float, float] = (0.85, 1.2)
    gain_probability: float = 0.8
    gain_db: tuple[float, float] = (-18.0, 3.0)
    room_probability: float = 0.4
    room_rt60: tuple[Seconds, Seconds] = (0.1, 0.6)
    band_probability: float = 0.25
    noise_probability: float = 0.6
    noise_snr_db: tuple[float, float] = (5.0, 30.0)
    hum_probability: float = 0.08
    clip_probability: float = 0.06
    mu_law_probability: float = 0.08
    codec_probability: float = 0.15


def rng_for(seed: int, epoch: int, utterance_id: str) -> np.random.Generator:
    """Generator of one clip in one epoch: the same for any number of workers and any order."""
    digest = hashlib.blake2b(f"{seed}/{epoch}/{utterance_id}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))


def draw_speed(
    rng: np.random.Generator, config: AugmentConfig, limits: tuple[float, float] = NO_LIMITS
) -> tuple[bool, float]:
    """Whether a clip stays clean, and its speed within the limits: the first that `augment` draws from a generator."""
    clean = bool(rng.random() < config.clean_probability)
    is_changed = not clean and rng.random() < config.speed_probability
    speed = rng.uniform(*config.speed) if is_changed else 1.0
    return clean, float(min(max(speed, limits[0]), limits[1]))


def augment(
    waveform: Waveform,
    rng: np.random.Generator,
    config: AugmentConfig | None = None,
    *,
    speed_limits: tuple[float, float] = NO_LIMITS,
) -> Waveform:
    """One random recording of `waveform`; its length changes only with the speed.

    The order is that of the real chain: speaker, room, noise, microphone level, line, storage.
    """
    config = config or AugmentConfig()

    def happens(probability: float) -> bool:
        return bool(rng.random() < probability)

    clean, speed = draw_speed(rng, config, speed_limits)
    waveform = change_speed(waveform, speed)
    if not clean:
        if happens(config.room_probability):
            waveform = simulate_room(waveform, rng, rt60=rng.uniform(*config.room_rt60))
        if happens(config.noise_probability):
            waveform = add_noise(waveform, rng, snr_db=rng.uniform(*config.noise_snr_db))
        if happens(config.hum_probability):
            waveform = add_hum(waveform, rng)
    if happens(config.gain_probability):
        waveform = change_gain(waveform, rng.uniform(*config.gain_db))
    if not clean:
        if happens(config.clip_probability):
            waveform = clip(waveform, rng.uniform(0.2, 0.8))
        if happens(config.band_probability):
            waveform = random_band(waveform, rng)
        if happens(config.mu_law_probability):
            waveform = mu_law(waveform)
        if happens(config.codec_probability):
            waveform = random_codec(waveform, rng)
    return np.clip(waveform, -1.0, 1.0).astype(np.float32)


def change_speed(waveform: Waveform, factor: float) -> Waveform:
    """Play `factor` times as fast; pitch and formants move along, as if another person spoke."""
    if factor == 1.0 or not waveform.size:
        return waveform
    return np.asarray(soxr.resample(waveform, SAMPLE_RATE * factor, SAMPLE_RATE, quality="MQ"), dtype=np.float32)


def change_gain(waveform: Waveform, gain_db: float) -> Waveform:
    """Louder or quieter by `gain_db`, without going beyond full scale."""
    peak = float(np.max(np.abs(waveform), initial=0.0))
    gain = 10.0 ** (gain_db / 20.0)
    return waveform * np.float32(min(gain, 1.0 / peak) if peak > 0.0 else gain)


def add_noise(
    waveform: Waveform, rng: np.random.Generator, *, snr_db: float, slope: tuple[float, float] = (0.0, 2.0)
) -> Waveform:
    """Stationary noise of a random colour, sometimes swelling and falling, `snr_db` below the speech.

    The speech level is that of the louder half of the clip, so pauses do not raise the SNR. A silent clip gets noise
    at a low level. `slope`: from white (0) to brown (2), see `coloured_noise`.
    """
    noise = coloured_noise(waveform.size, rng, slope=rng.uniform(*slope))
    if rng.random() < 0.3:
        time = np.arange(waveform.size) / SAMPLE_RATE
        noise = noise * (1.0 + 0.6 * np.sin(2 * np.pi * rng.uniform(0.1, 2.0) * time + rng.uniform(0, 2 * np.pi)))
    return mix_noise(waveform, noise, snr_db=snr_db)


def mix_noise(waveform: Waveform, noise: np.ndarray, *, snr_db: float) -> Waveform:
    """Speech and noise of the same length, the noise `snr_db` below the speech, whose level is as in `add_noise`."""
    level = _speech_rms(waveform)
    level = level if level > _QUIET else 0.02
    rms = float(np.sqrt(np.mean(noise**2))) if noise.size else 1.0
    return (waveform + noise * (level / max(rms, 1e-9) * 10.0 ** (-snr_db / 20.0))).astype(np.float32)


def add_hum(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    """Mains hum of 50 or 60 Hz with harmonics, and a small DC offset."""
    hum = mains_hum(waveform.size, rng)
    return (waveform + hum * rng.uniform(0.001, 0.02) + rng.uniform(-0.02, 0.02)).astype(np.float32)


def mains_hum(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """50 or 60 Hz and four harmonics, about as loud as full scale."""
    time = np.arange(num_samples) / SAMPLE_RATE
    base = rng.choice([50.0, 60.0])
    hum = np.zeros(num_samples)
    for harmonic in range(1, 6):
        hum += rng.random() / harmonic * np.sin(2 * np.pi * base * harmonic * time + rng.uniform(0, 2 * np.pi))
    return hum


def simulate_room(
    waveform: Waveform, rng: np.random.Generator, *, rt60: Seconds, direct_db: tuple[float, float] = (-3.0, 12.0)
) -> Waveform:
    """Reverberation by exponentially decaying noise; `rt60` is the time until it has fallen by 60 dB.

    The direct sound stays where it was, so word times hold; level and length are kept. `direct_db` is the range of the
    direct sound's level over that of the echoes: the further away, the lower.
    """
    if not waveform.size:
        return waveform
    length = max(seconds_to_samples(rt60), 1)
    decay = np.exp(-np.log(1000.0) * np.arange(length) / length)
    response = rng.standard_normal(length) * decay
    response[: seconds_to_samples(rng.uniform(0.001, 0.01))] = 0.0
    energy = float(np.sqrt(np.sum(response**2)))
    if energy > 0.0:
        response *= 10.0 ** (-rng.uniform(*direct_db) / 20.0) / energy
    response[0] = 1.0
    size = 1 << (waveform.size + length - 1).bit_length()
    wet = np.fft.irfft(np.fft.rfft(waveform, size) * np.fft.rfft(response, size), size)[: waveform.size]
    loudness = float(np.sqrt(np.mean(wet**2)))
    if loudness > 0.0:
        wet *= float(np.sqrt(np.mean(waveform**2))) / loudness
    return wet.astype(np.float32)


def band_limit(waveform: Waveform, *, low_hz: float, high_hz: float, edge_octaves: float = 0.3) -> Waveform:
    """Keep `low_hz` to `high_hz`; the gain falls over `edge_octaves` outside, half a cosine in log frequency."""
    if not waveform.size:
        return waveform
    size = 1 << (waveform.size - 1).bit_length()
    octave = np.log2(np.maximum(np.fft.rfftfreq(size, 1.0 / SAMPLE_RATE), 1.0))
    outside = np.maximum(np.log2(max(low_hz, 1.0)) - octave, octave - np.log2(high_hz))
    mask = 0.5 + 0.5 * np.cos(np.pi * np.clip(outside / edge_octaves, 0.0, 1.0))
    return np.fft.irfft(np.fft.rfft(waveform, size) * mask, size)[: waveform.size].astype(np.float32)


def random_band(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    """A telephone line, an 8 kHz recording, or a muffled microphone."""
    kind = rng.choice(["telephone", "narrow", "muffled"], p=[0.4, 0.3, 0.3])
    if kind == "telephone":
        return band_limit(waveform, low_hz=300.0, high_hz=3400.0)
    if kind == "narrow":
        return band_limit(waveform, low_hz=1.0, high_hz=3800.0, edge_octaves=0.07)
    return band_limit(waveform, low_hz=1.0, high_hz=rng.uniform(1200.0, 3000.0), edge_octaves=1.5)


def clip(waveform: Waveform, level: float) -> Waveform:
    """Overdrive: everything above `level` times the peak is cut off."""
    limit = level * float(np.max(np.abs(waveform), initial=0.0))
    return np.clip(waveform, -limit, limit)


def mu_law(waveform: Waveform, *, bits: int = 8) -> Waveform:
    """The rounding of a G.711 telephone line (mu-law, 8 bits a sample)."""
    mu = 2.0**bits - 1.0
    companded = np.sign(waveform) * np.log1p(mu * np.abs(np.clip(waveform, -1.0, 1.0))) / np.log1p(mu)
    rounded = np.round((companded + 1.0) / 2.0 * mu) / mu * 2.0 - 1.0
    return (np.sign(rounded) * np.expm1(np.abs(rounded) * np.log1p(mu)) / mu).astype(np.float32)


def random_codec(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    """A voice message, a compressed podcast or a mobile phone: really encoded and decoded."""
    return lossy_codec(waveform, CODECS[rng.integers(len(CODECS))], quality=rng.uniform(0.0, 1.0))


def lossy_codec(waveform: Waveform, codec: Codec, *, quality: float) -> Waveform:
    """What is left after storage as Opus, MP3 or GSM; length and position stay.

    Args:
        waveform: what is stored.
        codec: which one.
        quality: 0 the worst that is in use, 1 the best; GSM has only one.
    """
    if not waveform.size:
        return waveform
    container, subtype, sample_rate, levels = _CODECS[codec]
    stored = soxr.resample(waveform, SAMPLE_RATE, sample_rate, quality="MQ")
    file = io.BytesIO()
    with soundfile.SoundFile(
        file,
        "w",
        sample_rate,
        channels=1,
        format=container,
        subtype=subtype,
        compression_level=levels and levels[0] + quality * (levels[1] - levels[0]),
    ) as sound:
        sound.write(np.clip(stored, -1.0, 1.0))
    file.seek(0)
    heard = soxr.resample(soundfile.read(file, dtype="float32")[0], sample_rate, SAMPLE_RATE, quality="MQ")
    # GSM comes in blocks of 20 ms: a tail that fills the last one is no sound of the clip.
    return np.pad(heard[: waveform.size], (0, max(waveform.size - heard.size, 0)))


def coloured_noise(num_samples: int, rng: np.random.Generator, *, slope: float) -> np.ndarray:
    """Noise whose power falls with frequency to the power of `slope`: 0 white, 1 pink, 2 brown."""
    if not num_samples:
        return np.zeros(0)
    size = 1 << (num_samples - 1).bit_length()
    # Below 40 Hz brown noise would be nothing but a wandering offset.
    frequencies = np.maximum(np.fft.rfftfreq(size, 1.0 / SAMPLE_RATE), 40.0)
    shape = frequencies ** (-slope / 2.0)
    return np.fft.irfft(np.fft.rfft(rng.standard_normal(size)) * shape, size)[:num_samples]


def _speech_rms(waveform: Waveform) -> float:
    """RMS of the louder half of 20 ms frames."""
    frame = SAMPLE_RATE // 50
    count = waveform.size // frame
    if count < 2:
        return float(np.sqrt(np.mean(waveform**2))) if waveform.size else 0.0
    power = np.sort(np.mean(waveform[: count * frame].reshape(count, frame) ** 2, axis=1))
    return float(np.sqrt(np.mean(power[count // 2 :])))
