"""Adapters: nothing at the start, the plain formula afterwards, and exactly as many parameters as expected."""

import pytest
import torch
from transformers import AutoModel, HubertConfig, WavLMConfig

from tiny_audio.errors import UnknownNameError
from tiny_audio.models.asr_config import LLMConfig
from tiny_audio.models.llm import build_llm
from tiny_audio.models.llm_presets import ARCHITECTURES
from tiny_audio.models.lora import (
    LoRALinear,
    adapters_disabled,
    add_lora,
    count_lora_parameters,
    lora_state_dict,
    merge_lora,
)
from tiny_models import LLM_FAMILIES, tiny_llm, word_tokenizer

TOKENIZER = word_tokenizer()
IDS = torch.arange(30)[None]
HUBERT_TARGETS = ("q_proj", "k_proj", "v_proj", "out_proj", "intermediate_dense", "output_dense")


def tiny_encoder(kind: type[HubertConfig | WavLMConfig]) -> torch.nn.Module:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    convolutions = {"conv_dim": (8, 8), "conv_kernel": (10, 3), "conv_stride": (5, 2), "num_feat_extract_layers": 2}
    positions = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
    return AutoModel.from_config(kind(**sizes, **convolutions, **positions)).eval().requires_grad_(False)


def train(model: torch.nn.Module) -> None:
    torch.manual_seed(1)
    for tensor in lora_state_dict(model).values():
        torch.nn.init.normal_(tensor, std=0.3)


@torch.no_grad()
def output(model: torch.nn.Module) -> torch.Tensor:
    if hasattr(model, "lm_head"):
        return model(IDS).logits
    return model(torch.sin(torch.arange(1600.0))[None]).last_hidden_state


MODELS = {
    **{family: (lambda family=family: tiny_llm(TOKENIZER, family), ()) for family in LLM_FAMILIES},
    "hubert": (lambda: tiny_encoder(HubertConfig), HUBERT_TARGETS),
    "wavlm": (lambda: tiny_encoder(WavLMConfig), HUBERT_TARGETS),
}


@pytest.mark.parametrize("name", MODELS)
def test_adapters_start_at_zero_follow_the_formula_merge_and_can_be_switched_off(name: str):
    build, targets = MODELS[name]
    model, reference = build(), build()
    before = output(model)
    add_lora(model, rank=3, alpha=6.0, **({"targets": targets} if targets else {}))
    assert torch.equal(output(model), before)
    train(model)
    trained = output(model)
    assert (trained - before).abs().max() > 1e-2
    adapted = {path: layer for path, layer in model.named_modules() if isinstance(layer, LoRALinear)}
    for path, layer in adapted.items():
        reference.get_submodule(path).weight += 6.0 / 3 * layer.up.detach() @ layer.down.detach()
    torch.testing.assert_close(output(reference), trained, rtol=0, atol=1e-4)
    with adapters_disabled(model):
        assert torch.equal(output(model), before)
    assert torch.equal(output(model), trained)
    merge_lora(model)
    torch.testing.assert_close(output(model), trained, rtol=0, atol=1e-4)
    with adapters_disabled(model):
        assert torch.equal(output(model), before)
    assert lora_state_dict(model).keys() == {f"{path}.{part}" for path in adapted for part in ("down", "up")}


def test_training_after_a_merge_starts_from_the_adapters_again():
    model = tiny_llm(TOKENIZER)
    add_lora(model, rank=2, alpha=4.0)
    merge_lora(model)
    merged = output(model)
    train(model.train())
    trained = output(model.eval())
    assert not torch.allclose(trained, merged, atol=1e-2)
    merge_lora(model)
    train_again = {name: tensor * 0 for name, tensor in lora_state_dict(model).items()}
    model.load_state_dict(train_again, strict=False)
    merge_lora(model)  # of what was loaded, not of what it knew
    torch.testing.assert_close(output(model), merged)


