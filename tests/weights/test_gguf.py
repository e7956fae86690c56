import hashlib

import gguf
import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

from tiny_audio.errors import WeightsError
from tiny_audio.weights import gguf as reader
from tiny_audio.weights.sources import LocalPath
from tiny_audio.weights.store import SMOLLM2_135M, WeightFile, is_cached

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["h e", "l l", "he ll", "hell o", "Ġ w", "Ġw o"]
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
)
QUANTISED = ("q_proj", "k_proj", "up_proj", "down_proj")


def byte_letters() -> list[str]:
    """GPT-2's printable letter for each byte."""
    from tokenizers.pre_tokenizers import ByteLevel

    return sorted(ByteLevel.alphabet())


def tiny_llama(tokens: int) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=tokens,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        rms_norm_eps=1e-5,
        rope_theta=5_000.0,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = LlamaForCausalLM(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


def permute(weight: np.ndarray, num_heads: int) -> np.ndarray:
    """GGUF's row order of queries and keys: the two numbers that are rotated together, side by side."""
    half = len(weight) // num_heads // 2
    rows = [head * 2 * half + part * half + i for head in range(num_heads) for i in range(half) for part in (0, 1)]
    return weight[rows]


def write_gguf(path, model: LlamaForCausalLM, tokens: list[str]) -> None:
    """Writes a model; its quantised weights are changed to what the file can hold."""
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(5_000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in SPECIAL else 1 for token in tokens])
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(TEMPLATE)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    names = {theirs: ours for ours, theirs in (reader.LAYER_PARTS | reader.TOP_LEVEL).items()}
    for name, parameter in model.named_parameters():
        module = name.removesuffix(".weight")
        if module.startswith("model.layers."):
            _, _, layer, part = module.split(".", 3)
            gguf_name = f"blk.{layer}.{names[part]}.weight"
        else:
            gguf_name = f"{names[module]}.weight"
        array = parameter.detach().numpy().copy()
        kind = module.rpartition(".")[2]
        if kind in heads:
            array = permute(array, heads[kind])
        if kind in QUANTISED:
            packed = gguf.quantize(array, gguf.GGMLQuantizationType.Q4_1)
            writer.add_tensor(gguf_name, packed, raw_dtype=gguf.GGMLQuantizationType.Q4_1)
        else:
            writer.add_tensor(gguf_name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    """A GGUF file, and the model that went into it."""
    tokens = [*SPECIAL, *byte_letters(), "he", "ll", "hell", "hello", "Ġw", "Ġwo"]
    tokens += [f"unused{i}" for i in range(-len(tokens) % 32)]
    model = tiny_llama(len(tokens))
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(path, model, tokens)
    return path, model


@pytest.fixture
def spec(llama, tmp_path, monkeypatch):
    monkeypatch.setenv("TINY_AUDIO_CACHE", str(tmp_path / "cache"))
    content = llama[0].read_bytes()
    source = LocalPath(path=llama[0])
    digest = hashlib.sha256(content).hexdigest()
    return WeightFile(name="tiny/tiny.gguf", size=len(content), sha256=digest, sources=(source,))


def test_weights_come_back_in_hugging_face_order(llama):
    path, model = llama
    state = reader.read_llama(path)
    expected = dict(model.named_parameters())
    assert state.keys() == expected.keys()
    for name, parameter in expected.items():
        if any(kind in name for kind in QUANTISED):  # Q4_1: 15 steps between the least and the greatest of 32
            assert (state[name] - parameter).abs().max() < 0.1
        else:
            torch.testing.assert_close(state[name], parameter.data, rtol=0, atol=0)


def test_it_reads_what_transformers_reads(llama):
    path, _ = llama
    # What `from_pretrained(gguf_file=...)` calls; that itself also wants the package accelerate.
    theirs = load_gguf_checkpoint(path, return_tensors=True, model_to_load=llama[1])
    state = reader.read_llama(path)
    assert state.keys() == theirs["tensors"].keys()
    for name, tensor in theirs["tensors"].items():
        torch.testing.assert_close(state[name], tensor.float(), rtol=0, atol=1e-6)
    config = reader.read_config(path)
    shared = config.keys() & theirs["config"].keys()
    assert len(shared) >= 8
    assert {key: config[key] for key in shared} == {key: theirs["config"][key] for key in shared}


def test_the_copy_loads_to_the_same_model(llama, spec):
    path, model = llama
    state = reader.read_llama(path)
    model.load_state_dict(state, strict=False)
    ids = torch.arange(20)[None]
    for _ in range(2):  # making the copy, then using it
        loaded = reader.load_llm(spec)
        assert not loaded.training
        with torch.no_grad():
            torch.testing.assert_close(loaded(ids).logits, model(ids).logits, rtol=0, atol=1e-5)
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight
    assert all(tensor.device.type == "cpu" for tensor in [*loaded.parameters(), *loaded.buffers()])
    torch.testing.assert_close(reader.load_embedding_table(spec), state["model.embed_tokens.weight"], rtol=0, atol=0)


def test_a_loaded_model_can_be_trained_without_touching_the_copy(spec):
    first = reader.load_llm(spec)
    with torch.no_grad():
        first.model.embed_tokens.weight.zero_()
    assert reader.load_llm(spec).model.embed_tokens.weight.abs().max() > 0


@pytest.mark.parametrize("text", ["hello world", " Hello, wörld! 1234\n", "日本語 🙂", "", "  two  spaces "])
def test_text_survives_the_tokenizer(spec, text):
    tokenizer = reader.load_tokenizer(spec)
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_tokens_merge_digits_stand_alone_and_special_ones_are_whole(spec):
    tokenizer = reader.load_tokenizer(spec)
    assert tokenizer.tokenize("hello 42") == ["hello", "Ġ", "4", "2"]
    assert tokenizer("<|im_start|>hello<|im_end|>")["input_ids"][::2] == [1, 2]
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.unk_token) == ("<|im_start|>", "<|im_end|>", SPECIAL[0])
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "hello"}], tokenize=False)
    assert chat == "<|im_start|>user\nhello<|im_end|>\n"


def test_a_damaged_copy_is_made_again(spec):
    weights = reader.prepare(spec) / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    assert (reader.prepare(spec) / "model.safetensors").read_bytes() == whole
    weights.write_bytes(whole[:-1] + b"x")
    assert (reader.prepare(spec, verify=True) / "model.safetensors").read_bytes() == whole


def test_what_is_no_llama_file_is_refused(llama, tmp_path):
    whole = llama[0].read_bytes()
    path = tmp_path / "bad.gguf"
    for content in (b"", b"GGUF", b"RIFF" * 100, whole[:100], whole[:5000], whole[: len(whole) // 2], whole[:-10]):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=r"bad\.gguf"):
            reader.read_llama(path)
    with pytest.raises(WeightsError, match=r"none\.gguf"):
        reader.read_llama(tmp_path / "none.gguf")
    writer = gguf.GGUFWriter(path, "mamba")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(WeightsError, match="architecture 'mamba'; expected 'llama'"):
        reader.read_config(path)


def test_smollm2_knows_the_capital_of_france():
    if not is_cached(SMOLLM2_135M):
        pytest.skip("SmolLM2 is not in the cache; run `make setup`")
    tokenizer = reader.load_tokenizer()
    ids = tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        assert tokenizer.decode(reader.load_llm()(ids).logits[0, -1].argmax()) == " Paris"
    text = "It's 1,234.50 dollars — naïve café, 東京!\n\tEnd."
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert len(tokenizer("2026")["input_ids"]) == 4
