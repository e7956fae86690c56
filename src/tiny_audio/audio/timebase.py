"""The one place that turns seconds into samples and frames, with the rounding rule of each."""

from tiny_audio.types import Seconds

SAMPLE_RATE = 16_000
"""Audio samples a second, everywhere after `load_audio`."""
HOP_LENGTH = 160
"""Audio samples from one mel frame to the next: 10 ms."""
MEL_FRAME_RATE = SAMPLE_RATE // HOP_LENGTH
"""100 mel frames a second."""
MAX_CHUNK: Seconds = 30.0
"""The Whisper encoder has 1500 positions of 20 ms."""


def seconds_to_samples(seconds: Seconds) -> int:
    """Nearest sample, halves up (Python's own `round` goes to even)."""
    return int(seconds * SAMPLE_RATE + 0.5)


def samples_to_seconds(num_samples: int) -> Seconds:
    """Exact duration of that many samples."""
    return num_samples / SAMPLE_RATE


def samples_to_mel_frames(num_samples: int) -> int:
    """Mel frames of that many samples: Whisper drops the last centred STFT frame, so floor."""
    return num_samples // HOP_LENGTH
