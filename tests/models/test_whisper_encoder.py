"""The encoder on the clip's own length: equal to the reference, alone or in a batch, and its length function."""

import copy

import numpy as np
import pytest
import torch
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder as ReferenceEncoder

from tiny_audio.audio.features import log_mel_spectrogram
from tiny_audio.errors import AudioError, CheckpointError, ConfigError
from tiny_audio.models.encoders.whisper import WhisperEncoder


@pytest.fixture(scope="module")
def encoder() -> WhisperEncoder:
    torch.manual_seed(0)
    return WhisperEncoder(dim=64, num_layers=2).eval()


def noise(num_samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, num_samples).astype(np.float32)


def test_output_lengths_equal_the_real_tensor_from_a_tenth_to_thirty_seconds(encoder: WhisperEncoder):
    lengths = np.random.default_rng(0).integers(1_600, 64_000, 200).tolist()
    lengths += [1_600, 1_759, 1_760, 1_919, 333_333, 480_000]
    for num_samples in lengths:
        mel_BMF, mel_lengths_B = encoder.features([np.zeros(num_samples, dtype=np.float32)])
        with torch.inference_mode():
            hidden_BTD, frame_lengths_B = encoder(mel_BMF, mel_lengths_B)
        num_frames = hidden_BTD.shape[1]
        assert frame_lengths_B.tolist() == [num_frames]
        assert encoder.output_lengths(torch.tensor([num_samples])).tolist() == [num_frames]
        assert encoder.mel_to_encoder_frames(mel_lengths_B).tolist() == [num_frames]


def test_a_row_of_a_batch_equals_the_clip_alone(encoder: WhisperEncoder):
    waveforms = [noise(n, seed) for seed, n in enumerate((16_000, 112_000, 400_000, 1_600, 23_500, 23_661))]
    with torch.inference_mode():
        batch_BTD, lengths_B = encoder(*encoder.features(waveforms))
        for row_TD, length, waveform in zip(batch_BTD, lengths_B, waveforms, strict=True):
            (alone_TD,) = encoder(*encoder.features([waveform])).last_hidden_state
            assert torch.allclose(row_TD[:length], alone_TD, atol=1e-4)


def test_what_stands_behind_the_end_changes_nothing_before_it(encoder: WhisperEncoder):
    mel_BMF, lengths_B = encoder.features([noise(16_000), noise(32_000)])
    with torch.inference_mode():
        before = encoder(mel_BMF, lengths_B).last_hidden_state[0, :50]
        mel_BMF[0, :, 100:] = 3.0
        after = encoder(mel_BMF, lengths_B).last_hidden_state[0, :50]
    assert torch.equal(before, after)


def test_attention_in_bfloat16_is_nearly_the_same_and_leaves_the_rest_in_float32(encoder: WhisperEncoder):
    rounded = copy.deepcopy(encoder)
    rounded.attend_in(torch.bfloat16)
    mel_BMF, lengths_B = encoder.features([noise(32_000)])
    with torch.inference_mode():
        expected, found = (one(mel_BMF, lengths_B).last_hidden_state for one in (encoder, rounded))
    assert found.dtype == torch.float32
    assert 0 < (found - expected).norm() / expected.norm() < 0.005
    assert encoder.layers[0].self_attn.product_dtype is None


@pytest.fixture(scope="module")
def reference() -> ReferenceEncoder:
    torch.manual_seed(0)
    config = WhisperConfig(
        d_model=64, encoder_layers=2, encoder_attention_heads=1, encoder_ffn_dim=160, num_mel_bins=80
    )
    return ReferenceEncoder(config).eval()


def encoder_like(reference: ReferenceEncoder, **options) -> WhisperEncoder:
    state = {f"model.encoder.{name}": tensor for name, tensor in reference.state_dict().items()}
    return WhisperEncoder.from_state_dict(state, **options)


def test_padded_to_thirty_seconds_it_equals_the_reference_implementation(reference: ReferenceEncoder):
    mel_1MF = log_mel_spectrogram(noise(50_000), pad_to=480_000)[None]
    with torch.inference_mode():
        expected = reference(mel_1MF).last_hidden_state
        assert torch.allclose(encoder_like(reference)(mel_1MF).last_hidden_state, expected, atol=1e-4)


def test_with_pad_to_window_a_batch_is_what_whisper_makes_of_it(reference: ReferenceEncoder):
    padded = encoder_like(reference, pad_to_window=True)
    waveforms = [noise(n, seed) for seed, n in enumerate((50_000, 16_000, 479_000))]
    theirs = WhisperFeatureExtractor()(waveforms, sampling_rate=16_000, return_tensors="pt").input_features
    input_features, lengths_B = padded.features(waveforms)
    assert torch.allclose(input_features, theirs, atol=1e-4)
    assert lengths_B.tolist() == [312, 100, 2993]
    with torch.inference_mode():
        output = padded(input_features, lengths_B)
        assert torch.allclose(output.last_hidden_state, reference(theirs).last_hidden_state, atol=1e-4)
        # As the chapters call it.
        assert torch.equal(padded(input_features=input_features).last_hidden_state, output.last_hidden_state)
    assert output.lengths.tolist() == [156, 50, 1497]
    assert output.lengths.tolist() == padded.output_lengths(torch.tensor([50_000, 16_000, 479_000])).tolist()


def test_with_pad_to_window_nothing_shorter_or_longer_slips_through(reference: ReferenceEncoder):
    padded = encoder_like(reference, pad_to_window=True)
    with pytest.raises(AudioError, match=r"30\.01 s of audio; the encoder takes at most 30 s"):
        padded.features([noise(480_160)])
    with pytest.raises(AudioError, match=r"1\.00 s of log-mel; this encoder expects it padded to 30 s"):
        padded(torch.zeros(1, 80, 100))


def test_more_than_thirty_seconds_is_refused_with_both_numbers(encoder: WhisperEncoder):
    with pytest.raises(AudioError, match=r"30\.04 s of audio; the encoder takes at most 30 s"):
        encoder(torch.zeros(1, 80, 3_004))


def test_a_state_dict_without_an_encoder_is_refused():
    with pytest.raises(CheckpointError, match="expected a Whisper state dict"):
        WhisperEncoder.from_state_dict({"model.decoder.x": torch.zeros(1)})


SIZES = {
    "d_model": 128,
    "encoder_layers": 1,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 96,
    "num_mel_bins": 128,
    "max_source_positions": 100,
}


def test_sizes_have_the_names_of_whispers_own_configuration():
    encoder = WhisperEncoder.from_architecture(SIZES)
    reference = ReferenceEncoder(WhisperConfig(**SIZES))
    shapes = {name: tensor.shape for name, tensor in reference.state_dict().items()}
    assert {name: tensor.shape for name, tensor in encoder.state_dict().items()} == shapes
    assert (encoder.dim, encoder.n_mels, encoder.max_samples, encoder.frame_rate) == (128, 128, 32_000, 50.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": 3}, "missing or unknown layers; whisper needs d_model, encoder_attention_heads"),
        ({"encoder_attention_heads": 4}, "4 heads in width 128; whisper's are 64 wide"),
    ],
)
def test_sizes_that_make_no_whisper_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        WhisperEncoder.from_architecture(SIZES | change)
