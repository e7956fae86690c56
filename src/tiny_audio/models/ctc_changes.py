"""Exact CTC log-probabilities of many label sequences that differ from one another in one place.

Forward and backward variables (Graves et al. 2006) of one sequence hold everything about the labels that another one
shares with it at its beginning and end. What remains is a recursion over the few labels between, for all sequences at
once, and over the frames that those few may lie in: a hundred texts cost little more than reading one of them.

Shapes: A CTC frames, V classes, S states of the reference (a blank before, between and behind its labels), N other
sequences, W states of their own: the last label that is shared and a blank, then own labels, each with a blank.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from tiny_audio.models.ctc import is_feasible

_LONGEST = 64
"""Own labels; a sequence with more is read whole, or all others would be padded to it."""
_NOTHING = 1e-100
"""Share of a frame's probability that no change of a few words makes up for,"""
_MAX_BEHIND = 150.0
"""unless it makes the whole so much less likely, in natural logarithms: that, too, is read whole."""
_UNREACHED = 1e-250
"""The same for a state on its way: what is behind it is not looked at."""
_FRAMES_IN_BAND = 8
"""Frames from one look at which states are reached to the next."""

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]


class CTCScorer:
    """Scores label sequences of one utterance.

    Args:
        log_probs_AV: natural-log probabilities of the classes; they need not sum to one.
        blank_id: class of the blank.
    """

    def __init__(self, log_probs_AV: Tensor, *, blank_id: int) -> None:
        self._log_probs_AV, self._blank_id = log_probs_AV.detach().cpu(), blank_id
        self._probs_AV: _Floats = np.exp(self._log_probs_AV.double().numpy())
        self._reference: _Reference | None = None
        """Of the sequence that others were compared with last."""

    def log_probs(self, rows: Sequence[Sequence[int]]) -> list[float]:
        """Natural-log probability of each label sequence; minus infinity where there are too few frames for it.

        Args:
            rows: the less the others differ from the first, the sooner it is done.
        """
        scores = [-math.inf] * len(rows)
        feasible = [index for index, row in enumerate(rows) if is_feasible(len(self._probs_AV), row)]
        if not feasible:
            return scores
        first, *others = (list(rows[index]) for index in feasible)
        if self._reference is None or self._reference.labels != first:
            self._reference = _Reference(self._probs_AV, first, self._blank_id)
        reference = self._reference
        found = [reference.log_prob, *reference.log_probs_of(others)]
        unsure = [place for place, score in enumerate(found) if not score > reference.log_prob - _MAX_BEHIND]
        for place, score in zip(unsure, self._read_whole([rows[feasible[place]] for place in unsure]), strict=True):
            found[place] = score
        for index, score in zip(feasible, found, strict=True):
            scores[index] = score
        return scores

    def _read_whole(self, rows: Sequence[Sequence[int]]) -> list[float]:
        if not rows:
            return []
        losses = F.ctc_loss(
            self._log_probs_AV.double()[:, None].expand(-1, len(rows), -1),
            torch.tensor(list(itertools.chain.from_iterable(rows)), dtype=torch.long),
            torch.full((len(rows),), len(self._log_probs_AV)),
            torch.tensor([len(row) for row in rows]),
            blank=self._blank_id,
            reduction="none",
        )
        return (-losses).tolist()  # type: ignore[no-any-return]


def _own_labels(reference: Sequence[int], row: Sequence[int]) -> tuple[int, int]:
    """Where in `row` the labels stand that are neither of the shared beginning nor of the shared end."""
    shortest = min(len(reference), len(row))
    start = next((place for place in range(shortest) if reference[place] != row[place]), shortest)
    most = shortest - start
    behind = next((size for size in range(most) if reference[-1 - size] != row[-1 - size]), most)
    return start, len(row) - behind


