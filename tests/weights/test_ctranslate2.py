import struct

import numpy as np
import pytest
import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from tiny_audio.errors import WeightsError
from tiny_audio.weights.ctranslate2 import read_whisper, whisper_dims

DTYPE_IDS = {np.dtype(np.float32): 0, np.dtype(np.int8): 1, np.dtype(np.int16): 2, np.dtype(np.float16): 4}


def tiny_whisper() -> WhisperForConditionalGeneration:
    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=50,
        num_mel_bins=8,
        d_model=64,
        encoder_layers=2,
        decoder_layers=3,
        encoder_attention_heads=1,
        decoder_attention_heads=1,
        encoder_ffn_dim=96,
        decoder_ffn_dim=96,
        max_source_positions=20,
        max_target_positions=12,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=3,
    )
    model = WhisperForConditionalGeneration(config).eval()
    for parameter in model.parameters():  # biases and norms start as zeros and ones, which would hide a mix-up
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def to_arrays(model) -> dict[str, np.ndarray]:
    """The arrays of a CTranslate2 file for a Hugging Face model: attention inputs fused, norms renamed."""
    state = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    arrays = {
        "decoder/embeddings/weight": state["model.decoder.embed_tokens.weight"],
        "decoder/num_heads": np.array(1, np.int16),
        "decoder/alignment_heads": np.zeros((2, 2), np.int16),
    }
    for stack in ("encoder", "decoder"):
        arrays[f"{stack}/position_encodings/encodings"] = state[f"model.{stack}.embed_positions.weight"]
        modules = {f"{stack}/layer_norm": f"model.{stack}.layer_norm"}
        if stack == "encoder":
            modules |= {f"encoder/conv{i}": f"model.encoder.conv{i}" for i in (1, 2)}
        for layer in range(len(getattr(model.model, stack).layers)):
            ours, theirs = f"{stack}/layer_{layer}", f"model.{stack}.layers.{layer}"
            modules |= {
                f"{ours}/self_attention/layer_norm": f"{theirs}.self_attn_layer_norm",
                f"{ours}/self_attention/linear_1": f"{theirs}.self_attn.out_proj",
                f"{ours}/ffn/layer_norm": f"{theirs}.final_layer_norm",
                f"{ours}/ffn/linear_0": f"{theirs}.fc1",
                f"{ours}/ffn/linear_1": f"{theirs}.fc2",
            }
            fused = {f"{ours}/self_attention/linear_0": [f"{theirs}.self_attn.{part}_proj" for part in "qkv"]}
            if stack == "decoder":
                modules |= {
                    f"{ours}/attention/layer_norm": f"{theirs}.encoder_attn_layer_norm",
                    f"{ours}/attention/linear_0": f"{theirs}.encoder_attn.q_proj",
                    f"{ours}/attention/linear_2": f"{theirs}.encoder_attn.out_proj",
                }
                fused[f"{ours}/attention/linear_1"] = [f"{theirs}.encoder_attn.{part}_proj" for part in "kv"]
            for name, parts in fused.items():
                arrays[f"{name}/weight"] = np.concatenate([state[f"{part}.weight"] for part in parts])
                zero = np.zeros(64, np.float32)
                arrays[f"{name}/bias"] = np.concatenate([state.get(f"{part}.bias", zero) for part in parts])
        for name, module in modules.items():
            weight, bias = ("gamma", "beta") if name.endswith("layer_norm") else ("weight", "bias")
            arrays[f"{name}/{weight}"], arrays[f"{name}/{bias}"] = state[f"{module}.weight"], state[f"{module}.bias"]
    return arrays


def to_bytes(arrays, *, version: int = 6, spec: str = "WhisperSpec") -> bytes:
    def string(text: str) -> bytes:
        return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"

    out = struct.pack("<I", version) + string(spec) + struct.pack("<II", 3, len(arrays))
    for name, array in arrays.items():
        out += string(name) + struct.pack("<B", array.ndim) + struct.pack(f"<{array.ndim}I", *array.shape)
        out += struct.pack("<BI", DTYPE_IDS[array.dtype], array.nbytes) + array.tobytes()
    return out + struct.pack("<I", 1) + string("decoder/projection/weight") + string("decoder/embeddings/weight")


@pytest.fixture(scope="module")
def model():
    return tiny_whisper()


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_every_tensor_comes_back_under_its_hugging_face_name(model, tmp_path, dtype):
    arrays = {name: a.astype(dtype) if a.dtype == np.float32 else a for name, a in to_arrays(model).items()}
    path = tmp_path / "model.bin"
    path.write_bytes(to_bytes(arrays))
    state = read_whisper(path)
    expected = {name: tensor for name, tensor in model.state_dict().items() if name != "proj_out.weight"}
    assert state.keys() == expected.keys()
    for name, tensor in expected.items():
        torch_dtype = torch.float16 if dtype is np.float16 else torch.float32
        torch.testing.assert_close(state[name], tensor.to(torch_dtype).float(), rtol=0, atol=0)
    dims = whisper_dims(state)
    assert (dims.n_mels, dims.width, dims.ffn_width, dims.num_heads) == (8, 64, 96, 1)
    assert (dims.num_encoder_layers, dims.num_decoder_layers) == (2, 3)
    assert (dims.num_audio_positions, dims.num_text_positions, dims.vocab_size) == (20, 12, 50)


def test_the_encoder_alone_can_be_read(model, tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(to_bytes(to_arrays(model)))
    state = read_whisper(path, stacks=("encoder",))
    assert state.keys() == {f"model.encoder.{name}" for name in model.model.encoder.state_dict()}


def test_a_file_cut_anywhere_is_refused(model, tmp_path):
    whole = to_bytes(to_arrays(model))
    path = tmp_path / "model.bin"
    # The aliases at the end are not read, so a cut inside them does no harm.
    end = len(whole) - 64
    for length in [0, 1, 3, 4, 5, 7, 20, 30, 40, *range(50, end, end // 40), end - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=r"model\.bin"):
            read_whisper(path)


def changed(arrays, name, array):
    return to_bytes({**arrays, name: array})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda arrays: b"RIFF" + bytes(2000), "format version"),
        (lambda arrays: to_bytes(arrays, version=5), "found format version 5, expected 6"),
        (lambda arrays: to_bytes(arrays, spec="TransformerSpec"), "kind 'TransformerSpec'"),
        (lambda arrays: changed(arrays, "decoder/new/weight", np.zeros(3, np.float32)), "belongs to no Whisper module"),
        (lambda arrays: changed(arrays, "encoder/conv1/weight", np.zeros((64, 8, 3), np.int8)), "integer type int8"),
        (
            lambda arrays: changed(arrays, "encoder/layer_0/self_attention/linear_0/bias", np.ones(192, np.float32)),
            "key bias that is not zero",
        ),
        (
            lambda arrays: changed(arrays, "encoder/layer_0/self_attention/linear_0/bias", np.ones(190, np.float32)),
            "190 rows",
        ),
    ],
)
def test_what_is_no_whisper_file_is_refused(model, tmp_path, make, message):
    path = tmp_path / "model.bin"
    path.write_bytes(make(to_arrays(model)))
    with pytest.raises(WeightsError, match=message):
        read_whisper(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(WeightsError, match="cannot read"):
            read_whisper(path)
