"""Exercise 1, sound and data quality: how loud, how noisy, and what a recogniser still hears.

Write the three functions, run the file, and read what it prints. 20 minutes; the run takes some seconds.
"""

import numpy as np
from tutor import Tutor

import tiny_audio
from tiny_audio.evaluation.wer import count_errors
from tiny_audio.explain.samples import samples_folder

tutor = Tutor(__file__)
TEXT = "Printing, then, for our purpose, may be considered as the art of making books by means of movable types."


@tutor.task
def level_db(waveform: np.ndarray) -> float:
    """Loudness in decibels: 20 log10 of the root mean square. A square wave between -1 and 1 has 0 dB."""


@tutor.task
def add_noise(speech: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """Speech plus noise, the noise scaled until its level is `snr_db` below that of the speech."""


@tutor.task
def normalise(waveform: np.ndarray) -> np.ndarray:
    """The waveform with mean 0 and standard deviation 1."""


def main() -> dict[str, float]:
    """Damage one clip in several ways and count the words that are lost; word error rates by damage."""
    speech = tiny_audio.load_audio(samples_folder() / "LJ001-0009.flac")
    print(f"{len(speech):,} samples, {len(speech) / 16_000:.2f} s, level {level_db(speech):.1f} dB")
    for name, waveform in (("as it is", speech), ("normalised", normalise(speech))):
        print(f"  {name:12} mean {waveform.mean():7.4f}  std {waveform.std():.4f}  peak {np.abs(waveform).max():.2f}")

    noise = np.random.default_rng(0).normal(size=len(speech))
    damaged = {f"noise at {snr} dB": add_noise(speech, noise, snr) for snr in (20, 10, 5, 0)}
    damaged["40 dB quieter"] = speech * 0.01
    damaged["clipped at a tenth"] = np.clip(speech, -0.1, 0.1)
    damaged["stereo, one side upside down"] = np.stack([speech, -speech], axis=1).mean(axis=1)

    asr = tiny_audio.load_model(mode="fast")
    rates = {}
    for name, waveform in {"as it is": speech, **damaged}.items():
        text = asr.transcribe(waveform.astype(np.float32), sample_rate=16_000).text
        rates[name] = count_errors([TEXT], [text]).wer
        print(f"{name:29} {level_db(waveform + 1e-9):7.1f} dB  WER {rates[name]:6.1%}  {text}")
    return rates


if __name__ == "__main__":
    main()
    tutor.report()
