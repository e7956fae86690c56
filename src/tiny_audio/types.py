"""Names for units and shapes used everywhere.

Shape letters: B batch, S audio samples, M mel bands, F mel frames, T encoder frames, D encoder width,
A audio tokens, E LLM width, L LLM sequence, V vocabulary, H heads.
"""

import numpy as np
from numpy.typing import NDArray

Seconds = float
"""Times and durations are seconds everywhere; any other unit is part of the name (`_ms`, `_samples`, `_frames`)."""

Waveform = NDArray[np.float32]
"""Mono audio `(num_samples,)`, float32 in [-1, 1], 16 kHz unless a sample rate stands beside it."""
