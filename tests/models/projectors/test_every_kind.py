"""What every projector promises, plain and aligned: lengths, padding, batches, counts, loudness, saved weights."""

from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import Tensor

from tiny_audio.errors import ConfigError, UnknownNameError
from tiny_audio.models.asr_config import ProjectorConfig, ProjectorKind
from tiny_audio.models.ctc import ctc_loss
from tiny_audio.models.projectors.aligned import AlignmentHeads
from tiny_audio.models.projectors.build import PROJECTORS, build_projector, num_parameters
from tiny_audio.models.projectors.conv_blocks import ConvBlocksProjector
from tiny_audio.models.projectors.projector import Projector

KINDS = get_args(ProjectorKind)
CASES = [(kind, aligned) for kind in KINDS for aligned in (False, True) if aligned or kind != "conv_blocks"]
ENCODER_DIM, LLM_DIM = 12, 16


def config_of(kind: ProjectorKind, aligned: bool, *, stack_factor: int = 4) -> ProjectorConfig:
    return ProjectorConfig(kind=kind, aligned=aligned, hidden_dim=24, stack_factor=stack_factor)


def tiny(kind: ProjectorKind, aligned: bool, *, stack_factor: int = 4) -> torch.nn.Module:
    torch.manual_seed(0)
    config = config_of(kind, aligned, stack_factor=stack_factor)
    return build_projector(config, encoder_dim=ENCODER_DIM, llm_dim=LLM_DIM).eval()


def outputs(projector: torch.nn.Module, *inputs: Tensor) -> tuple[Tensor, ...]:
    with torch.no_grad():
        projected = projector(*inputs)
    return (projected,) if isinstance(projected, Tensor) else tuple(projected)


def test_every_kind_of_the_configuration_can_be_built():
    assert set(PROJECTORS) == set(KINDS)


@pytest.mark.parametrize(("kind", "aligned"), CASES)
def test_declared_lengths_are_the_real_ones(kind: ProjectorKind, aligned: bool):
    sizes = torch.Generator().manual_seed(1)
    for stack_factor in (1, 2, 3, 4, 5):
        projector = tiny(kind, aligned, stack_factor=stack_factor)
        for num_frames in [1, *torch.randint(1, 120, (40,), generator=sizes).tolist()]:
            (declared,) = projector.output_lengths(torch.tensor([num_frames])).tolist()
            hidden_BAE, *_ = outputs(projector, torch.randn(1, num_frames, ENCODER_DIM))
            assert hidden_BAE.shape == (1, declared, LLM_DIM)
            assert declared > 0
            assert declared >= num_frames / stack_factor


@pytest.mark.parametrize(("kind", "aligned"), CASES)
def test_a_row_of_a_batch_equals_the_row_alone_whatever_stands_behind_its_end(kind: ProjectorKind, aligned: bool):
    projector = tiny(kind, aligned)
    lengths = torch.tensor([41, 7, 30, 1, 12])
    clips = [torch.randn(length, ENCODER_DIM) * 5 for length in lengths.tolist()]
    for garbage in (0.0, 1e4, float("inf"), float("nan")):
        batch_BTD = torch.full((len(clips), 43, ENCODER_DIM), garbage)
        for row, clip in enumerate(clips):
            batch_BTD[row, : len(clip)] = clip
        batch = outputs(projector, batch_BTD, lengths)
        assert all(output.isfinite().all() for output in batch)
        for row, clip in enumerate(clips):
            for of_batch, alone in zip(batch, outputs(projector, clip[None]), strict=True):
                assert torch.allclose(of_batch[row, : alone.shape[1]], alone[0], atol=1e-5)


@pytest.mark.parametrize(("kind", "aligned"), CASES)
def test_no_lengths_means_that_all_rows_are_full(kind: ProjectorKind, aligned: bool):
    projector = tiny(kind, aligned)
    frames_BTD = torch.randn(2, 17, ENCODER_DIM)
    for without, with_lengths in zip(
        outputs(projector, frames_BTD), outputs(projector, frames_BTD, torch.tensor([17, 17])), strict=True
    ):
        assert torch.equal(without, with_lengths)


@pytest.mark.parametrize(("kind", "aligned"), CASES)
def test_the_formula_counts_what_is_built(kind: ProjectorKind, aligned: bool):
    draw = torch.Generator().manual_seed(2)
    for _ in range(20):
        encoder_dim, llm_dim, half, stack_factor, num = (
            int(torch.randint(low, high, (), generator=draw)) for low, high in [(1, 40)] * 3 + [(1, 9), (2, 6)]
        )
        config = replace(
            config_of(kind, aligned, stack_factor=stack_factor), hidden_dim=2 * half, num_blocks=num, num_experts=num
        )
        with torch.device("meta"):
            projector = build_projector(config, encoder_dim=encoder_dim, llm_dim=llm_dim)
        built = sum(parameter.numel() for parameter in projector.parameters())
        assert num_parameters(config, encoder_dim=encoder_dim, llm_dim=llm_dim) == built


