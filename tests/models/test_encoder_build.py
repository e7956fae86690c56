"""From a configuration to an encoder: sizes, weights, fingerprints, adapters, and what is refused."""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, AutoModelForCTC, WhisperConfig, WhisperForConditionalGeneration
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from tiny_audio.errors import CheckpointError, ConfigError, WeightsError
from tiny_audio.models.asr_config import EncoderConfig, LoRAConfig
from tiny_audio.models.encoders.build import build_encoder, encoder_architecture, encoder_fingerprint
from tiny_audio.models.encoders.presets import ARCHITECTURES
from tiny_audio.weights.pretrained_folder import fingerprint
from tiny_audio.weights.store import WHISPER_BASE, is_cached

SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": [8] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
SELF_SUPERVISED = ["hubert", "wav2vec2", "wavlm"]


def save_self_supervised(family: str, folder, *, with_head: bool, do_normalize: bool = True, **options):
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **SIZES, vocab_size=5)
    model = (AutoModelForCTC if with_head else AutoModel).from_config(config).eval()
    model.save_pretrained(folder, **options)
    (folder / "preprocessor_config.json").write_text(json.dumps({"do_normalize": do_normalize}))
    return model.base_model


def save_whisper(folder) -> WhisperForConditionalGeneration:
    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=20,
        d_model=64,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=1,
        decoder_attention_heads=1,
        encoder_ffn_dim=96,
        decoder_ffn_dim=96,
        max_source_positions=100,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        decoder_start_token_id=0,
    )
    model = WhisperForConditionalGeneration(config).eval()
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("family", SELF_SUPERVISED)
@pytest.mark.parametrize("with_head", [True, False])
def test_a_folder_of_transformers_gives_the_same_encoder(tmp_path, family, with_head):
    reference = save_self_supervised(family, tmp_path, with_head=with_head)
    encoder = build_encoder(EncoderConfig(family=family, source=str(tmp_path)))
    waveforms_BS = torch.randn(2, 8_000)
    with torch.inference_mode():
        expected = reference(waveforms_BS).last_hidden_state
        assert torch.allclose(encoder(waveforms_BS).last_hidden_state, expected, atol=1e-5)
    assert not encoder.training
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_a_whisper_folder_gives_its_encoder_and_leaves_the_decoder(tmp_path):
    reference = save_whisper(tmp_path)
    encoder = build_encoder(EncoderConfig(family="whisper", source=str(tmp_path), pad_to_window=True))
    mel_BMF = torch.randn(2, 80, 200)
    with torch.inference_mode():
        expected = reference.model.encoder(mel_BMF).last_hidden_state
        assert torch.allclose(encoder(mel_BMF).last_hidden_state, expected, atol=1e-4)


def test_shards_half_precision_and_old_weight_norm_names_are_read(tmp_path):
    reference = save_self_supervised("hubert", tmp_path, with_head=True, max_shard_size="20KB")
    assert len(list(tmp_path.glob("model-*-of-*.safetensors"))) > 1
    for path in tmp_path.glob("model-*-of-*.safetensors"):
        tensors = load_file(path)
        for number, old in enumerate(("weight_g", "weight_v")):
            new = f"parametrizations.weight.original{number}"
            tensors = {name.replace(new, old): tensor.half() for name, tensor in tensors.items()}
        save_file(tensors, path)
    encoder = build_encoder(EncoderConfig(family="hubert", source=str(tmp_path)))
    state = encoder.state_dict()
    for name, tensor in reference.state_dict().items():
        assert torch.equal(state[f"model.{name}"], tensor.half().float()), name


def test_whether_to_normalise_comes_from_the_folder(tmp_path):
    save_self_supervised("wavlm", tmp_path, with_head=False, do_normalize=False)
    assert not build_encoder(EncoderConfig(family="wavlm", source=str(tmp_path))).do_normalize
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(WeightsError, match=r"cannot read .*preprocessor_config.json"):
        build_encoder(EncoderConfig(family="wavlm", source=str(tmp_path)))


