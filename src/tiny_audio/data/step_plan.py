"""Which rows form a step, which of them a process gets, and how those form batches.

Shapes: R rows of an epoch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tiny_audio.data.mixing import Indices

_MIN_WINDOW, _STEPS_IN_WINDOW = 1024, 32
"""Utterances sorted by length together before cutting into steps: random enough, and little padding."""


@dataclass(frozen=True, kw_only=True)
class EpochPlan:
    """Which rows form which step."""

    example_R: Indices
    showing_R: Indices
    """How many times each row's example has been shown before."""
    frames_R: Indices
    steps: list[list[int]]
    """Rows of each step, the shortest first."""


def cut_steps(
    frames_R: Sequence[int], *, max_step_frames: int, rng: np.random.Generator, pad_to_frames: int = 1
) -> list[list[int]]:
    """Rows of similar length together: every row once, steps in random order.

    Args:
        frames_R: encoder frames of each row.
        max_step_frames: frames of a step including padding; a longer row is a step of its own.
        rng: decides.
        pad_to_frames: lengths are rounded up to a multiple of it.
    """
    order = rng.permutation(len(frames_R))
    mean = max(sum(frames_R) / max(len(frames_R), 1), 1.0)
    window = max(_MIN_WINDOW, math.ceil(_STEPS_IN_WINDOW * max_step_frames / mean))
    steps: list[list[int]] = []
    for start in range(0, len(order), window):
        rows = sorted(order[start : start + window].tolist(), key=lambda row: frames_R[row])
        steps += cut_batches(rows, frames_R, max_frames=max_step_frames, pad_to_frames=pad_to_frames)
    return [steps[position] for position in rng.permutation(len(steps))]


def cut_batches(
    rows: Sequence[int],
    frames_R: Sequence[int],
    *,
    max_frames: int,
    max_padding: float = 1.0,
    pad_to_frames: int = 1,
) -> list[list[int]]:
    """Consecutive rows, sorted by length, as long as a batch of them is neither too large nor too empty.

    Args:
        rows: the shortest first.
        frames_R: encoder frames of each row.
        max_frames: of a batch, padding included; 0: any.
        max_padding: share of a batch that may be padding; what `pad_to_frames` adds does not count.
        pad_to_frames: lengths are rounded up to a multiple of it.
    """
    batches: list[list[int]] = []
    filled = 0
    for row in rows:
        length = round_up(frames_R[row], pad_to_frames)
        computed = (len(batches[-1]) + 1) * length if batches else 0
        is_too_large = bool(max_frames) and computed > max_frames
        if not batches or is_too_large or computed - filled - length > max_padding * computed:
            batches.append([])
            filled = 0
        batches[-1].append(row)
        filled += length
    return batches


def deal(rows: Sequence[int], *, rank: int, world_size: int) -> list[int]:
    """The rows of one process, sorted as they came: there and back again, so that all get similar lengths."""
    return [
        row
        for position, row in enumerate(rows)
        if rank == (turn if (turn := position % (2 * world_size)) < world_size else 2 * world_size - 1 - turn)
    ]


def padding_share(frames_R: Sequence[int], batches: Sequence[Sequence[int]], *, pad_to_frames: int = 1) -> float:
    """Share of padded frames among all frames computed."""
    computed = sum(len(batch) * round_up(max(frames_R[row] for row in batch), pad_to_frames) for batch in batches)
    return 1.0 - sum(frames_R[row] for batch in batches for row in batch) / max(computed, 1)


def round_up(number: int, multiple: int) -> int:
    """The next multiple."""
    return -(-number // multiple) * multiple
