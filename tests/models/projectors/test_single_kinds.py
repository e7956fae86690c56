"""What is particular to one kind: the course's arithmetic, other people's layouts, the router, the shipped model."""

import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F
from transformers import Blip2QFormerConfig, Blip2QFormerModel

import tiny_audio
from tiny_audio.models.projectors.aligned import AlignmentHeads
from tiny_audio.models.projectors.conv_blocks import ConvBlocksProjector
from tiny_audio.models.projectors.conv_mlp import ConvMLPProjector
from tiny_audio.models.projectors.moe import MoEProjector
from tiny_audio.models.projectors.qformer import QFormerProjector
from tiny_audio.models.projectors.swiglu import SwiGLUProjector
from tiny_audio.models.projectors.ultravox import GGUF_NAMES, UltravoxProjector
from tiny_audio.models.stored_tensors import read_stored_tensors


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@torch.no_grad()
def test_swiglu_step_by_step_as_in_the_course():
    projector = SwiGLUProjector(encoder_dim=6, llm_dim=8, hidden_dim=20)
    audio = torch.randn(1, 149, 6)
    k = projector.k
    stacked = F.pad(audio, (0, 0, 0, k - 149 % k)).contiguous().view(1, -1, 6 * k)
    assert stacked.shape == (1, 30, 30)
    prenorm = projector.ln_pre(stacked)
    activated = F.silu(projector.gate_proj(prenorm)) * projector.up_proj(prenorm)
    for loudness in (None, 0.1):
        if loudness is not None:
            projector.calibrate(torch.ones(3, 8), rms=loudness)
        assert torch.equal(projector(audio), projector.ln_post(projector.down_proj(activated)))


def test_swiglu_starts_as_the_course_has_it_and_loudness_one_keeps_it():
    projector = SwiGLUProjector(encoder_dim=64, llm_dim=128, hidden_dim=256)
    projector.calibrate(torch.randn(9, 128), rms=1.0)
    assert (projector.ln_post.weight == 1).all()
    assert projector.ln_post.eps == projector.ln_pre.eps == 1e-6
    assert [projector.gate_proj.bias, projector.up_proj.bias, projector.down_proj.bias] == [None] * 3
    assert projector.down_proj.weight.std().item() == pytest.approx(0.02, rel=0.03)


@pytest.mark.parametrize(("num_frames", "stack_factor", "tokens"), [(1500, 2, 750), (149, 5, 30), (149, 8, 19)])
def test_tokens_of_the_courses_clips(num_frames: int, stack_factor: int, tokens: int):
    projector = ConvMLPProjector(encoder_dim=2, llm_dim=2, stack_factor=stack_factor)
    assert projector(torch.randn(1, num_frames, 2)).shape[1] == tokens


