"""HuBERT, wav2vec 2.0 and WavLM: equal to `transformers` alone, and in a batch equal to what they give alone."""

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel, Wav2Vec2FeatureExtractor

from tiny_audio.errors import AudioError, ConfigError
from tiny_audio.models.encoders.self_supervised import SelfSupervisedEncoder

# WavLM's own attention mixes kinds of masks. The encoder says so too, but a test sees every warning again.
pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")
SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [8] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
LARGE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
CASES = [(family, norm) for family in ("hubert", "wav2vec2", "wavlm") for norm in ("group", "layer")]


def build(family: str, norm: str, **changes) -> SelfSupervisedEncoder:
    """A tiny one whose outputs differ enough from frame to frame for a comparison to mean something."""
    torch.manual_seed(0)
    sizes = SIZES | (LARGE if norm == "layer" else {}) | changes
    encoder = SelfSupervisedEncoder.from_architecture(family, sizes).eval().requires_grad_(False)
    for name, parameter in encoder.named_parameters():
        if "layers" in name and parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.3)
    return encoder


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def encoder(request) -> SelfSupervisedEncoder:
    return build(*request.param)


def reference_of(encoder: SelfSupervisedEncoder) -> torch.nn.Module:
    reference = AutoModel.from_config(encoder.model.config).eval()
    reference.load_state_dict(encoder.model.state_dict())
    return reference


def noise(num_samples: int, seed: int = 0) -> np.ndarray:
    """With an offset and a loudness of its own, so that normalising changes it."""
    rng = np.random.default_rng(seed)
    return (rng.normal(0, 0.1, num_samples) * rng.uniform(0.2, 2) + 0.05).astype(np.float32)


@pytest.mark.parametrize(
    ("num_samples", "num_frames"),
    [(48_000, 149), (16_000, 49), (160_000, 499), (480_000, 1499), (400, 1), (399, 0), (0, 0), (719, 1), (720, 2)],
)
def test_frames_of_known_lengths(num_samples, num_frames):
    encoder = build("hubert", "group")
    assert encoder.output_lengths(torch.tensor([num_samples])).tolist() == [num_frames]
    assert encoder.frame_rate == 50


def test_declared_lengths_are_real_lengths(encoder):
    sizes = [400, 719, 720, *np.random.default_rng(0).integers(400, 20_000, 200).tolist()]
    with torch.inference_mode():
        for num_samples in sizes:
            hidden_BTD, lengths_B = encoder(*encoder.features([noise(num_samples)]))
            assert hidden_BTD.shape == (1, int(lengths_B), 16)
            assert encoder.output_lengths(torch.tensor([num_samples])).tolist() == lengths_B.tolist()
            assert torch.isfinite(hidden_BTD).all()


def test_one_clip_gives_what_transformers_gives(encoder):
    extract = Wav2Vec2FeatureExtractor(return_attention_mask=True)
    waveform = noise(20_000)
    inputs = extract(waveform, sampling_rate=16_000, return_tensors="pt")
    features, lengths_B = encoder.features([waveform])
    assert torch.allclose(features, inputs.input_values, atol=1e-6)
    with torch.inference_mode():
        expected = reference_of(encoder)(**inputs).last_hidden_state
        assert torch.allclose(encoder(features, lengths_B).last_hidden_state, expected, atol=1e-5)
        # As the chapters call it.
        assert torch.allclose(encoder(**inputs).last_hidden_state, expected, atol=1e-5)


def test_a_batch_of_unequal_clips_gives_what_each_gives_alone(encoder):
    waveforms = [noise(n, seed) for seed, n in enumerate((16_000, 112_000, 400_000, 400))]
    with torch.inference_mode():
        batch_BTD, lengths_B = encoder(*encoder.features(waveforms))
        assert lengths_B.tolist() == [49, 349, 1249, 1]
        for row_TD, length, waveform in zip(batch_BTD, lengths_B, waveforms, strict=True):
            (alone_TD,) = encoder(*encoder.features([waveform])).last_hidden_state
            assert torch.allclose(row_TD[:length], alone_TD, atol=1e-4)
            assert length < 10 or alone_TD.std(0).mean() > 0.05  # frames differ, or the comparison would say nothing


