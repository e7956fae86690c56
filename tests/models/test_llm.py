"""Language models from the store, a folder or nowhere: sizes as published, and every wrong file refused by name."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tiny_audio.errors import CheckpointError, ConfigError, WeightsError
from tiny_audio.models.asr_config import LLMConfig, LoRAConfig
from tiny_audio.models.llm import (
    STORE_NAME,
    build_llm,
    build_tokenizer,
    llm_architecture,
    llm_fingerprint,
    load_embeddings,
)
from tiny_audio.models.llm_presets import ARCHITECTURES
from tiny_audio.models.lora import count_lora_parameters, lora_state_dict
from tiny_audio.models.speech_llm import SpeechLLM, Turn
from tiny_audio.weights.store import SMOLLM2_135M, is_cached
from tiny_models import LLM_FAMILIES, tiny_llm, word_tokenizer
from tiny_models import llm_architecture as tiny_architecture

TOKENIZER = word_tokenizer()
IDS = torch.arange(20)[None]


@pytest.fixture(scope="module", params=["llama", "llama-untied", "qwen3", "smollm3", "mistral-sliding"])
def source(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[LLMConfig, torch.nn.Module]:
    """A folder as the hub would give it, and the model in it."""
    folder = tmp_path_factory.mktemp(request.param)
    llm = tiny_llm(TOKENIZER, request.param)
    llm.save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return LLMConfig(source=str(folder)), llm


def random_config(family: str = "llama", **changes) -> LLMConfig:
    return LLMConfig(source=None, architecture=tiny_architecture(TOKENIZER, family), **changes)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("HuggingFaceTB/SmolLM2-135M-Instruct", 134_515_008),
        ("smollm2-135m-instruct", 134_515_008),
        ("HuggingFaceTB/SmolLM2-360M-Instruct", 361_821_120),
        ("HuggingFaceTB/SmolLM2-1.7B-Instruct", 1_711_376_384),
        ("HuggingFaceTB/SmolLM3-3B", 3_075_098_624),
        ("Qwen/Qwen3-0.6B", 596_049_920),
        ("Qwen/Qwen3-1.7B", 1_720_574_976),
        ("Qwen/Qwen3-4B", 4_022_468_096),
        ("Qwen/Qwen3-8B", 8_190_735_360),
        ("meta-llama/Meta-Llama-3-8B-Instruct", 8_030_261_248),
        ("mistralai/Mistral-7B-Instruct-v0.3", 7_248_023_552),
    ],
)
def test_published_models_have_their_parameters(source: str, expected: int):
    config = LLMConfig(source=None, architecture=llm_architecture(LLMConfig(source=source)))
    with torch.device("meta"):
        llm = build_llm(config)
    assert sum(parameter.numel() for parameter in llm.parameters()) == expected
    assert all(parameter.is_meta and not parameter.requires_grad for parameter in llm.parameters())
    assert llm.get_input_embeddings().weight.shape == (llm.config.vocab_size, llm.config.hidden_size)


def test_every_preset_is_counted_above_and_smollm3_has_no_positions_in_every_fourth_layer():
    assert len(ARCHITECTURES) == 11
    with torch.device("meta"):
        llm = build_llm(LLMConfig(source=None, architecture=ARCHITECTURES["HuggingFaceTB/SmolLM3-3B"]))
    assert llm.config.no_rope_layers == [1, 1, 1, 0] * 9
    assert llm.get_output_embeddings().weight is llm.get_input_embeddings().weight


def test_a_folder_gives_the_model_its_tokenizer_and_its_embeddings(source: tuple[LLMConfig, torch.nn.Module]):
    config, expected = source
    llm, tokenizer = build_llm(config), build_tokenizer(config)
    with torch.no_grad():
        torch.testing.assert_close(llm(IDS).logits, expected(IDS).logits)
    assert not llm.training
    assert not any(parameter.requires_grad for parameter in llm.parameters())
    assert tokenizer.encode("<|im_start|> one x") == TOKENIZER.encode("<|im_start|> one x")
    assert torch.equal(load_embeddings(config), expected.get_input_embeddings().weight)
    assert llm_architecture(config)["hidden_size"] == 16
    assert build_llm(config, dtype=torch.bfloat16).dtype == torch.bfloat16
    turns = [Turn(torch.ones(3, 16)), Turn(user="hi")]
    assert SpeechLLM(llm, tokenizer).generate(turns, max_tokens=9) == SpeechLLM(expected, TOKENIZER).generate(
        turns, max_tokens=9
    )


@pytest.mark.parametrize("family", LLM_FAMILIES)
@pytest.mark.parametrize("training", ["frozen", "lora", "full"])
def test_what_is_trained_is_what_the_configuration_says(family: str, training):
    llm = build_llm(random_config(family, training=training, lora=LoRAConfig(rank=2, targets=("q_proj", "k_proj"))))
    trained = {name for name, parameter in llm.named_parameters() if parameter.requires_grad}
    if training == "full":
        assert trained == {name for name, _ in llm.named_parameters()}
    else:
        assert trained == (lora_state_dict(llm).keys() if training == "lora" else set())
    numbers = sum(parameter.numel() for parameter in llm.parameters() if parameter.requires_grad)
    plain = build_llm(random_config(family))
    if training == "lora":
        assert numbers == count_lora_parameters(plain, rank=2, targets=("q_proj", "k_proj"))
    else:
        assert numbers == (training == "full") * sum(parameter.numel() for parameter in plain.parameters())


def test_random_weights_have_no_fingerprint_and_no_tokenizer():
    assert llm_fingerprint(random_config()) is None
    assert load_embeddings(random_config()).shape == (len(TOKENIZER), 16)
    with pytest.raises(ConfigError, match="random weights bring no tokenizer"):
        build_tokenizer(random_config())
    with pytest.raises(ConfigError, match="neither a source nor an architecture"):
        build_llm(LLMConfig(source=None))
    with pytest.raises(ConfigError, match=r"llm\.architecture: .*no-such-type"):
        build_llm(LLMConfig(source=None, architecture={"model_type": "no-such-type"}))


def test_other_weights_or_sizes_than_expected_are_refused_with_both(source: tuple[LLMConfig, torch.nn.Module]):
    config, _ = source
    assert config.source is not None
    found = llm_fingerprint(config)
    assert found == hashlib.sha256((Path(config.source) / "model.safetensors").read_bytes()).hexdigest()
    build_llm(replace(config, sha256=found))
    for build in (build_llm, load_embeddings):
        with pytest.raises(CheckpointError, match=f"SHA-256 {found}, expected {'0' * 64}"):
            build(replace(config, sha256="0" * 64))
    with pytest.raises(CheckpointError, match=f"vocab_size {len(TOKENIZER)}, expected 99; hidden_size 16, expected 32"):
        build_llm(replace(config, architecture={"vocab_size": 99, "hidden_size": 32}))


def copy_with(config: LLMConfig, folder: Path, change: str, *, drop: bool = False) -> LLMConfig:
    """The same folder with one tensor missing or one thing changed in its configuration."""
    assert config.source is not None
    source = Path(config.source)
    state = load_file(source / "model.safetensors")
    values = json.loads((source / "config.json").read_text())
    if drop:
        del state[change]
    else:
        values |= json.loads(change)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(values))
    return LLMConfig(source=str(folder))


def test_incomplete_and_foreign_folders_are_refused(source: tuple[LLMConfig, torch.nn.Module], tmp_path: Path):
    config, _ = source
    name = "model.layers.1.mlp.up_proj.weight"
    with pytest.raises(CheckpointError, match=rf"has no tensor '{name}' \(1 missing\)"):
        build_llm(copy_with(config, tmp_path, name, drop=True))
    with pytest.raises(CheckpointError, match=r"has no tokenizer\.json"):
        build_tokenizer(LLMConfig(source=str(tmp_path)))
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match="cannot read the tokenizer"):
        build_tokenizer(LLMConfig(source=str(tmp_path)))
    with pytest.raises(CheckpointError, match="cannot load a language model"):
        build_llm(copy_with(config, tmp_path, '{"vocab_size": 7}'))
    with pytest.raises(CheckpointError, match="cannot load a language model"):
        build_llm(copy_with(config, tmp_path, '{"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config"}}'))
    (tmp_path / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises((CheckpointError, WeightsError)):
        build_llm(LLMConfig(source=str(tmp_path)))
    with pytest.raises(WeightsError):
        build_llm(LLMConfig(source=str(tmp_path / "nowhere")))


def test_models_that_change_their_logits_afterwards_are_refused():
    sizes = tiny_architecture(TOKENIZER) | {"model_type": "granite", "logits_scaling": 8.0, "pad_token_id": 0}
    with pytest.raises(CheckpointError, match=r"type 'granite' changes its logits .*\(logits_scaling\)"):
        build_llm(LLMConfig(source=None, architecture=sizes))


@pytest.mark.skipif(not is_cached(SMOLLM2_135M), reason="SmolLM2 is not in the cache; run `make setup`")
def test_the_default_model_is_the_one_of_the_store_and_answers_in_writing():
    config = LLMConfig(training="lora")
    assert config.source == STORE_NAME
    assert llm_fingerprint(config) == SMOLLM2_135M.sha256
    llm, tokenizer = build_llm(replace(config, sha256=SMOLLM2_135M.sha256)), build_tokenizer(config)
    for tensor in lora_state_dict(llm).values():
        torch.nn.init.normal_(tensor, std=0.1)
    pieces = SpeechLLM(llm, tokenizer).stream(Turn(user="What is the capital of France?"), max_tokens=12)
    assert "Paris" in "".join(pieces)
    with pytest.raises(CheckpointError, match="expected abc"):
        build_llm(replace(config, sha256="abc"))
    assert load_embeddings(config).shape == (49_152, 576)
