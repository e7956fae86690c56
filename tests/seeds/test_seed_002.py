"""Chapter 002, language models and projectors: its tables, and its scripts on a checkpoint in miniature.

What it gets wrong is in `docs/seed-corrections.md`.
"""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import Wav2Vec2FeatureExtractor

from seeds.conftest import HIDDEN_DIM, Course
from seeds.corrections import HUBERT, QWEN, encoder, llm, size, swiglu
from tiny_audio import ASRConfig, ASRModel
from tiny_audio.audio.io import load_audio
from tiny_audio.models.asr_config import ProjectorConfig
from tiny_audio.models.projectors.build import build_projector
from tiny_audio.models.projectors.projector import NORM_EPS
from tiny_audio.models.projectors.swiglu import SwiGLUProjector

THREE_SECONDS = encoder("hubert", HUBERT).output_lengths(torch.tensor([48_000]))


def tokens(stack_factor: int, frames: Tensor = THREE_SECONDS) -> int:
    projector = SwiGLUProjector(encoder_dim=1, llm_dim=1, hidden_dim=1, stack_factor=stack_factor)
    return int(projector.output_lengths(frames))


# --- the tables ----------------------------------------------------------------------------------------------------


def test_149_frames_become_150_and_30_stacks_of_6400() -> None:
    assert THREE_SECONDS.tolist() == [149]
    config = ProjectorConfig(kind="swiglu", aligned=False, hidden_dim=8192, stack_factor=5)
    with torch.device("meta"):
        projector = build_projector(config, encoder_dim=1280, llm_dim=2048)
    assert tokens(5) == 30
    assert 30 * projector.k == 150
    assert {name: tuple(parameter.shape) for name, parameter in projector.named_parameters()} == {
        "ln_pre.weight": (6400,),
        "gate_proj.weight": (8192, 6400),
        "up_proj.weight": (8192, 6400),
        "down_proj.weight": (2048, 8192),
        "ln_post.weight": (2048,),
    }
    assert size(projector) == swiglu(llm_dim=2048) == 121_643_264
    assert swiglu(llm_dim=llm(QWEN).config.hidden_size) == 138_422_528


@pytest.mark.parametrize(
    ("rate", "frames", "milliseconds", "megabytes"),
    [
        (2, 75, "40.0", "0.59"),
        (3, 50, "60.0", "0.39"),
        (5, 30, "100.0", "0.23"),
        (8, 19, "157.9", "0.15"),
        (10, 15, "200.0", "0.12"),
    ],
)
def test_downsampling_rates(rate: int, frames: int, milliseconds: str, megabytes: str) -> None:
    found = tokens(rate)
    assert found == frames
    assert f"{3000 / found:.1f}" == milliseconds
    assert f"{found * 2048 * 4 / 2**20:.2f}" == megabytes


@pytest.mark.parametrize(
    ("hidden_dim", "stack_factor", "parameters", "frames", "milliseconds", "compression"),
    [
        (8192, 5, 121_643_264, 30, "100.0", "5.0"),
        (4096, 5, 60_825_856, 30, "100.0", "5.0"),
        (8192, 8, 184_561_664, 18, "166.7", "8.3"),
        (8192, 2, 58_724_864, 75, "40.0", "2.0"),
    ],
)
def test_projector_configurations(
    hidden_dim: int, stack_factor: int, parameters: int, frames: int, milliseconds: str, compression: str
) -> None:
    """The chapter rounds down where the model pads: 150 frames in stacks of 8 are 18 there, and 19 here."""
    assert swiglu(llm_dim=2048, hidden_dim=hidden_dim, stack_factor=stack_factor) == parameters
    assert 150 // stack_factor == frames
    assert f"{3000 / frames:.1f}" == milliseconds
    assert f"{150 / frames:.1f}" == compression
    assert tokens(stack_factor) == frames + (stack_factor == 8)


@pytest.mark.parametrize(
    ("source", "chapter_width", "chapter_millions", "width", "millions"),
    [
        ("Qwen/Qwen3-8B", 2048, "121.6", 4096, "138.4"),
        ("meta-llama/Meta-Llama-3-8B-Instruct", 4096, "138.4", 4096, "138.4"),
        ("mistralai/Mistral-7B-Instruct-v0.3", 4096, "138.4", 4096, "138.4"),
        ("Qwen/Qwen3-1.7B", 1536, "117.4", 2048, "121.6"),  # the chapter's "1.5B"
    ],
)
def test_projectors_of_the_decoders(
    source: str, chapter_width: int, chapter_millions: str, width: int, millions: str
) -> None:
    assert f"{swiglu(llm_dim=chapter_width) / 1e6:.1f}" == chapter_millions
    assert llm(source).config.hidden_size == width
    assert f"{swiglu(llm_dim=width) / 1e6:.1f}" == millions


