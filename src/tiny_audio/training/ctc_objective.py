"""Training an AuT encoder from scratch with CTC.

Recordings are not stretched or mixed at each step by default, so their log-mel is made once and kept in a feature
cache: on one CPU core, decoding and log-mel of a second of sound took longer than a training step on it
(`experiments/LOG.md`). Where `data.augment` changes them, it is made anew each time.

Shapes: B batch, M mel bands, F mel frames, A CTC frames, V units and the blank.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tiny_audio.data.stream import Batch, Step
from tiny_audio.models.asr_config import EncoderConfig
from tiny_audio.models.ctc_model import CTCConfig, CTCHypothesis, CTCModel, CTCOutput, ctc_nll
from tiny_audio.models.encoders.aut import AuTConfig, aut_preset
from tiny_audio.models.encoders.build import build_encoder
from tiny_audio.models.encoders.encoder import Encoder
from tiny_audio.models.state_check import check_state
from tiny_audio.text.ctc_units import CTCUnits
from tiny_audio.training.config import CTCLossConfig, CTCSystem
from tiny_audio.training.objective import Objective, StepOutput, row_generators
from tiny_audio.training.spec_augment import SPEC_AUGMENT, mask_mel

UNITS_FILE = "units.json"


class CTCObjective(Objective):
    """CTC loss a label, on log-mel.

    Args:
        model: what is trained.
        config: what is added to the loss.
        is_cached: whether log-mel comes from a feature cache, not from recordings.
    """

    def __init__(self, model: CTCModel, config: CTCLossConfig | None = None, *, is_cached: bool = True) -> None:
        super().__init__()
        self.model = model
        self.config = config or CTCLossConfig()
        self.is_cached = is_cached
        self.device = model.head.weight.device
        self._front = log_mel_config(model.encoder.config)
        self.frame_rate = self._front.frame_rate

    def forward(self, batch: Batch, step: Step) -> StepOutput:
        """The batch's share of the step's loss a label."""
        features_BMF, lengths_B = self.features(batch)
        generators = row_generators(batch, step)
        preset = SPEC_AUGMENT[self.config.spec_augment]
        views = [
            mask_mel(features_BMF, lengths_B, preset, generators)
            for _ in range(2 if self.config.consistency_weight else 1)
        ]
        features = torch.cat(views).to(self.device), lengths_B.repeat(len(views))
        labels = batch.labels * len(views)
        num_labels = max(step.num_labels, 1)
        weight = self.config.intermediate_weight
        if weight:
            middle, output = self.model.outputs(*features)
            loss = (1 - weight) * ctc_nll(output, labels) + weight * ctc_nll(middle, labels)
        else:
            output = self.model(*features)
            loss = ctc_nll(output, labels)
        loss = loss / (len(views) * num_labels)
        metrics = {}
        if self.config.consistency_weight:
            consistency = consistency_loss(output) / num_labels
            loss = loss + self.config.consistency_weight * consistency
            metrics["consistency_loss"] = consistency.item()
        return StepOutput(loss=loss, metrics={"loss": loss.item(), **metrics})

    @property
    def encoder(self) -> Encoder | EncoderConfig:
        """What makes the log-mel that is trained on: it has no weights, so its output may come from a cache."""
        return self._front if self.is_cached else build_encoder(self._front)

    def labels(self, text: str) -> tuple[int, ...]:
        """Units of the transcript."""
        return tuple(self.model.units.encode(text))

    def ctc_frames(self, num_frames: int) -> int:
        """Those that the head writes for that many mel frames."""
        return self.model.encoder.config.output_length(num_frames) * self.model.config.head_upsample

    def features(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Log-mel `(B, M, F)`, padded as far as the batch wants it, and the mel frames of each row."""
        if not batch.waveforms:
            return batch.features_BTD.transpose(1, 2), batch.lengths_B
        features_BMF, lengths_B = self.model.encoder.features(batch.waveforms)
        missing = max(batch.features_BTD.shape[1] - features_BMF.shape[2], 0) if batch.features_BTD.ndim == 3 else 0
        return F.pad(features_BMF, (0, missing)), lengths_B

    def transcribe(self, batch: Batch) -> Sequence[CTCHypothesis]:
        """Greedy texts of a batch."""
        return self.model.transcribe_features(*self.features(batch))

    def trained_state(self) -> dict[str, Tensor]:
        """All of it."""
        return self.model.state_dict()

    def load_trained_state(self, state: dict[str, Tensor]) -> None:
        """Copy tensors of `trained_state` into the model."""
        check_state(state, self.model.state_dict(), source="the state")
        self.model.load_state_dict(state)

    def compiled_parts(self) -> Sequence[nn.Module]:
        """The encoder; the head is a single product."""
        return (self.model.encoder,)

    def save(self, folder: Path) -> None:
        """Write a checkpoint that can be transcribed with."""
        self.model.save(folder)


def log_mel_config(config: AuTConfig) -> EncoderConfig:
    """What makes the features of an AuT encoder, as a frozen encoder whose output can be cached."""
    sizes = {"n_mels": config.n_mels, "normalization": config.normalization}
    return EncoderConfig(family="log_mel", source=None, architecture=sizes)


def consistency_loss(views: CTCOutput) -> Tensor:
    """Distance of the first half of the rows to the second, which are other views of the same (CR-CTC).

    Half the sum over frames of the divergences in both directions, each with a target that gets no gradient.
    """
    first_BAV, second_BAV = views.log_probs().chunk(2)
    lengths_B = views.lengths_B.chunk(2)[0].to(first_BAV.device)
    divergence_BA = sum(
        (target.detach().exp() * (target.detach() - moved)).sum(dim=-1)
        for target, moved in ((first_BAV, second_BAV), (second_BAV, first_BAV))
    )
    assert isinstance(divergence_BA, Tensor)
    is_real_BA = torch.arange(first_BAV.shape[1], device=first_BAV.device) < lengths_B[:, None]
    return 0.5 * divergence_BA.masked_fill(~is_real_BA, 0.0).sum()


def build_ctc_objective(
    system: CTCSystem,
    texts: Iterable[str],
    run_folder: Path,
    *,
    config: CTCLossConfig | None = None,
    init: str | None = None,
    is_cached: bool = True,
) -> CTCObjective:
    """A new model whose units are trained on the texts of its first start, or the model of a checkpoint folder.

    Raises:
        CheckpointError: `init` is not the folder of such a model.
        ConfigError: characters at too low a frame rate.
        UnitsError: there is no text to train units on.
    """
    if init is not None:
        model = CTCModel.load(Path(init)).train()
        model.fusion = None  # its n-gram model would hide what is learnt
    else:
        path = run_folder / UNITS_FILE
        if not path.exists():
            if system.units == "char":
                CTCUnits.characters(texts).save(path)
            else:
                CTCUnits.train_bpe(texts, num_units=system.num_units).save(path)
        encoder = aut_preset(system.preset)
        if system.dropout is not None:
            encoder = replace(encoder, dropout=system.dropout)
        sizes = CTCConfig(encoder=encoder, head_upsample=system.head_upsample)
        model = CTCModel(sizes, CTCUnits.load(path))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return CTCObjective(model.to(device), config, is_cached=is_cached)
