"""The alignment is the best of all paths; spans, centres and confidences say where a token stands."""

import itertools

import numpy as np
import pytest
import torch

from tiny_audio.models.ctc import collapse, frames_needed
from tiny_audio.models.ctc_alignment import align, align_words, viterbi
from tiny_models import WORDS, word_tokenizer


def best_path(log_probs: np.ndarray, labels: list[int]) -> float:
    """Log-probability of the best path that spells `labels`, by trying all; class 0 is the blank."""
    num_frames, num_classes = log_probs.shape
    paths = itertools.product(range(num_classes), repeat=num_frames)
    scores = [log_probs[np.arange(num_frames), path].sum() for path in paths if collapse(path, 0) == labels]
    return max(scores, default=-np.inf)


@pytest.mark.parametrize("labels", [[1], [1, 2], [2, 2], [1, 2, 1], [3, 3, 3], [1, 1, 2], [3, 1, 2, 2]], ids=str)
@pytest.mark.parametrize("num_frames", [1, 3, 6])
def test_the_path_is_the_best_of_all_and_spells_the_text(labels: list[int], num_frames: int) -> None:
    log_probs = np.log(np.random.default_rng(len(labels)).dirichlet(np.ones(4), size=num_frames))
    if num_frames < frames_needed(labels):
        with pytest.raises(ValueError, match="frames"):
            viterbi(log_probs, labels)
        return

    path = np.zeros(num_frames, int)
    for label, (start, end) in zip(labels, runs := viterbi(log_probs, labels), strict=True):
        path[start:end] = label

    assert collapse(path.tolist(), 0) == labels
    assert all(start < end for start, end in runs)
    assert log_probs[np.arange(num_frames), path].sum() == pytest.approx(best_path(log_probs, labels))


def test_ties_and_a_path_without_any_blank() -> None:
    assert viterbi(np.zeros((3, 4)), [1, 2, 3]) == [(0, 1), (1, 2), (2, 3)]
    assert viterbi(np.zeros((3, 4)), []) == []


def peaked(frames: list[int | None], *, table_VE: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Projector output that is sure of these tokens (None: blank)."""
    hidden_AE = torch.stack([torch.zeros(8) if token is None else 9 * table_VE[token] for token in frames])
    return hidden_AE, torch.tensor([9.0 if token is None else -9.0 for token in frames])


def unit_table(size: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(size, 8, generator=torch.Generator().manual_seed(0)), dim=1)


def test_spans_lie_on_the_peaks_and_probabilities_are_those_of_the_whole_vocabulary() -> None:
    table_VE = unit_table(30)
    hidden_AE, blank_A = peaked([None, 7, 7, None, 7, 12, None], table_VE=table_VE)

    spans = align(hidden_AE, blank_A, [7, 7, 12], table_VE)

    assert spans is not None
    assert [(span.token_id, span.start_frame, span.end_frame) for span in spans] == [(7, 1, 3), (7, 4, 5), (12, 5, 6)]
    assert [span.centre for span in spans] == pytest.approx([2.0, 4.5, 5.5], abs=0.05)
    logits_AV = torch.cat([hidden_AE @ table_VE.T, blank_A[:, None]], dim=1)
    log_probs_AV = logits_AV.log_softmax(1)
    assert [span.log_prob for span in spans] == pytest.approx(
        [float(log_probs_AV[frame, token]) for frame, token in ((1, 7), (4, 7), (5, 12))], abs=1e-4
    )
    known = align(hidden_AE, blank_A, [7, 7, 12], table_VE, log_blank_A=log_probs_AV[:, -1])
    assert known is not None
    assert [span.log_prob for span in known] == pytest.approx([span.log_prob for span in spans], abs=1e-4)


def test_the_centre_moves_with_the_probability_of_the_frame_beside_it() -> None:
    table_VE = unit_table(10)
    hidden_AE = torch.stack([torch.zeros(8), 9 * table_VE[3], 8.5 * table_VE[3], torch.zeros(8)])
    blank_A = torch.tensor([9.0, -9.0, 9.0, 9.0])

    spans = align(hidden_AE, blank_A, [3], table_VE)

    assert spans is not None
    assert 1.5 < spans[0].centre < 2.0


def test_a_token_that_was_not_said_stands_between_its_neighbours_and_does_not_move_them() -> None:
    table_VE = unit_table(30)
    hidden_AE, blank_A = peaked([4, None, None, None, 5, None], table_VE=table_VE)

    spans = align(30 * hidden_AE, 30 * blank_A, [4, 20, 5], table_VE)

    assert spans is not None
    assert [(span.start_frame, span.end_frame) for span in (spans[0], spans[2])] == [(0, 1), (4, 5)]
    assert spans[1].log_prob < -10 < max(spans[0].log_prob, spans[2].log_prob)


def test_too_many_tokens_give_none_and_no_tokens_give_no_spans() -> None:
    table_VE = unit_table(10)
    hidden_AE, blank_A = peaked([1, None], table_VE=table_VE)
    assert align(hidden_AE, blank_A, [1, 1], table_VE) is None
    assert align(hidden_AE, blank_A, [], table_VE) == []


def test_words_get_the_spans_of_their_own_tokens_without_the_marks_around_them() -> None:
    tokenizer = word_tokenizer()
    table_VE = torch.nn.functional.normalize(torch.randn(len(tokenizer), 8), dim=1)
    words = [f"{WORDS[0]},", "20", f'"{WORDS[1]}."', "-"]
    hidden_AE, blank_A = torch.randn(40, 8), torch.randn(40)

    spans = align_words(hidden_AE, blank_A, words, tokenizer, table_VE)

    decoded = [tokenizer.decode([span.token_id for span in row]) for row in spans]
    assert decoded == [f" {WORDS[0]}", " 20", f" {WORDS[1]}", " -"]
    frames = [(span.start_frame, span.end_frame) for row in spans for span in row]
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(frames))
    assert align_words(hidden_AE[:2], blank_A[:2], words, tokenizer, table_VE) == [[], [], [], []]
