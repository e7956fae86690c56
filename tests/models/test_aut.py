"""AuT: its sizes, its length function, batch equal to single, and its features."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from tiny_audio.audio.aut_features import aut_log_mel
from tiny_audio.audio.features import mel_filters
from tiny_audio.errors import AudioError, ConfigError, UnknownNameError
from tiny_audio.models.encoders.aut import AUT_PRESETS, AuTConfig, AuTEncoder, _rotation, aut_preset

SMALLEST = AuTConfig(n_mels=8, conv_channels=(8, 8, 8), num_layers=2, num_heads=2, ffn_dim=16, projector_dim=6)
WITH_CONVOLUTIONS = AuTConfig(
    n_mels=8, conv_channels=(8, 8, 8), num_layers=2, num_heads=1, ffn_dim=16, depthwise_kernel=5, projector_dim=None
)


@pytest.fixture(params=[SMALLEST, WITH_CONVOLUTIONS, AUT_PRESETS["tiny"]], ids=["smallest", "convolutions", "tiny"])
def encoder(request: pytest.FixtureRequest) -> AuTEncoder:
    torch.manual_seed(0)
    return AuTEncoder(request.param).eval()


def noise(num_samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, num_samples).astype(np.float32)


def encode_one(encoder: AuTEncoder, waveform: np.ndarray) -> Tensor:
    with torch.inference_mode():
        return encoder(*encoder.features([waveform])).last_hidden_state[0]


@pytest.mark.parametrize(
    ("preset", "table"),
    [
        (
            "tiny",
            {"conv": 205_184, "transformer": 1_777_920, "final_norm": 192, "projector": 49_152, "total": 2_032_448},
        ),
        (
            "small",
            {"conv": 246_208, "transformer": 7_929_856, "final_norm": 256, "projector": 65_536, "total": 8_241_856},
        ),
    ],
)
def test_presets_have_exactly_the_parameters_of_their_table(preset: str, table: dict[str, int]):
    with torch.device("meta"):
        encoder = AuTEncoder(aut_preset(preset))
    assert encoder.parameter_table() == table
    assert sum(parameter.numel() for parameter in encoder.parameters()) == table["total"]


def test_declared_lengths_equal_the_real_tensor():
    encoder = AuTEncoder(SMALLEST).eval()
    sample = [*range(8, 41), *np.random.default_rng(0).integers(41, 4_097, 40).tolist(), 2_047, 2_048, 4_096]
    with torch.inference_mode():
        for num_mel_frames in sample:
            output = encoder(torch.randn(1, 8, num_mel_frames))
            assert output.last_hidden_state.shape == (1, SMALLEST.output_length(num_mel_frames), 8)
            assert output.lengths.tolist() == [output.last_hidden_state.shape[1]]


def test_halving_three_times_is_one_floor_for_every_length():
    for num_mel_frames in range(1, 4_097):
        after = num_mel_frames
        for _ in SMALLEST.conv_channels:
            after = (after + 3 - 5) // 2 + 1  # left padding 3, kernel 5, stride 2
        assert SMALLEST.output_length(num_mel_frames) == after
    assert SMALLEST.output_length(torch.tensor([7, 8, 300])).tolist() == [0, 1, 37]


def test_output_lengths_of_samples_equal_the_real_tensor(encoder: AuTEncoder):
    for num_samples in (1_280, 1_439, 2_559, 2_560, 16_000, 48_000, 48_159):
        (num_frames,) = encoder.output_lengths(torch.tensor([num_samples])).tolist()
        assert len(encode_one(encoder, noise(num_samples))) == num_frames
    assert encoder.max_samples is None
    assert encoder.frame_rate == 12.5


def test_a_row_of_a_batch_equals_the_clip_alone(encoder: AuTEncoder):
    waveforms = [noise(n, seed) for seed, n in enumerate((16_000, 1_280, 50_320, 23_500, 112_000))]
    with torch.inference_mode():
        hidden_BTD, lengths_B = encoder(*encoder.features(waveforms))
    for row_TD, length, waveform in zip(hidden_BTD, lengths_B.tolist(), waveforms, strict=True):
        alone_TD = encode_one(encoder, waveform)
        assert length == len(alone_TD)
        assert torch.allclose(row_TD[:length], alone_TD, atol=1e-5)


def test_padding_and_what_stands_in_it_change_nothing(encoder: AuTEncoder):
    features, lengths = encoder.features([noise(48_000)])
    padded = torch.nn.functional.pad(features, (0, 500), value=7.0)
    with torch.inference_mode():
        alone, behind = encoder(features, lengths), encoder(padded, lengths)
    assert behind.lengths.tolist() == alone.lengths.tolist() == [37]
    assert torch.allclose(behind.last_hidden_state[:, :37], alone.last_hidden_state, atol=1e-5)


def test_the_stem_looks_at_its_own_eighty_milliseconds_and_back(encoder: AuTEncoder):
    n_mels = encoder.config.n_mels
    features = torch.randn(1, n_mels, 80, requires_grad=True)
    hidden = features
    for conv in encoder.convs:
        hidden = torch.nn.functional.gelu(conv(torch.nn.functional.pad(hidden, (3, 0))))
    hidden[..., 4].sum().backward()
    seen = features.grad.abs().sum(dim=(0, 1)).nonzero()[:, 0].tolist()
    assert seen == list(range(4 * 8 - 21, 5 * 8))


def test_positions_matter(encoder: AuTEncoder):
    """Without them, attention over frames in another order gives the same states in that order."""
    hidden = torch.randn(1, 10, encoder.dim)
    rotation = _rotation(torch.arange(10), encoder.dim // encoder.config.num_heads)
    order = torch.arange(9, -1, -1)
    attention = encoder.blocks[0].attention
    with torch.inference_mode():
        assert not torch.allclose(
            attention(hidden, rotation, None)[:, order], attention(hidden[:, order], rotation, None)
        )
        # Distances are all that counts: the same order, later.
        later = _rotation(torch.arange(50, 60), encoder.dim // encoder.config.num_heads)
        assert torch.allclose(attention(hidden, rotation, None), attention(hidden, later, None), atol=1e-5)


def test_gradient_reaches_every_parameter(encoder: AuTEncoder):
    encoder.train()
    states = encoder(torch.randn(2, encoder.config.n_mels, 64), torch.tensor([64, 40])).last_hidden_state
    (encoder.projector(states) if encoder.projector is not None else states).square().sum().backward()
    without = [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A bias of all keys shifts all scores of a query alike, which softmax cannot see; rotary positions make it visible.
    assert without == []


@pytest.mark.parametrize("num_mel_frames", [1, 4, 7])
def test_less_than_one_encoder_frame_is_refused_with_both_numbers(num_mel_frames: int):
    encoder = AuTEncoder(SMALLEST)
    with pytest.raises(AudioError, match=rf"0\.0{num_mel_frames} s of audio .* at least 0\.08 s"):
        encoder(torch.zeros(1, 8, num_mel_frames))
    with pytest.raises(AudioError, match="at least"):
        encoder(torch.zeros(2, 8, 80), torch.tensor([80, num_mel_frames]))


def test_sizes_by_name_make_the_encoder_and_the_rest_are_those_of_tiny():
    with torch.device("meta"):
        assert AuTEncoder.from_architecture({}).config == AUT_PRESETS["tiny"]
        sizes = {"conv_channels": [64, 128, 256], "num_heads": 4, "projector_dim": None}
        encoder = AuTEncoder.from_architecture(sizes)
    assert encoder.dim == 256
    assert encoder.projector is None
    assert encoder.parameter_table()["projector"] == 0


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"layers": 3}, "AuT has no 'layers'; known: .*num_layers"),
        ({"num_heads": 5}, "width 192 for num_heads 5"),
        ({"num_heads": 0}, "num_heads is 0"),
        ({"num_layers": "4"}, "num_layers is '4'"),
        ({"conv_channels": []}, "conv_channels is empty"),
        ({"conv_channels": [64, 0]}, r"conv_channels\[1\] is 0"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"normalization": "none"}, "normalization is 'none'"),
    ],
    ids=str,
)
def test_sizes_that_make_no_encoder_are_refused(sizes: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=message):
        AuTEncoder.from_architecture(sizes)
    with pytest.raises(UnknownNameError, match="small, tiny"):
        aut_preset("large")


# -- features


@pytest.mark.parametrize("num_samples", [160, 399, 1_280, 16_001, 48_000])
@pytest.mark.parametrize("normalization", ["utterance", "global"])
def test_one_frame_every_ten_milliseconds(num_samples: int, normalization: str):
    log_mel = aut_log_mel(noise(num_samples), normalization=normalization)
    assert log_mel.shape == (128, num_samples // 160)
    assert bool(log_mel.isfinite().all())


def test_a_frame_is_the_mel_power_of_its_own_400_samples():
    waveform = noise(4_800)
    got = aut_log_mel(waveform, normalization="global")
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    for frame in (3, 17, 28):
        centre = 160 * frame
        power = np.abs(np.fft.rfft(waveform[centre - 200 : centre + 200] * hann, n=1_024)) ** 2
        log_mel = np.log(np.maximum(mel_filters(128, 1_024).numpy() @ power, 1e-10))
        assert np.allclose(got[:, frame], (log_mel + 8.8) / 4.4, atol=1e-4)


def test_every_mel_filter_holds_several_frequency_bins_and_they_rise():
    filters = mel_filters(128, 1_024)
    assert int((filters > 0).sum(dim=1).min()) >= 2
    assert all(left <= right for left, right in pairwise(filters.argmax(dim=1).tolist()))


def test_per_utterance_normalisation_does_not_hear_the_loudness():
    waveform = noise(16_000)
    quiet, loud = aut_log_mel(0.01 * waveform), aut_log_mel(waveform)
    assert torch.allclose(quiet, loud, atol=1e-3)
    assert float(loud.mean()) == pytest.approx(0, abs=1e-4)
    assert float(loud.std(dim=1).mean()) == pytest.approx(1, abs=0.01)


def test_globally_normalised_frames_depend_on_no_later_audio():
    waveform = noise(16_000)
    whole, part = (aut_log_mel(clip, normalization="global") for clip in (waveform, waveform[:8_000]))
    assert torch.allclose(whole[:, :48], part[:, :48], atol=1e-5)


def test_digital_silence_is_finite_and_flat():
    assert aut_log_mel(np.zeros(16_000, np.float32)).abs().max() == 0


def test_less_than_one_hop_of_audio_is_refused():
    with pytest.raises(AudioError, match="159 samples"):
        aut_log_mel(noise(159))
