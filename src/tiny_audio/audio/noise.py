"""How noisy a recording is, by level alone: no clean copy of the speech is needed."""

import numpy as np

from tiny_audio.audio.vad import frame_levels_db
from tiny_audio.types import Waveform

SNR_KEY = "snr_db"
"""Where an utterance's `extra` holds its signal-to-noise ratio in dB, measured or known from the manifest."""

_NOISE_QUANTILE = 0.05
"""Speech pauses for more than a twentieth of the time, so its quietest twentieth is noise alone."""
_RANGE_DB = (-10.0, 60.0)


def estimate_snr_db(waveform: Waveform) -> float:
    """Signal-to-noise ratio in dB, between -10 and 60: mean power above the noise floor over the noise floor.

    Within 0.5 dB on speech with white noise at 0 to 20 dB. Above 30 dB it says "clean" and no more: the breath and the
    room of a good recording already lie there. Music and other voices that never pause count as signal.
    """
    if not len(waveform):
        return _RANGE_DB[0]
    power = 10 ** (frame_levels_db(waveform).astype(np.float64) / 10)
    noise = float(np.quantile(power, _NOISE_QUANTILE))
    signal = max(float(power.mean()) - noise, 1e-3 * noise)
    return round(float(np.clip(10 * np.log10(signal / noise), *_RANGE_DB)), 1)