def test_other_weights_than_those_that_were_trained_with_are_refused(tmp_path):
    save_self_supervised("hubert", tmp_path, with_head=False)
    config = EncoderConfig(family="hubert", source=str(tmp_path))
    sha256 = encoder_fingerprint(config)
    assert sha256 == fingerprint(tmp_path)
    pinned = dataclasses.replace(config, sha256=sha256)
    build_encoder(pinned)
    state = load_file(tmp_path / "model.safetensors")
    state["encoder.layer_norm.bias"] += 1
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=f"have SHA-256 {encoder_fingerprint(config)}, expected {sha256}"):
        build_encoder(pinned)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("encoder.layer_norm.bias"), "missing model.encoder.layer_norm.bias"),
        (lambda state: state.update({"encoder.layers.2.x": torch.ones(1)}), "unexpected model.encoder.layers.2.x"),
        (lambda state: state.update({"encoder.layer_norm.bias": torch.ones(3)}), r"is \(3,\), expected \(16,\)"),
    ],
)
def test_a_tensor_too_few_or_too_many_or_of_another_shape_is_named(tmp_path, change, message):
    save_self_supervised("hubert", tmp_path, with_head=False)
    state = load_file(tmp_path / "model.safetensors")
    change(state)
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=message):
        build_encoder(EncoderConfig(family="hubert", source=str(tmp_path)))


def test_another_family_than_the_folders_is_refused(tmp_path):
    save_self_supervised("hubert", tmp_path, with_head=False)
    with pytest.raises(CheckpointError, match=r"has model_type 'hubert', expected 'wavlm'; change encoder.family"):
        build_encoder(EncoderConfig(family="wavlm", source=str(tmp_path)))
    with pytest.raises(CheckpointError, match="'whisper-base' is a whisper encoder, expected hubert"):
        build_encoder(EncoderConfig(family="hubert", source="whisper-base"))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (EncoderConfig(family="hubert", source=None), "neither a source nor an architecture"),
        (EncoderConfig(family="hubert", source=None, architecture=SIZES, pad_to_window=True), "for whisper only"),
        (EncoderConfig(source=None, architecture={"d_model": 64}), "missing or unknown encoder_attention_heads"),
    ],
)
def test_a_configuration_that_makes_no_encoder_is_refused(config, message):
    with pytest.raises(ConfigError, match=message):
        build_encoder(config)


def test_whisper_base_comes_from_the_store():
    if not is_cached(WHISPER_BASE):
        pytest.skip("needs Whisper base in the cache; run `make setup`")
    config = EncoderConfig(sha256=WHISPER_BASE.sha256)
    assert encoder_fingerprint(config) == WHISPER_BASE.sha256
    encoder = build_encoder(config)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 20_590_592
    with pytest.raises(CheckpointError, match=f"have SHA-256 {WHISPER_BASE.sha256}, expected abc"):
        build_encoder(dataclasses.replace(config, sha256="abc"))


