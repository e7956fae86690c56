"""Solutions of exercise 1."""

import numpy as np


def level_db(waveform: np.ndarray) -> float:
    """The mean of the squares is a power; 10 log10 of it, or 20 log10 of its root."""
    return 10 * np.log10(np.mean(np.square(waveform)))


def add_noise(speech: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """A factor on the waveform is its square in power, so the decibels are divided by 20."""
    factor = 10 ** ((level_db(speech) - level_db(noise) - snr_db) / 20)
    return speech + factor * noise


def normalise(waveform: np.ndarray) -> np.ndarray:
    """A factor and an offset: every word and every noise is still in it."""
    return (waveform - waveform.mean()) / waveform.std()