def test_activations() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 30, 8192)
    zeros = {name: (getattr(F, name)(x) == 0).float().mean().item() for name in ("relu", "gelu", "silu", "tanh")}
    assert zeros.pop("relu") == pytest.approx(0.5, abs=0.01)
    assert max(zeros.values()) < 1e-5


@torch.no_grad()
def test_the_formulas_of_rms_norm_and_swiglu_are_the_projectors() -> None:
    torch.manual_seed(0)
    projector = SwiGLUProjector(encoder_dim=4, llm_dim=6, hidden_dim=8)
    x = torch.randn(3, 20) * 9
    normed = x / (x.square().mean(-1, keepdim=True) + NORM_EPS).sqrt()
    torch.testing.assert_close(projector.ln_pre(x), normed)
    gate, up = projector.gate_proj(normed), projector.up_proj(normed)
    torch.testing.assert_close(F.silu(gate) * up, gate * gate.sigmoid() * up)


# --- the scripts ---------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_trace_projector_and_the_stages_of_the_visualisation(hubert_course: Course) -> None:
    config = ASRConfig.from_pretrained(hubert_course.checkpoint, trust_remote_code=True)
    model = ASRModel.from_pretrained(hubert_course.checkpoint, config=config)
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(hubert_course.encoder)
    inputs = extractor(load_audio(hubert_course.audio), sampling_rate=16_000, return_tensors="pt")
    encoder_output = model.encoder(**inputs).last_hidden_state
    assert encoder_output.shape == (1, 149, config.encoder_dim)

    projector = model.projector
    k = projector.k
    assert k == config.audio_downsample_rate == 5
    batch_size, seq_len, dim = encoder_output.shape
    padded = F.pad(encoder_output, (0, 0, 0, k - seq_len % k))
    assert padded.shape[1] == 150
    stacked = padded.contiguous().view(batch_size, -1, dim * k)
    assert stacked.shape == (1, 30, 5 * config.encoder_dim)
    prenorm = projector.ln_pre(stacked)
    gate, up = projector.gate_proj(prenorm), projector.up_proj(prenorm)
    activated = F.silu(gate) * up
    assert gate.shape == up.shape == activated.shape == (1, 30, HIDDEN_DIM)
    down = projector.down_proj(activated)
    output = projector.ln_post(down)
    assert down.shape == output.shape == (1, 30, config.llm_dim)
    # Step by step or at once, from 149 frames or from 150: the same.
    assert torch.equal(projector(encoder_output), output)
    assert torch.equal(projector(padded), output)
    assert f"{seq_len / output.shape[1]:.1f}x" == "5.0x"


def test_tracing_works_without_no_grad_too_and_gradients_reach_the_projector(hubert_course: Course) -> None:
    """The chapter's script leaves `no_grad` behind the encoder."""
    model = ASRModel.from_pretrained(hubert_course.checkpoint)
    frames = model.encode(load_audio(hubert_course.audio))
    projected = model.projector(frames)
    assert f"{projected.mean():.4f}"
    projected.sum().backward()
    assert model.projector.gate_proj.weight.grad is not None


def test_visualize_projector_and_the_importance_of_dimensions(hubert_course: Course) -> None:
    config = ASRConfig.from_pretrained(hubert_course.checkpoint, trust_remote_code=True)
    model = ASRModel.from_pretrained(hubert_course.checkpoint, config=config)
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(hubert_course.encoder)
    inputs = extractor(load_audio(hubert_course.audio), sampling_rate=16_000, return_tensors="pt")
    with torch.no_grad():
        audio_emb = model.encoder(**inputs).last_hidden_state
        text_emb = model.projector(audio_emb)
        sample_text = model.tokenizer("Hello world", return_tensors="pt")
        llm_emb = model.decoder.get_input_embeddings()(sample_text.input_ids)
        dim_variance = text_emb.var(dim=(0, 1))
    for embeddings, width in ((audio_emb, config.encoder_dim), (text_emb, config.llm_dim), (llm_emb, config.llm_dim)):
        values = embeddings.flatten().numpy()
        assert len(values) % width == 0
        assert values.min() < values.mean() < values.max()
    assert llm_emb.shape[1] == sample_text.input_ids.shape[1] > 1
    sorted_dims, _ = torch.sort(dim_variance, descending=True)
    assert sorted_dims.shape == (config.llm_dim,)
    assert 0 < sorted_dims[:10].sum() / sorted_dims.sum() < 1
