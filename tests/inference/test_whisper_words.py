"""Mode whisper has word times too: its text is aligned to our CTC."""

from pathlib import Path

import numpy as np
import pytest

from tiny_audio.audio.io import load_audio
from tiny_audio.audio.timebase import HOP_LENGTH
from tiny_audio.audio.vad import frame_levels_db
from tiny_audio.inference.transcriber import Transcriber
from tiny_audio.types import Waveform
from tiny_audio.weights.store import (
    SMOLLM2_135M,
    WHISPER_BASE,
    WHISPER_BASE_CONFIG,
    WHISPER_BASE_TOKENIZER,
    is_cached,
)

EXAMPLES = Path(__file__).parents[2] / "examples"
CLIPS = ("LJ001-0009.flac", "LJ002-0047.flac")
GAP = 0.4


def trimmed(waveform: Waveform) -> Waveform:
    """Without the silence at both ends."""
    levels = frame_levels_db(waveform)
    loud = np.flatnonzero(levels > levels.max() - 35.0)
    return waveform[loud[0] * HOP_LENGTH : (loud[-1] + 1) * HOP_LENGTH]


@pytest.mark.skipif(
    not all((EXAMPLES / clip).is_file() for clip in CLIPS)
    or not all(map(is_cached, (WHISPER_BASE, WHISPER_BASE_CONFIG, WHISPER_BASE_TOKENIZER, SMOLLM2_135M))),
    reason="needs the example clips and the frozen weights in the cache; run `make setup`",
)
def test_words_at_a_joint_of_two_clips_begin_and_end_there() -> None:
    left, right = (trimmed(load_audio(EXAMPLES / clip)) for clip in CLIPS)
    gap = 1e-4 * np.random.default_rng(0).standard_normal(round(GAP * 16_000)).astype(np.float32)
    joined = np.concatenate([gap, left, gap, right, gap])
    left_end, right_start = GAP + len(left) / 16_000, 2 * GAP + len(left) / 16_000

    transcriber = Transcriber.from_pretrained(mode="whisper", word_timestamps=True)
    transcript = transcriber.transcribe(joined, sample_rate=16_000)

    words = transcript.words
    assert [word.text for word in words] == transcript.text.split()
    first_of_right = next(index for index, word in enumerate(words) if word.start > left_end)
    found = [words[0].start, words[first_of_right - 1].end, words[first_of_right].start, words[-1].end]
    assert found == pytest.approx([GAP, left_end, right_start, right_start + len(right) / 16_000], abs=0.08)
