"""Silero's voice activity detector (MIT) through onnxruntime: speech told from music and noise, in 1/900 of real time.

The file of the weights store is the variant for sequences: one call judges many frames, and its answers are the same,
to the last bit, as those of one call a frame. Its LSTM state goes from call to call.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiny_audio.audio.vad import FRAME_SAMPLES
from tiny_audio.types import Waveform

_CONTEXT_SAMPLES = 64  # of the frame before, in front of each frame
_STATE_SHAPE = (1, 1, 128)
_MAX_FRAMES = 256  # in one call; more saves no time, only costs memory


def load_silero(path: Path) -> Any:
    """The onnxruntime session of a silero file; signals share it, each with a `SileroDetector` of its own."""
    import onnxruntime  # here, because it takes a moment

    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1  # the frames are too small to share out
    options.log_severity_level = 3  # errors only
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class SileroDetector:
    """Speech probabilities of one signal, frame by frame."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._hidden = self._cell = np.zeros(_STATE_SHAPE, np.float32)
        self._context = np.zeros(_CONTEXT_SAMPLES, np.float32)

    def probabilities(self, waveform: Waveform) -> NDArray[np.float32]:
        """Probability of speech in each next frame; `waveform` holds whole frames of 512 samples."""
        if not len(waveform):
            return np.zeros(0, np.float32)
        signal = np.concatenate([self._context, waveform], dtype=np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(signal, _CONTEXT_SAMPLES + FRAME_SAMPLES)[::FRAME_SAMPLES]
        parts = []
        for first in range(0, len(windows), _MAX_FRAMES):
            inputs = {"input": windows[first : first + _MAX_FRAMES], "h": self._hidden, "c": self._cell}
            part, self._hidden, self._cell = self._session.run(["speech_probs", "hn", "cn"], inputs)
            parts.append(part)
        self._context = signal[-_CONTEXT_SAMPLES:]
        return np.concatenate(parts)
