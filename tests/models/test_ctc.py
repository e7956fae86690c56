"""CTC over an embedding table equals PyTorch's on the whole vocabulary; feasibility; collapse; beam search."""

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from tiny_audio.models.beam_search import FrameCandidates, prefix_beam_search
from tiny_audio.models.ctc import VocabularySample, collapse, ctc_loss, frames_needed, is_feasible, table_logsumexp


def test_loss_and_gradient_equal_ctc_over_the_whole_vocabulary():
    torch.manual_seed(0)
    table_VE = torch.randn(30, 8)
    hidden = torch.randn(3, 12, 8, requires_grad=True)
    blank = torch.randn(3, 12, requires_grad=True)
    lengths = torch.tensor([12, 9, 10])
    labels = [[3, 3, 7, 29], [0, 1], [5, 4, 5]]
    logits = torch.cat([hidden @ table_VE.T, blank.unsqueeze(-1)], dim=-1)  # here the blank is the last class
    expected = F.ctc_loss(
        logits.log_softmax(-1).transpose(0, 1),
        torch.tensor([label for row in labels for label in row]),
        lengths,
        torch.tensor([4, 2, 3]),
        blank=30,
        reduction="none",
    )
    ours = ctc_loss(hidden, blank, lengths, labels, table_VE)
    assert torch.allclose(ours, expected, atol=1e-4)
    gradients = [torch.autograd.grad(loss.sum(), (hidden, blank)) for loss in (expected, ours)]
    for left, right in zip(*gradients, strict=True):
        assert torch.allclose(left, right, atol=1e-4)


@pytest.mark.parametrize("part", ["sample", "table"])
def test_a_loss_in_half_precision_is_never_negative(part: str):
    """The sum over the vocabulary and a label's own logit must be rounded alike."""
    torch.manual_seed(0)
    table_VE = torch.nn.functional.normalize(torch.randn(50, 32), dim=1)
    for label in range(50):
        hidden_1AE = (36 * table_VE[label]).expand(1, 1, -1)
        table = table_VE.bfloat16() if part == "table" else table_VE
        sample = VocabularySample(
            table_NE=table_VE.bfloat16(), log_weights_N=torch.zeros(50), always_M=torch.arange(50)
        )
        loss = ctc_loss(
            hidden_1AE,
            torch.full((1, 1), -50.0),
            torch.tensor([1]),
            [[label]],
            table,
            sample=sample if part == "sample" else None,
        )
        assert float(loss) >= 0.0


def test_an_utterance_without_words_costs_the_blanks_only():
    table_VE = torch.randn(5, 4)
    hidden, blank = torch.randn(1, 6, 4), torch.randn(1, 6)
    log_blank = blank - torch.logaddexp(table_logsumexp(hidden[0], table_VE), blank[0])
    loss = ctc_loss(hidden, blank, torch.tensor([6]), [[]], table_VE)
    assert loss.item() == pytest.approx(-log_blank.sum().item(), abs=1e-4)


def test_an_infeasible_row_is_infinite_and_not_hidden():
    loss = ctc_loss(torch.randn(1, 3, 4), torch.randn(1, 3), torch.tensor([3]), [[1, 1, 2]], torch.randn(5, 4))
    assert math.isinf(loss.item())


@pytest.mark.parametrize(
    ("labels", "needed"), [([], 0), ([4], 1), ([4, 5], 2), ([4, 4], 3), ([4, 4, 4, 1], 6)], ids=str
)
def test_frames_needed_is_the_shortest_length_with_a_finite_loss(labels: list[int], needed: int):
    assert frames_needed(labels) == needed
    for num_frames in range(max(needed - 1, 1), needed + 2):
        loss = ctc_loss(
            torch.randn(1, num_frames, 4),
            torch.randn(1, num_frames),
            torch.tensor([num_frames]),
            [labels],
            torch.randn(6, 4),
        )
        assert is_feasible(num_frames, labels) == math.isfinite(loss.item())


def test_collapse_merges_neighbours_and_drops_blanks():
    assert collapse([9, 1, 1, 9, 1, 2, 2, 9], blank_id=9) == [1, 1, 2]
    assert collapse([], blank_id=9) == []
    assert collapse([9, 9], blank_id=9) == []


def test_beam_search_with_a_wide_beam_sums_over_all_alignments():
    torch.manual_seed(1)
    probabilities = torch.rand(4, 3).softmax(1)  # classes: tokens 0 and 1, blank 2
    exact: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(3), repeat=4):
        probability = math.prod(float(probabilities[frame, label]) for frame, label in enumerate(path))
        labels = tuple(collapse(path, 2))
        exact[labels] = exact.get(labels, 0.0) + probability
    frames = [
        FrameCandidates(blank=math.log(row[2]), tokens=[(0, math.log(row[0])), (1, math.log(row[1]))])
        for row in probabilities.tolist()
    ]
    found = prefix_beam_search(frames, num_beams=1_000)
    assert {beam.token_ids: pytest.approx(math.exp(beam.log_prob), rel=1e-5) for beam in found} == exact
    assert [beam.log_prob for beam in found] == sorted((beam.log_prob for beam in found), reverse=True)
    (best,) = prefix_beam_search(frames, num_beams=1_000)[:1]
    assert exact[best.token_ids] == max(exact.values())