def test_ultravox_is_what_llama_cpp_computes():
    projector = UltravoxProjector(encoder_dim=6, llm_dim=8, hidden_dim=20, stack_factor=4)
    projector.calibrate(torch.randn(9, 8) * 0.1)
    tensors = {GGUF_NAMES[name]: tensor for name, tensor in projector.state_dict().items()}
    assert len(tensors) == len(GGUF_NAMES)
    frames_TD = torch.randn(11, 6)
    stacked_AK = torch.cat([frames_TD, torch.zeros(1, 6)]).reshape(3, 24)

    def rms_norm(rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return rows / (rows.square().mean(dim=-1, keepdim=True) + 1e-6).sqrt() * weight

    inner = rms_norm(stacked_AK, tensors["mm.a.norm_pre.weight"]) @ tensors["mm.a.mlp.1.weight"].T
    gated = inner[:, :10] * F.silu(inner[:, 10:])
    expected = rms_norm(gated, tensors["mm.a.norm_mid.weight"]) @ tensors["mm.a.mlp.2.weight"].T
    assert torch.allclose(projector(frames_TD[None])[0], expected, atol=1e-5)


@torch.no_grad()
def test_qformer_is_that_of_blip_2_on_windows_of_15_frames():
    projector = QFormerProjector(encoder_dim=12, llm_dim=8, hidden_dim=32).eval()
    config = Blip2QFormerConfig(
        hidden_size=32,
        encoder_hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=16,
        intermediate_size=128,
        cross_attention_frequency=1,
    )
    blip = Blip2QFormerModel(config).eval()
    names = {"layernorm": "norm"}
    for layer in range(2):
        theirs, ours = f"encoder.layer.{layer}", f"layers.{layer}"
        for their_part, our_part in (("attention", "self"), ("crossattention", "cross")):
            for projection in ("query", "key", "value"):
                names[f"{theirs}.{their_part}.attention.{projection}"] = f"{ours}.{our_part}_attention.{projection}"
            names[f"{theirs}.{their_part}.output.dense"] = f"{ours}.{our_part}_attention.out"
            names[f"{theirs}.{their_part}.output.LayerNorm"] = f"{ours}.{our_part}_norm"
        names[f"{theirs}.intermediate_query.dense"] = f"{ours}.up"
        names[f"{theirs}.output_query.dense"] = f"{ours}.down"
        names[f"{theirs}.output_query.LayerNorm"] = f"{ours}.norm"
    state = projector.state_dict()
    loaded = blip.load_state_dict(
        {
            f"{theirs}.{kind}": torch.nn.init.normal_(state[f"{ours}.{kind}"], std=0.3)
            for theirs, ours in names.items()
            for kind in ("weight", "bias")
        }
    )
    assert not loaded.missing_keys
    frames_BTD = torch.randn(2, 40, 12)
    mask_B45 = torch.arange(45).expand(2, -1) < 40
    hidden = blip(
        query_embeds=projector.queries.expand(6, -1, -1),
        encoder_hidden_states=F.pad(frames_BTD, (0, 0, 0, 5)).reshape(6, 15, 12),
        encoder_attention_mask=mask_B45.reshape(6, 15),
    ).last_hidden_state
    expected = projector.linear(hidden).reshape(2, 9, 8)
    assert torch.allclose(projector(frames_BTD), expected, atol=1e-5)


@pytest.mark.parametrize("num_frames", [1, 14, 15, 16, 1500])
def test_qformer_gives_three_tokens_for_15_frames(num_frames: int):
    projector = QFormerProjector(encoder_dim=4, llm_dim=4, hidden_dim=8)
    assert projector.output_lengths(torch.tensor([num_frames])).tolist() == [3 * -(-num_frames // 15)]


@torch.no_grad()
def test_moe_is_the_shared_expert_plus_the_two_likeliest_by_their_renormalised_weights():
    projector = MoEProjector(encoder_dim=6, llm_dim=8, hidden_dim=10).eval()
    frames_BTD = torch.randn(1, 20, 6)
    stacked_AK = projector.ln_pre(frames_BTD.reshape(5, 24))
    probabilities_AX = projector.router(stacked_AK).softmax(dim=1)
    for token_E, row_K, probabilities_X in zip(projector(frames_BTD)[0], stacked_AK, probabilities_AX, strict=True):
        first, second = probabilities_X.argsort(descending=True)[:2].tolist()
        both = probabilities_X[first] + probabilities_X[second]
        expected_E = projector.shared_expert(row_K)
        for chosen in (first, second):
            expected_E = expected_E + probabilities_X[chosen] / both * projector.experts[chosen](row_K)
        assert torch.allclose(token_E, expected_E, atol=1e-5)


def test_moe_experts_are_kept_busy_in_training_and_padding_has_no_say():
    projector = MoEProjector(encoder_dim=6, llm_dim=8, hidden_dim=10)
    frames_BTD = torch.randn(2, 40, 6)
    projector.eval()(frames_BTD)
    assert projector.auxiliary_loss is None
    losses = []
    for padding in (0, 80):
        torch.manual_seed(1)
        projector.train()(F.pad(frames_BTD, (0, 0, 0, padding), value=9.0), torch.tensor([40, 40]))
        losses.append(projector.auxiliary_loss)
    assert torch.equal(losses[0], losses[1])
    optimizer = torch.optim.Adam(projector.parameters(), lr=0.01)
    with torch.no_grad():
        projector.router.weight[0] += projector.ln_pre(frames_BTD.reshape(20, 24)).mean(dim=0)  # all like expert 0
    heads = AlignmentHeads(projector)
    start = None
    for _ in range(100):
        heads(frames_BTD)
        start = start or heads.auxiliary_loss.item()
        optimizer.zero_grad()
        heads.auxiliary_loss.backward()
        optimizer.step()
    assert heads.auxiliary_loss.item() < 0.5 * start


def test_the_shipped_weights_are_those_of_conv_blocks():
    folder = Path(tiny_audio.__file__).parent / "pretrained" / "tiny-audio-base"
    sizes = json.loads((folder / "config.json").read_text())["projector"]
    sizes = {name: sizes[name] for name in ("hidden_dim", "stack_factor", "num_blocks", "spelling_dim")}
    projector = ConvBlocksProjector(encoder_dim=512, llm_dim=576, **sizes)
    state = read_stored_tensors(folder / "model.safetensors")
    own = {name.removeprefix("projector."): row for name, row in state.items() if name.startswith("projector.")}
    projector.load_state_dict(own)


def test_the_residual_is_zero_before_the_language_model_has_trained_it():
    conv_blocks = ConvBlocksProjector(encoder_dim=12, llm_dim=16, hidden_dim=24)
    heads = AlignmentHeads(SwiGLUProjector(encoder_dim=12, llm_dim=16, hidden_dim=24))
    for projector in (conv_blocks, heads):
        assert not projector(torch.randn(1, 20, 12)).residual_BAE.any()
