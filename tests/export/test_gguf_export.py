"""GGUF files hold the merged model, as our own reader of such files sees it, and as llama.cpp names it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGUFReader

from miniatures import miniature, train_adapters
from tiny_audio.errors import ExportError
from tiny_audio.export.gguf_export import (
    LLM_FILE,
    MMPROJ_FILE,
    chat_template,
    check_exportable,
    export_gguf,
    llama_cpp_prompt,
)
from tiny_audio.models.asr_config import ASRConfig, LLMConfig, LoRAConfig, ProjectorConfig
from tiny_audio.models.asr_model import ASRModel
from tiny_audio.models.lora import merge_lora
from tiny_audio.text.prompts import DEFAULT_PROMPT, TASKS
from tiny_audio.weights.gguf import read_config, read_llama

ULTRAVOX = ASRConfig(
    projector=ProjectorConfig(kind="ultravox", aligned=False, stack_factor=4),
    llm=LLMConfig(training="lora", lora=LoRAConfig()),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ASRModel:
    model = ASRModel(miniature(ULTRAVOX, tmp_path_factory.mktemp("llm"))).eval()
    train_adapters(model)
    return model


@pytest.fixture(scope="module")
def folder(model: ASRModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "exported"
    export_gguf(model, path)
    return path


def test_the_language_model_reads_back_with_its_adapters_merged(model: ASRModel, folder: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    copy = LlamaForCausalLM(LlamaConfig(**read_config(folder / LLM_FILE)))
    missing = copy.load_state_dict(read_llama(folder / LLM_FILE), strict=False)
    assert not missing.unexpected_keys
    assert set(missing.missing_keys) <= {"lm_head.weight"}
    merge_lora(model.decoder)
    ids = torch.tensor([[1, 5, 9, 200, 42]])

    with torch.no_grad():
        found, expected = copy.eval()(ids).logits, model.decoder(ids).logits
        assert (found - expected).abs().max() < 0.02 * expected.abs().max()  # 16-bit weights
        assert torch.equal(found.argmax(-1), expected.argmax(-1))


def test_encoder_and_projector_have_every_tensor_under_the_names_of_llama_cpp(model: ASRModel, folder: Path) -> None:
    reader = GGUFReader(folder / MMPROJ_FILE)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    values = {name: reader.get_field(name).contents() for name in reader.fields if name.startswith("clip.")}  # type: ignore[union-attr]

    assert values["clip.projector_type"] == "ultravox"
    assert values["clip.audio.num_mel_bins"] == 80
    assert values["clip.audio.projector.stack_factor"] == 4
    assert values["clip.audio.embedding_length"] == model.encoder.dim  # type: ignore[union-attr]
    num_values = sum(int(np.prod(tensor.shape)) for tensor in reader.tensors)
    assert num_values == sum(p.numel() for p in [*model.encoder.parameters(), *model.projector.parameters()])  # type: ignore[union-attr]
    linear = model.projector.linear_1.weight.detach().numpy()
    assert np.allclose(tensors["mm.a.mlp.1.weight"].data, linear, atol=1e-3)
    assert tensors["a.conv1d.1.bias"].data.shape == (64, 1)


def test_a_chat_is_asked_in_the_words_of_the_training() -> None:
    from jinja2 import Template

    asked = Template(chat_template(DEFAULT_PROMPT)).render(messages=[{"role": "user", "content": TASKS["transcribe"]}])

    assert asked == DEFAULT_PROMPT.template.replace("{user}", TASKS["transcribe"])
    assert llama_cpp_prompt(DEFAULT_PROMPT) == asked.replace("<|audio|>", "<__media__>")


def test_8_bit_matrices_make_a_smaller_file_of_nearly_the_same_weights(
    model: ASRModel, folder: Path, tmp_path: Path
) -> None:
    export_gguf(model, tmp_path / "small", llm_only=True, quantize=True)

    assert not (tmp_path / "small" / MMPROJ_FILE).exists()
    small, large = read_llama(tmp_path / "small" / LLM_FILE), read_llama(folder / LLM_FILE)
    name = "model.layers.0.mlp.down_proj.weight"  # its rows are a multiple of 32, others of the miniature are not
    assert 0 < (small[name] - large[name]).abs().max() < large[name].abs().max() / 100


def test_what_llama_cpp_cannot_run_is_refused_with_what_can(model: ASRModel, tmp_path: Path) -> None:
    aligned = replace(ULTRAVOX, projector=ProjectorConfig())
    other = ASRModel(miniature(aligned, tmp_path)).eval()
    with pytest.raises(ExportError, match=r"'conv_blocks' with CTC; train stage speech_llm .* or export --llm-only"):
        check_exportable(other, llm_only=False)
    check_exportable(other, llm_only=True)
    uneven = replace(ULTRAVOX, projector=replace(ULTRAVOX.projector, stack_factor=8))
    with pytest.raises(ExportError, match="stack_factor 8 does not divide the 1500 frames"):
        check_exportable(ASRModel(miniature(uneven, tmp_path)), llm_only=False)
