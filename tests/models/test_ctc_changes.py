"""What differs in one place is scored there alone, and as if it had been read whole."""

import math
import random

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tiny_audio.models import ctc_changes
from tiny_audio.models.ctc import frames_needed
from tiny_audio.models.ctc_changes import CTCScorer

BLANK = 0


def read_whole(log_probs_AV: Tensor, row: list[int]) -> float:
    if frames_needed(row) > len(log_probs_AV):
        return -math.inf
    lengths = [len(log_probs_AV)], [len(row)]
    labels = torch.tensor([row], dtype=torch.long)
    return -F.ctc_loss(log_probs_AV[:, None].double(), labels, *lengths, blank=BLANK, reduction="sum").item()


def changed(row: list[int], rng: random.Random, num_classes: int) -> list[int]:
    """The row with other labels, fewer, more or none in one place."""
    start = rng.randrange(len(row) + 1)
    own = [rng.randrange(1, num_classes) for _ in range(rng.randrange(4))]
    return [*row[:start], *own, *row[start + rng.randrange(3) :]]


@pytest.mark.parametrize("num_frames", [1, 2, 3, 6, 12, 30])
@pytest.mark.parametrize("num_classes", [2, 3, 6])
def test_every_change_has_the_probability_of_the_whole(num_frames: int, num_classes: int):
    rng = random.Random(num_frames * num_classes)
    for sharpness in (0.0, 1.0, 4.0):
        log_probs_AV = (sharpness * torch.randn(num_frames, num_classes)).log_softmax(1)
        reference = [rng.randrange(1, num_classes) for _ in range(rng.randrange(8))]
        rows = [reference, [], reference, *(changed(reference, rng, num_classes) for _ in range(30))]
        found = CTCScorer(log_probs_AV, blank_id=BLANK).log_probs(rows)
        assert found == pytest.approx([read_whole(log_probs_AV, row) for row in rows], rel=1e-6, abs=1e-6)


def spoken(row: list[int], num_classes: int, *, frames_a_label: int = 4) -> Tensor:
    """Half a minute of letters that come one by one, each of them likely but no more."""
    logits_AV = torch.randn(len(row) * frames_a_label, num_classes)
    logits_AV[:, BLANK] += 6.0
    for place, label in enumerate(row):
        logits_AV[place * frames_a_label + 1, [BLANK, label]] = torch.tensor([2.0, 6.0])
    return logits_AV.log_softmax(1)


def test_long_texts_and_many_own_labels(monkeypatch: pytest.MonkeyPatch):
    rng = random.Random(0)
    row = [rng.randrange(1, 29) for _ in range(375)]
    log_probs_AV = spoken(row, 29)
    rows = [row, [*row[:100], *row[300:]], [1] * 70, [*row[:3], *[2] * 65, *row[60:]]]
    rows += [changed(row, rng, 29) for _ in range(20)]
    expected = [read_whole(log_probs_AV, one) for one in rows]
    assert CTCScorer(log_probs_AV, blank_id=BLANK).log_probs(rows) == pytest.approx(expected, rel=1e-6)
    monkeypatch.setattr(ctc_changes, "_LONGEST", 1_000)  # nothing is read whole
    assert CTCScorer(log_probs_AV, blank_id=BLANK).log_probs(rows) == pytest.approx(expected, rel=1e-6)


def test_neither_the_others_nor_the_first_change_a_probability():
    rng = random.Random(1)
    row = [rng.randrange(1, 29) for _ in range(60)]
    scorer = CTCScorer(spoken(row, 29), blank_id=BLANK)
    rows = [row, *(changed(row, rng, 29) for _ in range(10))]
    together = scorer.log_probs(rows)
    assert [scorer.log_probs([one])[0] for one in rows] == pytest.approx(together, rel=1e-9)
    assert scorer.log_probs(rows[::-1])[::-1] == pytest.approx(together, rel=1e-9)


def test_a_first_row_without_enough_frames_is_no_reference():
    log_probs_AV = torch.zeros(3, 4).log_softmax(1)
    found = CTCScorer(log_probs_AV, blank_id=BLANK).log_probs([[1, 1, 1], [1, 2], [1, 1]])
    assert found[0] == -math.inf
    assert found[1:] == pytest.approx([read_whole(log_probs_AV, [1, 2]), read_whole(log_probs_AV, [1, 1])])
    assert CTCScorer(log_probs_AV, blank_id=BLANK).log_probs([]) == []


def test_a_class_that_cannot_be_makes_the_text_impossible():
    log_probs_AV = torch.zeros(6, 4).log_softmax(1)
    log_probs_AV[:, 3] = -math.inf
    found = CTCScorer(log_probs_AV, blank_id=BLANK).log_probs([[3, 1], [1], [1, 3]])
    assert (found[0], found[2]) == (-math.inf, -math.inf)
    assert found[1] == pytest.approx(read_whole(log_probs_AV[:, :3], [1]))
