"""Stand-ins for the slow parts, and sounds to feed them."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from tiny_audio.audio.timebase import SAMPLE_RATE


def tone(*, duration: float, hertz: float = 440.0, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """A tone whose loudness changes four times a second, as that of speech does."""
    time = np.arange(round(duration * sample_rate)) / sample_rate
    return (0.3 * np.sin(2 * np.pi * hertz * time) * (0.55 - 0.45 * np.cos(8 * np.pi * time))).astype(np.float32)


def encode(
    waveform: np.ndarray,
    *,
    sample_rate: int,
    container: str,
    codec: str,
    options: dict[str, str] | None = None,
    codec_options: dict[str, str] | None = None,
) -> bytes:
    """The bytes of a mono file as FFmpeg writes it, for formats that soundfile cannot write."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, options=options or {}) as output:
        stream = output.add_stream(codec, rate=sample_rate, layout="mono")
        assert isinstance(stream, av.AudioStream)
        stream.codec_context.options = codec_options or {}
        frame = av.AudioFrame.from_ndarray(waveform[None].astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate = sample_rate
        output.start_encoding()
        resampler = av.AudioResampler(
            format=stream.format.name, layout="mono", rate=sample_rate, frame_size=stream.codec_context.frame_size
        )
        for part in [*resampler.resample(frame), *resampler.resample(None), None]:
            output.mux(stream.encode(part))
    return buffer.getvalue()


@dataclass(frozen=True)
class FakeHypothesis:
    text: str
    draft: str
    no_speech: bool = False


class FakeSpeechModel:
    """Hears tones: the text of a waveform is its pitch, rounded to 10 Hz, such as `tone440`. Remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[float]] = []

    def transcribe_waveforms(self, waveforms: Sequence[np.ndarray]) -> list[FakeHypothesis]:
        self.batches.append([len(waveform) / SAMPLE_RATE for waveform in waveforms])
        return [self._hear(waveform) for waveform in waveforms]

    def _hear(self, waveform: np.ndarray) -> FakeHypothesis:
        spectrum = np.abs(np.fft.rfft(waveform))
        hertz = float(np.argmax(spectrum)) * SAMPLE_RATE / len(waveform)
        return FakeHypothesis(text=f" tone{round(hertz, -1):.0f} ", draft=f"draft{round(hertz, -1):.0f}")


def write_bytes(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
