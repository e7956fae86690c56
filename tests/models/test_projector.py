"""Between projector and language model: what the model reads, the splice, low-rank adapters."""

from collections import OrderedDict

import pytest
import torch

from tiny_audio.errors import AudioTokenMismatchError
from tiny_audio.models.asr_model import audio_embeddings
from tiny_audio.models.lora import add_lora, lora_state_dict, merge_lora
from tiny_audio.models.projectors.aligned import Projected
from tiny_audio.models.splice import splice_audio


def test_surely_blank_frames_are_dropped_and_a_sure_token_becomes_its_embedding():
    table_VE = torch.eye(16) * 8
    hidden_1AE = torch.zeros(1, 5, 16)
    hidden_1AE[0, 1, 3] = hidden_1AE[0, 3, 7] = 4.0
    blank_1A = torch.tensor([[20.0, 0.0, 20.0, 0.0, 20.0]])
    projected = Projected(hidden_1AE, blank_1A, torch.zeros(1, 5, 16))
    (embeds_AE,) = audio_embeddings(projected, torch.tensor([5]), table_VE, blank_threshold=0.95)
    assert torch.allclose(embeds_AE, table_VE[[3, 7]], atol=1e-4)


def test_one_frame_is_kept_when_all_are_blank():
    projected = Projected(torch.zeros(1, 4, 16), torch.tensor([[30.0, 20.0, 30.0, 30.0]]), torch.zeros(1, 4, 16))
    (embeds_AE,) = audio_embeddings(projected, torch.tensor([4]), torch.randn(16, 16), blank_threshold=0.9)
    assert embeds_AE.shape == (1, 16)


def test_splice_puts_each_row_at_its_placeholders_and_gradients_reach_the_audio():
    input_ids = torch.tensor([[1, 99, 99, 2], [99, 5, 6, 7]])
    tokens = torch.zeros(2, 4, 3)
    audio = [torch.ones(2, 3, requires_grad=True), torch.full((1, 3), 2.0, requires_grad=True)]
    spliced = splice_audio(tokens, audio, input_ids, audio_token_id=99)
    assert spliced[:, :, 0].tolist() == [[0, 1, 1, 0], [2, 0, 0, 0]]
    spliced.sum().backward()
    assert all(embeds.grad is not None and bool((embeds.grad == 1).all()) for embeds in audio)


def test_splice_refuses_different_numbers_and_names_both():
    with pytest.raises(AudioTokenMismatchError, match=r"placeholders per row \[2\], audio tokens per row \[3\]"):
        splice_audio(torch.zeros(1, 4, 3), [torch.ones(3, 3)], torch.tensor([[1, 99, 99, 2]]), audio_token_id=99)


def block() -> torch.nn.Module:
    torch.manual_seed(0)
    layers = {"up_proj": torch.nn.Linear(6, 8), "act": torch.nn.GELU(), "down_proj": torch.nn.Linear(8, 4)}
    return torch.nn.Sequential(torch.nn.Sequential(OrderedDict(layers)))


def test_lora_changes_nothing_at_the_start_and_merges_to_the_same_output():
    model, hidden = block(), torch.randn(5, 6)
    before = model(hidden)
    add_lora(model, rank=2, alpha=4.0, targets=("up_proj", "down_proj"))
    assert torch.equal(model(hidden), before)
    for name, tensor in lora_state_dict(model).items():
        if name.endswith(".up"):
            torch.nn.init.normal_(tensor)
    trained = model(hidden)
    assert not torch.allclose(trained, before)
    merge_lora(model)
    assert torch.allclose(model(hidden), trained, atol=1e-5)


def test_lora_trains_its_own_matrices_only():
    model = block()
    add_lora(model, rank=2, alpha=4.0, targets=("up_proj",))
    trainable = [name for name, parameter in model[0].up_proj.named_parameters() if parameter.requires_grad]
    assert trainable == ["down", "up"]