def test_the_gradient_reaches_the_adapters_and_nothing_else():
    model = tiny_llm(TOKENIZER)
    add_lora(model, rank=2, alpha=4.0, targets=("q_proj", "v_proj"))
    train(model)
    model(IDS).logits.square().sum().backward()
    with_gradient = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert with_gradient == lora_state_dict(model).keys()
    assert {name.split(".")[-2] for name in with_gradient} == {"q_proj", "v_proj"}
    assert len(with_gradient) == 2 * 2 * 2  # layers, targets, matrices


def test_adapters_compute_in_the_format_of_the_frozen_weights_and_stay_float32():
    model = tiny_llm(TOKENIZER).to(torch.bfloat16)
    add_lora(model, rank=2, alpha=4.0)
    train(model)
    logits = model(IDS).logits
    assert logits.dtype == torch.bfloat16
    logits.float().sum().backward()
    assert all(p.dtype == p.grad.dtype == torch.float32 for p in model.parameters() if p.requires_grad)


def test_dropout_acts_in_training_only():
    model = tiny_llm(TOKENIZER)
    add_lora(model, rank=2, alpha=4.0, dropout=0.5)
    train(model)
    assert torch.equal(output(model), output(model))
    model.train()
    assert not torch.equal(output(model), output(model))


def test_a_target_that_no_layer_is_called_is_named_with_what_there_is():
    with pytest.raises(UnknownNameError, match=r"unknown LoRA target 'o_proj'; known: .*out_proj.*Did you mean"):
        add_lora(tiny_encoder(HubertConfig), rank=2, alpha=4.0, targets=("q_proj", "o_proj"))
    model = tiny_llm(TOKENIZER)
    with pytest.raises(UnknownNameError, match="unknown LoRA target 'lm_head'; known: down_proj, gate_proj, k_proj"):
        add_lora(model, rank=2, alpha=4.0, targets=("lm_head",))
    assert not lora_state_dict(model)


def hubert_xlarge() -> torch.nn.Module:
    with torch.device("meta"):
        return AutoModel.from_config(
            HubertConfig(
                hidden_size=1280,
                num_hidden_layers=48,
                num_attention_heads=16,
                intermediate_size=5120,
                do_stable_layer_norm=True,
                feat_extract_norm="layer",
                conv_bias=True,
            )
        )


def decoder(source: str) -> torch.nn.Module:
    with torch.device("meta"):
        return build_llm(LLMConfig(source=None, architecture=ARCHITECTURES[source]))


@pytest.mark.parametrize(
    ("build", "rank", "targets", "expected"),
    [
        (hubert_xlarge, 8, ("q_proj", "k_proj"), 1_966_080),
        (lambda: decoder("HuggingFaceTB/SmolLM3-3B"), 64, ("q_proj", "v_proj"), 15_335_424),
        (lambda: decoder("Qwen/Qwen3-8B"), 64, ("q_proj", "v_proj"), 30_670_848),
        (lambda: decoder("Qwen/Qwen3-8B"), 32, ("q_proj", "v_proj"), 15_335_424),
    ],
)
def test_parameters_at_full_size(build, rank: int, targets: tuple[str, ...], expected: int):
    model = build().requires_grad_(False)
    assert count_lora_parameters(model, rank=rank, targets=targets) == expected
    add_lora(model, rank=rank, alpha=32.0, targets=targets)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert sum(parameter.numel() for parameter in trained) == expected
    assert all(parameter.is_meta for parameter in trained)


def test_peft_computes_the_same():
    peft = pytest.importorskip("peft")
    model = tiny_llm(TOKENIZER)
    theirs = peft.get_peft_model(
        tiny_llm(TOKENIZER),
        peft.LoraConfig(r=3, lora_alpha=6, target_modules=["q_proj", "down_proj"]),
    )
    add_lora(model, rank=3, alpha=6.0, targets=("q_proj", "down_proj"))
    train(model)
    names = {"down": "lora_A", "up": "lora_B"}
    with torch.no_grad():
        for name, tensor in lora_state_dict(model).items():
            path, _, part = name.rpartition(".")
            theirs.base_model.model.get_submodule(f"{path}.{names[part]}.default").weight.copy_(tensor)
        torch.testing.assert_close(theirs(IDS).logits, output(model), rtol=0, atol=1e-4)
