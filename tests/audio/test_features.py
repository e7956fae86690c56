"""Log-mel features equal the reference implementation's, with and without its padding to 30 s."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from transformers import WhisperFeatureExtractor

from tiny_audio.audio.features import log_mel_spectrogram
from tiny_audio.audio.timebase import samples_to_mel_frames
from tiny_audio.errors import AudioError

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.flac"))


def reference(waveform: np.ndarray, n_mels: int) -> torch.Tensor:
    extractor = WhisperFeatureExtractor(feature_size=n_mels)
    return extractor(waveform, sampling_rate=16_000, return_tensors="pt").input_features[0]


@pytest.mark.parametrize("n_mels", [80, 128])
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_equal_to_the_reference_on_real_speech(path, n_mels: int):
    waveform = soundfile.read(path, dtype="float32")[0]
    expected = reference(waveform, n_mels)
    padded = log_mel_spectrogram(waveform, n_mels=n_mels, pad_to=480_000)
    assert padded.shape == expected.shape
    assert torch.allclose(padded, expected, atol=1e-4)
    own = log_mel_spectrogram(waveform, n_mels=n_mels)
    assert own.shape[1] == samples_to_mel_frames(len(waveform))
    assert torch.allclose(own, expected[:, : own.shape[1]], atol=1e-4)


@pytest.mark.parametrize("num_samples", [160, 199, 200, 201, 1_600, 16_001])
def test_any_length_gives_one_frame_every_ten_milliseconds(num_samples: int):
    waveform = np.random.default_rng(0).normal(0, 0.1, num_samples).astype(np.float32)
    log_mel = log_mel_spectrogram(waveform)
    assert log_mel.shape == (80, num_samples // 160)
    assert bool(log_mel.isfinite().all())


def test_less_than_one_hop_is_refused():
    with pytest.raises(AudioError, match="159 samples"):
        log_mel_spectrogram(np.zeros(159, dtype=np.float32))
