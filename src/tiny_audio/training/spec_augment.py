"""SpecAugment (arXiv 1904.08779) on a log-mel: stretches of time and bands of frequencies are hidden.

`off` is for 2 M parameters, which have too little capacity rather than too much; `mild` may help from 4 M on; `full`
has the widths of the larger published CTC recipes, for 8 M and more, or little data.

Shapes: B batch, M mel bands, F mel frames.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class SpecAugment:
    """How much of a row is hidden; each width is drawn from 0 to its largest."""

    probability: float
    """Of a row to be masked at all."""
    num_band_masks: int
    max_bands: int
    num_time_masks: int
    max_time_share: float
    """Of the row's own length: short utterances keep as much as long ones."""


SPEC_AUGMENT: Mapping[str, SpecAugment | None] = {
    "off": None,
    "mild": SpecAugment(probability=0.5, num_band_masks=2, max_bands=10, num_time_masks=2, max_time_share=0.05),
    "full": SpecAugment(probability=1.0, num_band_masks=2, max_bands=27, num_time_masks=5, max_time_share=0.05),
}


def mask_mel(
    features_BMF: Tensor, lengths_B: Tensor, preset: SpecAugment | None, generators: Sequence[torch.Generator]
) -> Tensor:
    """A copy with masks of zeros, the mean of normalised features; each row draws from a generator of its own."""
    if preset is None:
        return features_BMF
    masked_BMF = features_BMF.clone()
    for row_MF, length, generator in zip(masked_BMF, lengths_B.tolist(), generators, strict=True):
        if float(torch.rand((), generator=generator)) >= preset.probability:
            continue
        for _ in range(preset.num_band_masks):
            row_MF[_stretch(len(row_MF), preset.max_bands, generator)] = 0.0
        for _ in range(preset.num_time_masks):
            row_MF[:, _stretch(length, int(preset.max_time_share * length), generator)] = 0.0
    return masked_BMF


def _stretch(size: int, max_width: int, generator: torch.Generator) -> slice:
    width = int(torch.randint(min(max_width, size) + 1, (), generator=generator))
    start = int(torch.randint(size - width + 1, (), generator=generator))
    return slice(start, start + width)
