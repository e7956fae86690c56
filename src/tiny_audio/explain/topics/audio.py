"""Sound as numbers: normalisation, sample rates, noise, and what a model still hears."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import soxr

from tiny_audio.audio.timebase import SAMPLE_RATE
from tiny_audio.errors import ConfigError
from tiny_audio.evaluation.wer import count_errors
from tiny_audio.explain.findings import Draw, Findings, Request, headline, note, table
from tiny_audio.types import Waveform

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RATES = (8_000, 16_000, 32_000, 44_100)
NOISE_LEVELS = (0.0, 0.01, 0.05, 0.1)
_LOWEST_RATE = 1_000
_SHOWN_SAMPLES = 1_000
_N_FFT = 512
_FLOOR_DB = -80.0

Hear = Callable[[Waveform], str]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The clip, changed."""

    name: str
    waveform: Waveform
    rate: int
    """Of the waveform, in Hz."""
    value: float
    """What was changed: Hz, or the standard deviation of noise."""
    snr_db: float | None = None
    heard: str = ""


def normalise(waveform: Waveform) -> Waveform:
    """Mean 0 and variance 1, as HuBERT and wav2vec 2.0 want it."""
    return ((waveform - waveform.mean()) / np.sqrt(waveform.var() + 1e-7)).astype(np.float32)


def at_rates(waveform: Waveform, rates: Sequence[int], hear: Hear | None = None) -> list[Variant]:
    """The clip at other sample rates; a model hears it brought back to 16 kHz.

    Raises:
        ConfigError: a rate below 1 kHz.
    """
    if low := [rate for rate in rates if rate < _LOWEST_RATE]:
        raise ConfigError([f"sample rate {low[0]} Hz; expected at least {_LOWEST_RATE}"])
    variants = []
    for rate in rates:
        resampled = soxr.resample(waveform, SAMPLE_RATE, rate)
        back = soxr.resample(resampled, rate, SAMPLE_RATE).astype(np.float32)
        heard = hear(back) if hear else ""
        variants.append(Variant(name=f"{rate} Hz", waveform=resampled, rate=rate, value=rate, heard=heard))
    return variants


def with_noise(
    waveform: Waveform, levels: Sequence[float], hear: Hear | None = None, *, seed: int = 0
) -> list[Variant]:
    """The clip with white noise of these standard deviations, the same noise louder each time."""
    noise = np.random.default_rng(seed).standard_normal(len(waveform)).astype(np.float32)
    variants = []
    for level in levels:
        noisy = waveform + np.float32(level) * noise
        snr_db = 10 * np.log10(max(float(np.square(waveform).mean()), 1e-12) / level**2) if level else None
        heard = hear(np.clip(noisy, -1.0, 1.0)) if hear else ""
        variants.append(
            Variant(name=f"{level:g}", waveform=noisy, rate=SAMPLE_RATE, value=level, snr_db=snr_db, heard=heard)
        )
    return variants


def explore(request: Request) -> Findings:
    """Three pictures of the chapter, with what the model's CTC hears of each variant."""
    from tiny_audio.inference.recognizer import Recognizer

    waveform = request.clip().waveform
    recognizer = Recognizer.from_pretrained(request.model, mode="fast")

    def hear(changed: Waveform) -> str:
        return recognizer.transcribe_waveforms([changed])[0].text

    clean = hear(waveform)
    rates = at_rates(waveform, request.rates or RATES, hear)
    noises = with_noise(waveform, NOISE_LEVELS, hear)
    normalised = normalise(waveform)
    text = "\n".join(
        [
            f"Sample rate: {SAMPLE_RATE} Hz",
            f"Duration: {len(waveform) / SAMPLE_RATE:.2f} seconds",
            f"Shape: {waveform.shape}",
            f"Value range: [{waveform.min():.4f}, {waveform.max():.4f}]",
            f"Mean: {waveform.mean():z.4f}, std: {waveform.std():.4f}",
            "",
            f"After normalisation: mean {normalised.mean():z.4f}, std {normalised.std():.4f}",
            "",
            headline("SAMPLE RATES"),
            _heard_table("Rate", rates, clean, lambda one: f"up to {one.rate / 2000:g} kHz"),
            "",
            headline("NOISE"),
            _heard_table("Noise", noises, clean, lambda one: "-" if one.snr_db is None else f"{one.snr_db:.1f} dB SNR"),
            "",
            f"Unchanged, it hears: {clean or '(nothing)'}",
            note("a higher rate than the recording's adds numbers and no sound."),
            note("normalisation makes noisy clips as loud as clean ones; it removes no noise."),
        ]
    )
    return Findings(
        text=text,
        pictures={
            "audio_processing": draw_normalisation(waveform, normalised),
            "sample_rate_comparison": draw_rates(rates),
            "noise_robustness": draw_noise(noises),
        },
    )


