"""Training an AuT encoder from scratch with CTC.

Shapes: B batch, M mel bands, F mel frames.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from tiny_audio.data.stream import Batch
from tiny_audio.models.ctc_model import CTCConfig, CTCHypothesis, CTCModel
from tiny_audio.models.encoders.aut import aut_preset
from tiny_audio.models.encoders.encoder import Encoder
from tiny_audio.models.state_check import check_state
from tiny_audio.text.ctc_units import CTCUnits
from tiny_audio.training.config import CTCSystem, MaskConfig
from tiny_audio.training.objective import Objective, StepOutput

UNITS_FILE = "units.json"


class CTCObjective(Objective):
    """CTC loss a label, on waveforms."""

    def __init__(self, model: CTCModel, *, mask: MaskConfig) -> None:
        super().__init__()
        self.model = model
        self.mask = mask
        self.device = model.head.weight.device
        self.frame_rate = model.encoder.frame_rate

    def forward(self, batch: Batch, generator: torch.Generator) -> StepOutput:
        """Loss of one batch; the generator draws the masks."""
        features_BMF, lengths_B = self.model.encoder.features(batch.waveforms)
        features_BMF = mask_mel(features_BMF, lengths_B, self.mask, generator)
        loss = self.model.loss(features_BMF.to(self.device), lengths_B, batch.labels)
        return StepOutput(loss=loss, metrics={"loss": loss.item()})

    @property
    def encoder(self) -> Encoder:
        """The model's own."""
        return self.model.encoder

    def labels(self, text: str) -> tuple[int, ...]:
        """Units of the transcript."""
        return tuple(self.model.units.encode(text))

    def ctc_frames(self, num_frames: int) -> int:
        """Those that the head writes."""
        return num_frames * self.model.config.head_upsample

    def transcribe(self, batch: Batch) -> Sequence[CTCHypothesis]:
        """Greedy texts of a batch."""
        return self.model.transcribe_waveforms(batch.waveforms)

    def trained_state(self) -> dict[str, Tensor]:
        """All of it."""
        return self.model.state_dict()

    def load_trained_state(self, state: dict[str, Tensor]) -> None:
        """Copy tensors of `trained_state` into the model."""
        check_state(state, self.model.state_dict(), source="the state")
        self.model.load_state_dict(state)

    def save(self, folder: Path) -> None:
        """Write a checkpoint that can be transcribed with."""
        self.model.save(folder)


def build_ctc_objective(
    system: CTCSystem, texts: Iterable[str], run_folder: Path, *, mask: MaskConfig, init: str | None
) -> CTCObjective:
    """A new model whose units are trained on the texts of its first start, or the model of a checkpoint folder.

    Raises:
        CheckpointError: `init` is not the folder of such a model.
        ConfigError: characters at too low a frame rate.
        UnitsError: there is no text to train units on.
    """
    if init is not None:
        model = CTCModel.load(Path(init)).train()
    else:
        path = run_folder / UNITS_FILE
        if not path.exists():
            if system.units == "char":
                CTCUnits.characters(texts).save(path)
            else:
                CTCUnits.train_bpe(texts, num_units=system.num_units).save(path)
        config = CTCConfig(encoder=aut_preset(system.preset), head_upsample=system.head_upsample)
        model = CTCModel(config, CTCUnits.load(path))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return CTCObjective(model.to(device), mask=mask)


def mask_mel(features_BMF: Tensor, lengths_B: Tensor, config: MaskConfig, generator: torch.Generator) -> Tensor:
    """A copy with random stretches of time and one band of frequencies a row set to the mean, 0 (arXiv 1904.08779).

    Milder than the paper's: small models have too little capacity rather than too much.
    """
    if not config.spans_per_second:
        return features_BMF
    masked_BMF = features_BMF.clone()
    frame_rate, num_bands = 100.0, features_BMF.shape[1]
    for row_MF, length in zip(masked_BMF, lengths_B.tolist(), strict=True):
        expected = config.spans_per_second * length / frame_rate
        for _ in range(math.floor(expected + float(torch.rand((), generator=generator)))):
            width = int(torch.randint(1, config.max_span_frames + 1, (), generator=generator))
            start = int(torch.randint(0, max(length - width, 1), (), generator=generator))
            row_MF[:, start : start + width] = 0.0
        width = int(torch.randint(0, num_bands // 12 + 1, (), generator=generator))
        start = int(torch.randint(0, num_bands - width + 1, (), generator=generator))
        row_MF[start : start + width] = 0.0
    return masked_BMF