class _Reference:
    """Forward and backward variables of one sequence, each frame scaled to a sum of one (Rabiner 1989).

    One that cannot be, or not in these numbers, has the log-probability minus infinity; nothing is compared with it.
    """

    def __init__(self, probs_AV: _Floats, labels: list[int], blank_id: int) -> None:
        self.labels = labels
        self._probs_AV, self._blank_id = probs_AV, blank_id
        states_S = np.full(2 * len(labels) + 1, blank_id)
        states_S[1::2] = labels
        may_skip_S = np.zeros(len(states_S))
        may_skip_S[3::2] = states_S[3::2] != states_S[1:-2:2]
        # From the end it is the same, where a label may follow the one behind it.
        may_skip_back_S = np.zeros(len(states_S))
        may_skip_back_S[3::2] = may_skip_S[3::2][::-1]
        probs_AS = probs_AV[:, states_S]
        self._forward_AS, scales_A = _recursion(probs_AS, may_skip_S)
        backward_AS, back_scales_A = _recursion(np.ascontiguousarray(probs_AS[::-1, ::-1]), may_skip_back_S)
        self._backward_AS = backward_AS[::-1, ::-1]
        self._forward_scales_A = scales_A
        self.log_prob = -math.inf
        if not (scales_A.all() and back_scales_A.all() and self._forward_AS[-1, -2:].any()):
            return
        logs_2A = np.log([scales_A, back_scales_A])
        self.log_prob = float(np.log(self._forward_AS[-1, -2:].sum()) - logs_2A[0].sum())
        # Scales of all before each frame and of all from it on.
        self._before_A = np.concatenate([[0.0], np.cumsum(logs_2A[0])])
        logs_A = self._before_A[:-1] + np.cumsum(logs_2A[1])[::-1]
        self._joint_log = logs_A.min()
        self._joint_A = np.exp(self._joint_log - logs_A)

    def log_probs_of(self, rows: Sequence[Sequence[int]]) -> list[float]:
        """Of other sequences; minus infinity where that has to be found out in another way."""
        places = [_own_labels(self.labels, row) for row in rows]
        scores = [self.log_prob if row == self.labels else -math.inf for row in rows]
        near = [
            index
            for index, (row, (start, stop)) in enumerate(zip(rows, places, strict=True))
            if row != self.labels and stop - start <= _LONGEST
        ]
        if near and math.isfinite(self.log_prob):
            found = self._log_probs_of_near([rows[index] for index in near], [places[index] for index in near])
            for index, score in zip(near, found, strict=True):
                scores[index] = score
        return scores

    def _log_probs_of_near(self, rows: Sequence[Sequence[int]], places: Sequence[tuple[int, int]]) -> list[float]:
        """Of sequences that have few labels of their own, `start` to `stop`."""
        num_frames, num_rows = len(self._probs_AV), len(rows)
        starts_N, stops_N = np.array(places).T
        sizes_N, behind_N = stops_N - starts_N, np.array([len(row) for row in rows]) - stops_N
        states_WN = np.full((2 * sizes_N.max() + 2, num_rows), self._blank_id)
        next_N = np.full(num_rows, self._blank_id)
        for column, (row, (start, stop)) in enumerate(zip(rows, places, strict=True)):
            states_WN[2 : 2 * (stop - start) + 2 : 2, column] = row[start:stop]
            states_WN[0, column] = row[start - 1] if start else self._blank_id
            next_N[column] = row[stop] if stop < len(row) else self._blank_id
        may_skip_WN = np.zeros(states_WN.shape)
        may_skip_WN[2::2] = states_WN[2::2] != states_WN[:-2:2]
        all_N, last_N = np.arange(num_rows), 2 * sizes_N
        may_leave_N = states_WN[last_N, all_N] != next_N
        # States of the reference that they come from (of the first, only its blank) and go to.
        has_label_N, is_last_N = starts_N > 0, behind_N == 0
        from_blank_N, from_label_N = 2 * starts_N, np.maximum(2 * starts_N - 1, 0)
        to_N = np.where(is_last_N, 0, 2 * (len(self.labels) - behind_N) + 1)
        first_N, end_N = self._frames(from_blank_N, from_label_N, to_N, is_last_N)

        now_WN = np.zeros(states_WN.shape)
        now_WN[1] = starts_N == 0
        total_N = np.where((sizes_N == 0) & (starts_N == 0), self._joint_A[0] * self._backward_AS[0, to_N], 0.0)
        own_WN, buffer_WN = states_WN[2:], np.empty(states_WN[2:].shape)
        num_classes = self._probs_AV.shape[1]
        scaled = (self._probs_AV * self._forward_scales_A[:, None]).ravel()
        for step in range(int((end_N - first_N).max(initial=0))):
            frame_N = np.minimum(first_N + step, end_N - 1)
            is_on_N = first_N + step < end_N
            np.multiply(may_skip_WN[2:], now_WN[:-2], out=buffer_WN)
            buffer_WN += now_WN[1:-1]
            buffer_WN += now_WN[2:]
            buffer_WN *= scaled.take(own_WN + frame_N * num_classes)
            np.copyto(now_WN[2:], buffer_WN, where=is_on_N)
            now_WN[0] = self._forward_AS[frame_N, from_label_N] * has_label_N
            now_WN[1] = self._forward_AS[frame_N, from_blank_N]
            left_N = now_WN[last_N + 1, all_N] + may_leave_N * now_WN[last_N, all_N]
            after_N = np.minimum(frame_N + 1, num_frames - 1)
            is_on_N &= frame_N + 1 < num_frames
            total_N += is_on_N * left_N * self._joint_A[after_N] * self._backward_AS[after_N, to_N]
        ends_N = now_WN[last_N + 1, all_N] + now_WN[last_N, all_N]
        with np.errstate(divide="ignore"):
            scores_N = np.where(is_last_N, np.log(ends_N) - self._before_A[-1], np.log(total_N) - self._joint_log)
        return scores_N.tolist()  # type: ignore[no-any-return]

    def _frames(
        self, from_blank_N: _Ints, from_label_N: _Ints, to_N: _Ints, is_last_N: NDArray[np.bool_]
    ) -> tuple[_Ints, _Ints]:
        """First frame, and one behind the last, in which own labels may lie."""
        num_frames = len(self._forward_AS)
        reached_AN = np.maximum(self._forward_AS[:, from_blank_N], self._forward_AS[:, from_label_N]) > _NOTHING
        leads_AN = self._backward_AS[:, to_N] > _NOTHING
        first_N = np.where(from_blank_N == 0, 0, reached_AN.argmax(axis=0))
        end_N = np.where(is_last_N, num_frames, num_frames - leads_AN[::-1].argmax(axis=0))
        return first_N, np.maximum(end_N, first_N + 1)