def _heard_table(title: str, variants: Sequence[Variant], clean: str, describe: Callable[[Variant], str]) -> str:
    rows = []
    for one in variants:
        changed = f"{100 * count_errors([clean], [one.heard]).wer:.0f} %" if clean else "-"
        rows.append([one.name, f"{len(one.waveform):,}", describe(one), changed])
    return table([title, "Samples", "Sound", "Words heard otherwise"], rows)


def draw_normalisation(waveform: Waveform, normalised: Waveform) -> Draw:
    """The waveform before and after."""

    def draw(figure: "Figure") -> None:
        figure.set_size_inches(14, 4)
        for axes, values, title, label in zip(
            figure.subplots(1, 2),
            (waveform, normalised),
            ("Raw waveform", "After normalisation: mean 0, variance 1"),
            ("Amplitude", "Amplitude in standard deviations"),
            strict=True,
        ):
            axes.plot(np.arange(len(values)) / SAMPLE_RATE, values, linewidth=0.5)
            axes.set(title=title, xlabel="Time (seconds)", ylabel=label, xlim=(0, len(values) / SAMPLE_RATE))
            axes.grid(alpha=0.3)

    return draw


def draw_rates(variants: Sequence[Variant]) -> Draw:
    """A spectrogram at each rate, up to 8 kHz; what a rate cannot hold stays empty."""

    def draw(figure: "Figure") -> None:
        grid = _grid(figure, len(variants))
        for axes, one in zip(grid, variants, strict=True):
            levels, end, top = spectrogram(one)
            image = axes.imshow(
                levels, origin="lower", aspect="auto", extent=(0, end, 0, top), cmap="magma", vmin=_FLOOR_DB, vmax=0
            )
            axes.set(
                title=f"Sample rate: {one.rate} Hz", xlabel="Time (seconds)", ylabel="Frequency (Hz)", ylim=(0, 8000)
            )
            axes.set_facecolor("#eeeeee")
        figure.colorbar(image, ax=grid, label="dB below the loudest")

    return draw


def spectrogram(variant: Variant) -> tuple[np.ndarray, float, float]:
    """Decibels below the loudest place `(frequencies, frames)`, where time ends (s), and the highest frequency (Hz)."""
    samples = np.pad(variant.waveform, (0, max(_N_FFT - len(variant.waveform), 0)))
    frames = np.lib.stride_tricks.sliding_window_view(samples, _N_FFT)[:: _N_FFT // 4]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(_N_FFT), axis=1))).T
    levels = 10 * np.log10(np.maximum(power / max(float(power.max()), 1e-12), 10 ** (_FLOOR_DB / 10)))
    return levels, len(variant.waveform) / variant.rate, variant.rate / 2


def draw_noise(variants: Sequence[Variant]) -> Draw:
    """The first thousand samples at each level of noise, normalised."""

    def draw(figure: "Figure") -> None:
        for axes, one in zip(_grid(figure, len(variants)), variants, strict=True):
            shown = normalise(one.waveform)[:_SHOWN_SAMPLES]
            axes.plot(1000 * np.arange(len(shown)) / one.rate, shown, linewidth=0.7)
            snr = "" if one.snr_db is None else f" ({one.snr_db:.1f} dB SNR)"
            axes.set(title=f"Noise level: {one.name}{snr}", xlabel="Time (ms)", ylabel="Normalised amplitude")

    return draw


def _grid(figure: "Figure", number: int) -> list["Axes"]:
    """Axes for that many pictures, two beside each other."""
    columns = min(2, number)
    rows = -(-number // columns)
    figure.set_size_inches(6 * columns, 3.6 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for unused in axes[number:]:
        unused.set_visible(False)
    return list(axes[:number])