@pytest.mark.parametrize(
    ("family", "targets", "expected"),
    [
        ("hubert", ("q_proj", "k_proj"), 2 * 2 * 4 * (16 + 16)),
        ("wavlm", ("q_proj", "v_proj", "out_proj"), 2 * 3 * 4 * (16 + 16)),
        ("wav2vec2", ("intermediate_dense", "output_dense"), 2 * 2 * 4 * (16 + 32)),
        ("whisper", ("q_proj", "fc1"), 2 * 4 * ((64 + 64) + (64 + 96))),
    ],
)
def test_adapters_are_all_that_is_trainable_and_change_nothing_at_first(family, targets, expected):
    torch.manual_seed(0)
    sizes = SIZES
    if family == "whisper":
        sizes = ARCHITECTURES["whisper"]["whisper-base"] | {
            "d_model": 64,
            "encoder_layers": 2,
            "encoder_attention_heads": 1,
            "encoder_ffn_dim": 96,
        }
    config = EncoderConfig(family=family, source=None, architecture=sizes)
    plain = build_encoder(config)
    adapted = build_encoder(dataclasses.replace(config, lora=LoRAConfig(rank=4, alpha=8, dropout=0.5, targets=targets)))
    trainable = {name: tensor for name, tensor in adapted.named_parameters() if tensor.requires_grad}
    assert sum(tensor.numel() for tensor in trainable.values()) == expected
    assert not any(module.training for module in adapted.modules())
    renamed = {name.replace(".base.", "."): tensor for name, tensor in adapted.state_dict().items()}
    plain.load_state_dict({name: tensor for name, tensor in renamed.items() if name in plain.state_dict()})
    features = torch.randn(2, 80, 100) if family == "whisper" else torch.randn(2, 8_000)
    output = adapted(features).last_hidden_state
    assert torch.allclose(output, plain(features).last_hidden_state, atol=1e-6)
    output.square().sum().backward()
    reached = {name for name, tensor in adapted.named_parameters() if tensor.grad is not None}
    assert reached == trainable.keys()
    assert all(tensor.grad.abs().sum() > 0 for name, tensor in trainable.items() if name.endswith("up"))


PARAMETERS = {
    "whisper-base": 20_590_592,
    "whisper-tiny.en": 8_208_384,
    "openai/whisper-tiny": 8_208_384,
    "openai/whisper-small": 88_154_112,
    "openai/whisper-medium": 307_216_384,
    "openai/whisper-large-v2": 636_784_640,
    "openai/whisper-large-v3-turbo": 636_968_960,
    "facebook/hubert-base-ls960": 94_371_712,
    "facebook/hubert-large-ls960-ft": 315_438_720,
    "facebook/hubert-xlarge-ls960-ft": 962_497_408,
    "facebook/wav2vec2-base-960h": 94_371_712,
    "facebook/wav2vec2-large-960h-lv60-self": 315_438_720,
    "microsoft/wavlm-base-plus": 94_381_936,
    "microsoft/wavlm-large": 315_453_120,
}


def reference_parameters(family: str, architecture: dict[str, object]) -> int:
    """Counted by `transformers`."""
    sizes = {name: value for name, value in architecture.items() if name != "do_normalize"}
    config = AutoConfig.for_model(family, **sizes)
    with torch.device("meta"):
        model = WhisperEncoder(config) if family == "whisper" else AutoModel.from_config(config)
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("family", "name"), [(family, name) for family in ARCHITECTURES for name in ARCHITECTURES[family]]
)
def test_published_encoders_have_their_size_at_no_cost(family, name):
    architecture = encoder_architecture(EncoderConfig(family=family, source=name))
    with torch.device("meta"):
        encoder = build_encoder(EncoderConfig(family=family, source=None, architecture=architecture))
    found = sum(parameter.numel() for parameter in encoder.parameters())
    assert found == reference_parameters(family, architecture)
    assert found == PARAMETERS.get(name, found)
    assert encoder.output_lengths(torch.tensor([48_000])).tolist() == [150 if family == "whisper" else 149]


def test_adapters_of_the_chapter_at_full_size():
    """Rank 8 on queries and keys of HuBERT-XLarge: 48 layers x 2 x 2 x 1280 x 8."""
    architecture = ARCHITECTURES["hubert"]["facebook/hubert-xlarge-ls960-ft"]
    lora = LoRAConfig(rank=8, alpha=16, targets=("q_proj", "k_proj"))
    with torch.device("meta"):
        encoder = build_encoder(EncoderConfig(family="hubert", source=None, architecture=architecture, lora=lora))
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 964_463_488
    assert sum(parameter.numel() for parameter in encoder.parameters() if parameter.requires_grad) == 1_966_080