@pytest.mark.parametrize(
    ("kind", "stack_factor", "hidden_dim", "llm_dim", "count"),
    [
        ("swiglu", 5, 8192, 2048, 121_643_264),  # classes 2 and 3 of the course
        ("swiglu", 5, 8192, 4096, 138_422_528),  # the same with the true width of Qwen3-8B
        ("swiglu", 5, 4096, 2048, 60_825_856),  # the "smaller" one; the course prints 60,829,696
        ("swiglu", 8, 8192, 2048, 184_561_664),  # the course prints 121,651,456
        ("swiglu", 2, 8192, 2048, 58_724_864),  # the course prints 121,634,880
        ("conv_mlp", 2, 0, 2048, 11_730_944),  # class 1, "about 12M"
        ("mlp", 4, 1024, 1024, 6_296_576),
        ("moe", 4, 1024, 1024, 31_493_120),
        ("qformer", 5, 1280, 1024, 53_795_584),  # "about 54M"
    ],
)
def test_full_sizes(kind: ProjectorKind, stack_factor: int, hidden_dim: int, llm_dim: int, count: int):
    config = ProjectorConfig(kind=kind, aligned=False, stack_factor=stack_factor, hidden_dim=hidden_dim)
    with torch.device("meta"):
        projector = build_projector(config, encoder_dim=1280, llm_dim=llm_dim)
    assert sum(parameter.numel() for parameter in projector.parameters()) == count
    assert num_parameters(config, encoder_dim=1280, llm_dim=llm_dim) == count


@pytest.mark.parametrize(("kind", "aligned"), CASES)
def test_saved_weights_give_the_same_output(kind: ProjectorKind, aligned: bool):
    table_VE = torch.randn(50, LLM_DIM) * 0.1
    projector = tiny(kind, aligned)
    projector.calibrate(table_VE)
    torch.manual_seed(7)
    with torch.device("meta"):
        loaded = build_projector(config_of(kind, aligned), encoder_dim=ENCODER_DIM, llm_dim=LLM_DIM).eval()
    loaded.to_empty(device="cpu").load_state_dict(projector.state_dict())
    frames_BTD = torch.randn(2, 33, ENCODER_DIM)
    for before, after in zip(outputs(projector, frames_BTD), outputs(loaded, frames_BTD), strict=True):
        assert torch.equal(before, after)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "conv_blocks"])
@pytest.mark.parametrize("rms", [None, 1.0])
def test_new_weights_are_as_loud_as_text(kind: ProjectorKind, aligned: bool, rms: float | None):
    torch.manual_seed(3)
    config = replace(config_of(kind, aligned), hidden_dim=256)
    projector = build_projector(config, encoder_dim=64, llm_dim=256).eval()
    table_VE = torch.randn(400, 256) * 0.04
    projector.calibrate(table_VE, rms=rms)
    plain = projector.projector if isinstance(projector, AlignmentHeads) else projector
    goal = table_VE.square().mean().sqrt().item() if rms is None else rms
    # As encoders give it: loud, and with a mean that all frames share.
    frames_BTD = torch.randn(4, 100, 64) * 3 + torch.randn(64) * 2
    (tokens_BAE,) = outputs(plain, frames_BTD)
    assert tokens_BAE.square().mean().sqrt().item() == pytest.approx(goal, rel=0.05)
    if aligned:
        hidden_BAE, *_ = outputs(projector, frames_BTD)
        assert 0.5 < (hidden_BAE @ table_VE.T).std() < 2


@pytest.mark.parametrize("kind", KINDS)
def test_ctc_over_the_embedding_table_learns_one_batch(kind: ProjectorKind):
    torch.manual_seed(4)
    table_VE = torch.randn(60, 32) * 0.1
    config = replace(config_of(kind, True), hidden_dim=32, dropout=0.0)
    projector = build_projector(config, encoder_dim=ENCODER_DIM, llm_dim=32)
    projector.calibrate(table_VE)
    lengths = torch.tensor([40, 29])
    labels = [[3, 8, 8, 41], [5, 3, 59]]
    frames_BTD = torch.randn(2, 40, ENCODER_DIM)
    optimizer = torch.optim.AdamW(projector.parameters(), lr=1e-2)
    for _ in range(400):
        projected = projector(frames_BTD, lengths)
        token_lengths = projector.output_lengths(lengths)
        losses_B = ctc_loss(projected.hidden_BAE, projected.blank_BA, token_lengths, labels, table_VE)
        loss = losses_B.sum() / 7
        if loss < 0.1:
            break
        optimizer.zero_grad()
        (loss + (projector.auxiliary_loss or 0.0)).backward()
        optimizer.step()
    assert loss < 0.1


@pytest.mark.parametrize(("kind", "aligned"), CASES)
def test_a_gradient_reaches_every_weight(kind: ProjectorKind, aligned: bool):
    projector = tiny(kind, aligned).train()
    projected = projector(torch.randn(3, 50, ENCODER_DIM))
    loss = sum(output.square().sum() for output in ([projected] if isinstance(projected, Tensor) else projected))
    (loss + (projector.auxiliary_loss or 0.0)).backward()
    assert [name for name, parameter in projector.named_parameters() if parameter.grad is None] == []


def test_only_conv_blocks_is_an_aligned_projector_by_itself():
    for kind, aligned in CASES:
        expected = ConvBlocksProjector if kind == "conv_blocks" else AlignmentHeads if aligned else Projector
        assert isinstance(tiny(kind, aligned), expected)
    with pytest.raises(ConfigError, match=r"set projector\.aligned to true"):
        tiny("conv_blocks", aligned=False)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ProjectorConfig(kind="ultravox", hidden_dim=7), "hidden_dim is 7"),
        (ProjectorConfig(kind="moe", num_experts=1), "num_experts is 1"),
        (ProjectorConfig(kind="mlp", stack_factor=0), "stack_factor is 0"),
    ],
)
def test_sizes_that_cannot_be_are_refused(config: ProjectorConfig, message: str):
    with pytest.raises(ConfigError, match=message):
        build_projector(config, encoder_dim=ENCODER_DIM, llm_dim=LLM_DIM)


def test_an_unknown_kind_is_answered_with_the_known_ones():
    config = replace(ProjectorConfig(), kind="swiglo")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="Did you mean 'swiglu'"):
        build_projector(config, encoder_dim=ENCODER_DIM, llm_dim=LLM_DIM)
