"""Stretches of encoder frames that a step does not show.

Shapes: B batch, T encoder frames, D encoder width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from tiny_audio.training.config import MaskConfig


def mask_frames(
    features_BTD: Tensor,
    lengths_B: Tensor,
    config: MaskConfig,
    generators: Sequence[torch.Generator],
    frame_rate: float,
) -> Tensor:
    """A copy with random stretches of frames set to zero (SpecAugment, arXiv 1904.08779); one generator a row."""
    if not config.spans_per_second:
        return features_BTD
    is_kept_BT1 = torch.ones(*features_BTD.shape[:2], 1)
    for row_T1, length, generator in zip(is_kept_BT1, lengths_B.tolist(), generators, strict=True):
        num_spans = int(config.spans_per_second * length / frame_rate + torch.rand((), generator=generator).item())
        for _ in range(num_spans):
            width = int(torch.randint(1, config.max_span_frames + 1, (), generator=generator))
            start = int(torch.randint(0, max(length - width, 1), (), generator=generator))
            row_T1[start : start + width] = 0.0
    return features_BTD * is_kept_BT1.to(features_BTD)
