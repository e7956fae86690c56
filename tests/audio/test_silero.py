"""Silero on real speech; the file is in the cache after `make setup`."""

from pathlib import Path

import numpy as np
import pytest

from fakes import tone
from tiny_audio.audio.io import load_audio
from tiny_audio.audio.silero import SileroDetector, load_silero
from tiny_audio.weights.store import SILERO_VAD, cached_path, is_cached

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.flac"))


@pytest.fixture(scope="module")
def session() -> object:
    pytest.importorskip("onnxruntime")
    if not is_cached(SILERO_VAD):
        pytest.skip(f"not in the cache: {SILERO_VAD.name}; run `make setup`")
    return load_silero(cached_path(SILERO_VAD))


def frames(waveform: np.ndarray) -> np.ndarray:
    return waveform[: len(waveform) // 512 * 512]


@pytest.mark.parametrize("clip", EXAMPLES[:2], ids=lambda path: path.stem)
def test_speech_is_speech_also_when_it_is_quiet(session: object, clip: Path) -> None:
    waveform = frames(load_audio(clip))

    assert (SileroDetector(session).probabilities(waveform) > 0.5).mean() > 0.7
    assert (SileroDetector(session).probabilities(0.03 * waveform) > 0.5).mean() > 0.6


@pytest.mark.parametrize("kind", ["silence", "noise", "tone"])
def test_what_is_not_speech_is_not(session: object, kind: str) -> None:
    waveform = {
        "silence": np.zeros(160_256, np.float32),
        "noise": (0.05 * np.random.default_rng(0).standard_normal(160_256)).astype(np.float32),
        "tone": frames(tone(duration=10.0)),
    }[kind]

    assert (SileroDetector(session).probabilities(waveform) < 0.5).mean() > 0.97


def test_the_sizes_of_the_blocks_make_no_difference(session: object) -> None:
    waveform = frames(load_audio(EXAMPLES[0]))
    at_once = SileroDetector(session).probabilities(waveform)
    detector = SileroDetector(session)
    rng = np.random.default_rng(0)
    borders = np.cumsum(rng.integers(0, 9, size=len(waveform) // 512)) * 512

    parts = [detector.probabilities(block) for block in np.split(waveform, borders[borders < len(waveform)])]

    np.testing.assert_array_equal(np.concatenate(parts), at_once)