def test_the_plain_network_would_not_survive_a_batch_with_group_norm():
    encoder = build("hubert", "group")
    features, lengths_B = encoder.features([noise(16_000), noise(48_000, 1)])
    with torch.inference_mode():
        plain_TD = reference_of(encoder)(features).last_hidden_state[0, :49]
        ours_TD = encoder(features, lengths_B).last_hidden_state[0, :49]
    assert (plain_TD - ours_TD).abs().max() > 0.01


def test_what_stands_behind_the_end_changes_nothing_before_it(encoder):
    features, lengths_B = encoder.features([noise(16_000), noise(32_000, 1)])
    with torch.inference_mode():
        before = encoder(features, lengths_B).last_hidden_state[0, :49]
        features[0, 16_000:] = 3.0
        after = encoder(features, lengths_B).last_hidden_state[0, :49]
    assert torch.allclose(before, after, atol=1e-6)


def test_a_batch_of_the_feature_extractor_is_understood(encoder):
    waveforms = [noise(16_000), noise(32_000, 1)]
    extract = Wav2Vec2FeatureExtractor(return_attention_mask=True)
    inputs = extract(waveforms, sampling_rate=16_000, return_tensors="pt", padding=True)
    with torch.inference_mode():
        theirs = encoder(**inputs)
        ours = encoder(*encoder.features(waveforms))
    assert theirs.lengths.tolist() == ours.lengths.tolist() == [49, 99]
    assert torch.allclose(theirs.last_hidden_state[0, :49], ours.last_hidden_state[0, :49], atol=1e-5)


def test_waveforms_are_normalised_only_where_the_checkpoint_says_so():
    waveform = noise(16_000)
    (as_is,), _ = build("wavlm", "group", do_normalize=False).features([waveform])
    assert np.array_equal(as_is.numpy(), waveform)
    (normalised,), _ = build("wavlm", "layer").features([waveform])
    assert abs(float(normalised.mean())) < 1e-4
    assert abs(float(normalised.std()) - 1) < 1e-3


def test_silence_stays_finite(encoder):
    with torch.inference_mode():
        output = encoder(*encoder.features([np.zeros(8_000, np.float32), noise(16_000)]))
    assert torch.isfinite(output.last_hidden_state).all()


def test_training_mode_changes_nothing(encoder):
    features = encoder.features([noise(16_000), noise(32_000)])
    with torch.no_grad():
        quiet = encoder(*features).last_hidden_state
        encoder.train()
        try:
            assert torch.equal(encoder(*features).last_hidden_state, quiet)
        finally:
            encoder.eval()


def test_a_clip_shorter_than_a_frame_is_refused_with_both_numbers(encoder):
    with pytest.raises(AudioError, match=r"^399 samples of audio; this encoder needs at least 400 \(25 ms\)$"):
        encoder(*encoder.features([noise(16_000), noise(399)]))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"hiden_size": 8}, "hubert has no hiden_size; known: .*hidden_size"),
        ({"conv_pos_batch_norm": True}, "hubert with conv_pos_batch_norm is not supported"),
        ({"add_adapter": True}, "hubert with add_adapter is not supported"),
    ],
)
def test_sizes_that_we_do_not_build_are_refused(sizes, message):
    with pytest.raises(ConfigError, match=message):
        SelfSupervisedEncoder.from_architecture("hubert", sizes)


def test_sizes_survive_a_trip_through_json():
    """Lists in place of tuples, and what a whole `config.json` holds of the names that we know."""
    values = AutoConfig.for_model("wavlm").to_dict()
    known = {name: values[name] for name in values if name in SelfSupervisedEncoder.ARCHITECTURE_KEYS}
    with torch.device("meta"):
        encoder = SelfSupervisedEncoder.from_architecture("wavlm", known)
        reference = AutoModel.from_config(AutoConfig.for_model("wavlm"))
    shapes = {f"model.{name}": tensor.shape for name, tensor in reference.state_dict().items()}
    assert {name: tensor.shape for name, tensor in encoder.state_dict().items()} == shapes
