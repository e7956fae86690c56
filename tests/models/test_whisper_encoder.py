"""The encoder on the clip's own length: equal to the reference, alone or in a batch, and its length function."""

import numpy as np
import pytest
import torch
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder as ReferenceEncoder

from tiny_audio.audio.features import log_mel_spectrogram
from tiny_audio.errors import AudioError, CheckpointError
from tiny_audio.models.encoders.whisper import WhisperEncoder


@pytest.fixture(scope="module")
def encoder() -> WhisperEncoder:
    torch.manual_seed(0)
    return WhisperEncoder(dim=64, num_layers=2).eval()


def noise(num_samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, num_samples).astype(np.float32)


def test_output_lengths_equal_the_real_tensor_from_a_tenth_to_thirty_seconds(encoder: WhisperEncoder):
    lengths = np.random.default_rng(0).integers(1_600, 480_001, 60).tolist()
    lengths += [1_600, 1_759, 1_760, 1_919, 480_000]
    for num_samples in lengths:
        mel_BMF, mel_lengths_B = encoder.features([np.zeros(num_samples, dtype=np.float32)])
        with torch.inference_mode():
            num_frames = encoder(mel_BMF, mel_lengths_B).shape[1]
        assert encoder.output_lengths(torch.tensor([num_samples])).tolist() == [num_frames]
        assert encoder.mel_to_encoder_frames(mel_lengths_B).tolist() == [num_frames]


def test_a_row_of_a_batch_equals_the_clip_alone(encoder: WhisperEncoder):
    waveforms = [noise(n, seed) for seed, n in enumerate((16_000, 1_600, 40_320, 23_500, 23_661))]
    with torch.inference_mode():
        batch_BTD = encoder(*encoder.features(waveforms))
        for row_TD, waveform in zip(batch_BTD, waveforms, strict=True):
            (alone_TD,) = encoder(*encoder.features([waveform]))
            assert torch.allclose(row_TD[: len(alone_TD)], alone_TD, atol=1e-4)


def test_what_stands_behind_the_end_changes_nothing_before_it(encoder: WhisperEncoder):
    mel_BMF, lengths_B = encoder.features([noise(16_000), noise(32_000)])
    with torch.inference_mode():
        before = encoder(mel_BMF, lengths_B)[0, :50]
        mel_BMF[0, :, 100:] = 3.0
        after = encoder(mel_BMF, lengths_B)[0, :50]
    assert torch.equal(before, after)


def test_padded_to_thirty_seconds_it_equals_the_reference_implementation():
    torch.manual_seed(0)
    config = WhisperConfig(
        d_model=64, encoder_layers=2, encoder_attention_heads=1, encoder_ffn_dim=256, num_mel_bins=80
    )
    reference = ReferenceEncoder(config).eval()
    state = {f"model.encoder.{name}": tensor for name, tensor in reference.state_dict().items()}
    encoder = WhisperEncoder.from_state_dict(state)
    mel_1MF = log_mel_spectrogram(noise(50_000), pad_to=480_000)[None]
    with torch.inference_mode():
        expected = reference(mel_1MF).last_hidden_state
        assert torch.allclose(encoder(mel_1MF), expected, atol=1e-4)


def test_more_than_thirty_seconds_is_refused_with_both_numbers(encoder: WhisperEncoder):
    with pytest.raises(AudioError, match=r"30\.04 s of audio; the encoder takes at most 30 s"):
        encoder(torch.zeros(1, 80, 3_004))


def test_a_state_dict_without_an_encoder_is_refused():
    with pytest.raises(CheckpointError, match="expected a Whisper state dict"):
        WhisperEncoder.from_state_dict({"model.decoder.x": torch.zeros(1)})
