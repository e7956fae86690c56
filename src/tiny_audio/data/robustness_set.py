"""Sounds on which recognisers invent words: silence, noise, tones, music, clicks; and real speech, badly recorded.

All of it is made from a seed, so nothing needs to be downloaded and two machines measure the same. The right text of
what is not speech is empty. The speech, if there is any, keeps its own text: each degraded copy is as easy to
understand for a person as the original.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from tiny_audio.audio.timebase import SAMPLE_RATE, seconds_to_samples
from tiny_audio.data.augment import add_hum, add_noise, band_limit, clip, coloured_noise, rng_for
from tiny_audio.data.manifest import Utterance, read_manifest, write_manifest
from tiny_audio.data.recordings import load_waveform
from tiny_audio.errors import ManifestError
from tiny_audio.types import Seconds, Waveform

MANIFEST_FILE = "manifest.jsonl"
_DURATION: Seconds = 10.0
_BLOCK: Seconds = 60.0
_NUM_SPEECH = 3
"""Utterances that are degraded in each way."""

Blocks = Iterator[NDArray[np.float32]]
"""Pieces of a recording in order: `(n,)`, or `(n, channels)`."""


@dataclass(frozen=True, kw_only=True)
class RobustnessClip:
    """One recording, made only when its `blocks` are asked for."""

    name: str
    sample_rate: int
    num_channels: int
    blocks: Callable[[], Blocks]
    text: str = ""

    @property
    def is_speech(self) -> bool:
        """Whether anything is said."""
        return bool(self.text)


def robustness_clips(*, seed: int = 0, speech: Sequence[Utterance] = ()) -> Iterator[RobustnessClip]:
    """The whole set: every kind of non-speech, then every kind of damage to each utterance of `speech`."""
    for name, make in _NON_SPEECH.items():
        yield _clip(name, partial(_make, make, name, seed))
    yield _clip("click-50ms", lambda: _clicks(rng_for(seed, 0, "click-50ms"), seconds_to_samples(0.05)))
    yield _clip("stereo-noise", lambda: _stereo_noise(rng_for(seed, 0, "stereo-noise")), num_channels=2)
    yield RobustnessClip(
        name="silence-1h",
        sample_rate=SAMPLE_RATE,
        num_channels=1,
        blocks=lambda: (np.zeros(seconds_to_samples(_BLOCK), np.float32) for _ in range(round(3600 / _BLOCK))),
    )
    for utterance in speech:
        yield from _degraded(utterance, seed)


def write_robustness_set(folder: Path, speech: Path | None = None, *, seed: int = 0) -> Path:
    """Write every clip as FLAC and a manifest of them, whose path is returned.

    Args:
        folder: made if it is missing; files of an earlier run are written again.
        speech: manifest of clean speech, of which the first three utterances with text are degraded; None: no speech.
        seed: of all that is random.

    Raises:
        ManifestError: `speech` cannot be read, or no utterance in it has a text.
        AudioError: a recording of it cannot be read.
    """
    utterances = [utterance for utterance in read_manifest(speech) if utterance.text] if speech else []
    if speech and not utterances:
        raise ManifestError(str(speech), None, "no utterance has a text; expected transcribed speech")
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for item in robustness_clips(seed=seed, speech=utterances[:_NUM_SPEECH]):
        path = folder / f"{item.name}.flac"
        with soundfile.SoundFile(path, "w", item.sample_rate, item.num_channels, "PCM_16") as file:
            for block in item.blocks():
                file.write(block)
            duration = file.frames / item.sample_rate
        rows.append(Utterance(id=item.name, audio=path, duration=duration, text=item.text))
    write_manifest(folder / MANIFEST_FILE, rows)
    return folder / MANIFEST_FILE


def _clip(
    name: str,
    make: Callable[[], NDArray[np.float32]],
    *,
    sample_rate: int = SAMPLE_RATE,
    num_channels: int = 1,
    text: str = "",
) -> RobustnessClip:
    return RobustnessClip(
        name=name, sample_rate=sample_rate, num_channels=num_channels, blocks=lambda: iter([make()]), text=text
    )


def _make(kind: Callable[[np.random.Generator, int], Waveform], name: str, seed: int) -> Waveform:
    return kind(rng_for(seed, 0, name), seconds_to_samples(_DURATION))


def _degraded(utterance: Utterance, seed: int) -> Iterator[RobustnessClip]:
    """The utterance as phones, mixing desks and careless people deliver it."""

    def variant(kind: str, make: Callable[[Waveform], NDArray[np.float32]], **layout: int) -> RobustnessClip:
        stem = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in utterance.id)
        return _clip(f"{kind}-{stem}", lambda: make(load_waveform(utterance)), text=utterance.text, **layout)

    def noisy(waveform: Waveform) -> Waveform:
        return np.clip(add_noise(waveform, rng_for(seed, 0, utterance.id), snr_db=15.0), -1.0, 1.0)

    silence = np.zeros(seconds_to_samples(_DURATION), np.float32)
    # Every other sample of a band-limited recording is that recording at half the rate.
    yield variant("8khz", lambda waveform: band_limit(waveform, low_hz=1.0, high_hz=3600.0)[::2], sample_rate=8_000)
    yield variant("phase-flipped", lambda waveform: np.stack([waveform, -waveform], axis=1), num_channels=2)
    yield variant("one-channel", lambda waveform: np.stack([waveform, 0 * waveform], axis=1), num_channels=2)
    yield variant("clipped", lambda waveform: clip(waveform, 0.1) * np.float32(5.0))
    yield variant("quiet", lambda waveform: waveform * np.float32(0.01))
    yield variant("noisy", noisy)
    yield variant("in-silence", lambda waveform: np.concatenate([silence, waveform, silence]))


def _time(num_samples: int) -> NDArray[np.float64]:
    return np.arange(num_samples) / SAMPLE_RATE


def _scaled(signal: NDArray[np.floating], rms: float) -> Waveform:
    """The signal with that root mean square, within full scale."""
    power = float(np.sqrt(np.mean(signal**2)))
    return np.clip(signal * (rms / power if power else 0.0), -1.0, 1.0).astype(np.float32)


def _noise(slope: float, rms: float) -> Callable[[np.random.Generator, int], Waveform]:
    """Noise whose power falls with frequency to the power of `slope`."""
    return lambda rng, num_samples: _scaled(coloured_noise(num_samples, rng, slope=slope), rms)


def _stereo_noise(rng: np.random.Generator) -> NDArray[np.float32]:
    """Two channels that have nothing in common."""
    return np.clip(rng.normal(0.0, 0.05, (seconds_to_samples(_DURATION), 2)), -1.0, 1.0).astype(np.float32)


def _syllabic_noise(rng: np.random.Generator, num_samples: int) -> Waveform:
    """Noise that swells and falls four times a second, as speech does: nothing an energy detector could tell apart."""
    envelope = 0.5 - 0.5 * np.cos(2 * np.pi * 4.0 * _time(num_samples) + rng.uniform(0, 2 * np.pi))
    return _scaled(coloured_noise(num_samples, rng, slope=1.0) * envelope**2, 0.05)


def _bursts(rng: np.random.Generator, num_samples: int) -> Waveform:
    """Breath or wind: a second or so of noise, then silence, in a band of its own each time."""
    waveform = np.zeros(num_samples, np.float32)
    position = 0
    while position < num_samples:
        length = min(seconds_to_samples(rng.uniform(0.3, 1.2)), num_samples - position)
        low = rng.uniform(200.0, 1500.0)
        burst = band_limit(rng.standard_normal(length).astype(np.float32), low_hz=low, high_hz=3.0 * low)
        waveform[position : position + length] = burst * np.hanning(length)
        position += length + seconds_to_samples(rng.uniform(0.2, 1.0))
    return _scaled(waveform, 0.05)


def _sine(rng: np.random.Generator, num_samples: int) -> Waveform:
    return _scaled(np.sin(2 * np.pi * rng.uniform(300.0, 900.0) * _time(num_samples)), 0.1)


def _hum(rng: np.random.Generator, num_samples: int) -> Waveform:
    return add_hum(np.zeros(num_samples, np.float32), rng)


def _sweep(rng: np.random.Generator, num_samples: int) -> Waveform:
    """A siren: the pitch rises and falls over an octave."""
    octave = 0.5 * np.sin(2 * np.pi * rng.uniform(0.2, 0.6) * _time(num_samples))
    return _scaled(np.sin(2 * np.pi * np.cumsum(700.0 * 2.0**octave) / SAMPLE_RATE), 0.1)


def _dial_tones(rng: np.random.Generator, num_samples: int) -> Waveform:
    """A number dialled with push-button tones (two sines each), then the busy signal."""
    time = _time(num_samples)
    key = rng.integers(0, 12, size=len(time) // seconds_to_samples(0.2) + 1).repeat(seconds_to_samples(0.2))[
        : len(time)
    ]
    rows, columns = np.array([697.0, 770.0, 852.0, 941.0]), np.array([1209.0, 1336.0, 1477.0])
    tones = np.sin(2 * np.pi * rows[key // 3] * time) + np.sin(2 * np.pi * columns[key % 3] * time)
    dialled = tones * (time % 0.2 < 0.1)
    busy = (np.sin(2 * np.pi * 480.0 * time) + np.sin(2 * np.pi * 620.0 * time)) * (time % 1.0 < 0.5)
    return _scaled(np.where(time < 4.0, dialled, busy), 0.08)


def _chords(rng: np.random.Generator, num_samples: int) -> Waveform:
    """Music: chords of one second with overtones, and a plucked melody above them."""
    time = _time(num_samples)
    waveform = np.zeros(num_samples)
    for start in np.arange(0.0, time[-1], 1.0):
        root = 110.0 * 2.0 ** (rng.choice([0, 2, 4, 5, 7, 9]) / 12)
        _add_note(waveform, start, [root, root * 2 ** (4 / 12), root * 2 ** (7 / 12)], decay=1.5)
        for beat in (0.0, 0.25, 0.5, 0.75):
            _add_note(waveform, start + beat, [root * 4 * 2 ** (rng.choice([0, 2, 4, 7, 9]) / 12)], decay=6.0)
    return _scaled(waveform, 0.08)


def _add_note(waveform: NDArray[np.float64], start: Seconds, pitches: Sequence[float], *, decay: float) -> None:
    """Add a plucked string of six overtones for each pitch (Hz) from `start` on."""
    place = waveform[seconds_to_samples(start) :][: seconds_to_samples(1.0)]
    time = _time(len(place))
    for pitch in pitches:
        for harmonic in range(1, 7):
            place += np.sin(2 * np.pi * pitch * harmonic * time) * np.exp(-decay * harmonic**0.5 * time) / harmonic


def _drums(rng: np.random.Generator, num_samples: int) -> Waveform:
    """A falling tone and a burst of noise in turn, twice a second each."""
    waveform = np.zeros(num_samples)
    hit = _time(seconds_to_samples(0.2))
    kick = np.sin(2 * np.pi * 60.0 * hit + 8.0 * (1 - np.exp(-30.0 * hit))) * np.exp(-15.0 * hit)
    for index, start in enumerate(range(0, num_samples - len(hit), seconds_to_samples(0.25))):
        snare = 0.5 * rng.standard_normal(len(hit)) * np.exp(-25.0 * hit)
        waveform[start : start + len(hit)] += snare if index % 2 else kick
    return _scaled(waveform, 0.08)


def _clicks(rng: np.random.Generator, num_samples: int) -> Waveform:
    """Typing, or a scratched record: single impulses with a ring of some milliseconds, three a second or one."""
    waveform = np.zeros(num_samples)
    ring = _time(seconds_to_samples(0.01))
    for start in rng.integers(0, max(num_samples - len(ring), 1), size=max(3 * num_samples // SAMPLE_RATE, 1)):
        waveform[start : start + len(ring)] += (
            rng.uniform(0.1, 0.9) * np.exp(-500.0 * ring) * np.sin(2 * np.pi * rng.uniform(1500.0, 5000.0) * ring)
        )
    return np.clip(waveform, -1.0, 1.0).astype(np.float32)


def _engine(rng: np.random.Generator, num_samples: int) -> Waveform:
    """A pulse train of some 90 Hz whose pitch wanders: voiced like a voice, without words."""
    pitch = 90.0 + 8.0 * np.sin(2 * np.pi * rng.uniform(0.1, 0.3) * _time(num_samples))
    pulses = np.diff(np.floor(np.cumsum(pitch) / SAMPLE_RATE), prepend=0.0)
    return _scaled(band_limit(pulses.astype(np.float32), low_hz=80.0, high_hz=1200.0, edge_octaves=1.0), 0.08)


def _chirps(rng: np.random.Generator, num_samples: int) -> Waveform:
    """Birds: short rising or falling whistles in groups."""
    waveform = np.zeros(num_samples)
    position = 0
    while position < num_samples - SAMPLE_RATE:
        time = _time(seconds_to_samples(rng.uniform(0.05, 0.15)))
        low, rise = rng.uniform(2000.0, 4000.0), rng.uniform(-8000.0, 8000.0)
        whistle = np.sin(2 * np.pi * (low * time + rise * time**2 / 2)) * np.hanning(len(time))
        waveform[position : position + len(time)] += whistle
        position += len(time) + seconds_to_samples(rng.choice([0.05, 0.1, 0.8]))
    return _scaled(waveform, 0.05)


_NON_SPEECH: dict[str, Callable[[np.random.Generator, int], Waveform]] = {
    "silence": lambda rng, num_samples: np.zeros(num_samples, np.float32),
    "dither": lambda rng, num_samples: (rng.integers(-1, 2, num_samples) / 2**15).astype(np.float32),
    "offset": lambda rng, num_samples: np.full(num_samples, 0.2, np.float32),
    "white-noise": _noise(0.0, 0.1),
    "faint-noise": _noise(0.0, 0.002),
    "pink-noise": _noise(1.0, 0.1),
    "brown-noise": _noise(2.0, 0.1),
    "syllabic-noise": _syllabic_noise,
    "bursts": _bursts,
    "hum": _hum,
    "tone": _sine,
    "siren": _sweep,
    "dial-tones": _dial_tones,
    "chords": _chords,
    "drums": _drums,
    "clicks": _clicks,
    "engine": _engine,
    "chirps": _chirps,
}
"""How each kind of non-speech is made from a generator and a number of samples."""