def _recursion(probs_AS: _Floats, may_skip_S: _Floats) -> tuple[_Floats, _Floats]:
    """Probabilities of reaching each state, scaled to a sum of one in every frame, and those scales `(A,)`.

    Only a band of states is looked at: the others are as good as impossible in that frame. Where all are, scales are 0.
    """
    num_frames, num_states = probs_AS.shape
    reached_AS, scales_A = np.zeros(probs_AS.shape), np.ones(num_frames)
    # Before the first frame stands a state that the first blank and the first label follow.
    before_S = np.zeros(num_states)
    before_S[0] = 1.0
    low, high = 0, 0
    for frame in range(num_frames):
        if frame % _FRAMES_IN_BAND == 0:
            near = np.flatnonzero(before_S[low:high] > _UNREACHED) if frame else np.zeros(1, np.int64)
            if not len(near):
                return reached_AS, np.zeros(num_frames)
            low, high = low + int(near[0]), min(low + int(near[-1]) + 1 + 2 * _FRAMES_IN_BAND, num_states)
            before_S[:low] = 0.0
        now_S = reached_AS[frame]
        band_S, old_S = now_S[low:high], before_S[low:high]
        np.multiply(may_skip_S[low + 2 : high], old_S[:-2], out=band_S[2:])
        band_S += old_S
        band_S[1:] += old_S[:-1]
        band_S *= probs_AS[frame, low:high]
        total = band_S.sum()
        if not total > 0:
            return reached_AS, np.zeros(num_frames)
        scales_A[frame] = 1.0 / total
        band_S *= scales_A[frame]
        before_S = now_S
    return reached_AS, scales_A
