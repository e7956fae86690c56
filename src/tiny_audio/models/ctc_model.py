"""A small recogniser of its own: the AuT encoder with a CTC head (Graves et al. 2006), trained from scratch.

    waveforms -> AuT, 12.5 frames a second -> head -> 12.5 * head_upsample CTC frames a second -> text

The head may write several CTC frames for one encoder frame (as Libovicky and Helcl, arXiv 1811.04719, split their
states), for units that come faster than the encoder's frames do, such as characters.

Shapes: B batch, M mel bands, F mel frames, T encoder frames, A CTC frames, V units and the blank, which is class 0.
"""

import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from tiny_audio.atomic import write_text
from tiny_audio.audio.timebase import seconds_to_samples
from tiny_audio.errors import CheckpointError, ConfigError, InfeasibleError
from tiny_audio.models.ctc import frames_needed
from tiny_audio.models.ctc_feasibility import CHARACTER_FRAME_RATE, FeasibilityReport
from tiny_audio.models.encoders.aut import AuTConfig, AuTEncoder
from tiny_audio.models.posteriors import FramePosteriors
from tiny_audio.models.shallow_fusion import ShallowFusion
from tiny_audio.models.state_check import check_state
from tiny_audio.text.ctc_units import BLANK_ID, CTCUnits
from tiny_audio.types import Seconds, Waveform
from tiny_audio.weights.hub_checkpoint import resolve_checkpoint
from tiny_audio.weights.pretrained_folder import CONFIG_FILE, SINGLE_FILE, read_config, read_tensors

UNITS_FILE = "units.json"
FORMAT = {"model_type": "aut", "format_version": 1}
"""What the configuration of a checkpoint begins with; such a folder is also a source of `build_encoder`."""
_CANDIDATES_PER_FRAME = 16
"""Likeliest units of a frame that the beam search looks at."""


@dataclass(frozen=True, kw_only=True)
class CTCConfig:
    """Sizes of a CTC recogniser; the width of its head follows from the units.

    Raises:
        ConfigError: `head_upsample` below 1.
    """

    encoder: AuTConfig = field(default_factory=AuTConfig)
    """Its projector is left out: CTC would not train it."""
    head_upsample: int = 1
    """CTC frames that the head writes for an encoder frame."""

    def __post_init__(self) -> None:
        if self.head_upsample < 1:
            raise ConfigError([f"head_upsample is {self.head_upsample}; expected at least 1"])
        object.__setattr__(self, "encoder", replace(self.encoder, projector_dim=None))


class CTCOutput(NamedTuple):
    """Output of the head for a batch."""

    logits_BAV: Tensor
    lengths_B: Tensor
    """CTC frames of each row."""

    def log_probs(self) -> Tensor:
        """Natural-log probabilities `(B, A, V)`, float32 whatever the model computes in."""
        return self.logits_BAV.float().log_softmax(dim=-1)


@dataclass(frozen=True, kw_only=True)
class CTCHypothesis:
    """What was understood in one waveform."""

    text: str
    draft: str
    """The greedy answer."""
    log_prob: float | None
    """Natural log of the probability of `text`'s units, summed over alignments; None without a beam search."""

    @property
    def no_speech(self) -> bool:
        """No unit was found."""
        return not self.text


class CTCModel(nn.Module):
    """AuT encoder and CTC head, with the units it writes.

    Args:
        config: sizes.
        units: what the classes of the head mean, behind the blank.

    Raises:
        ConfigError: characters at a CTC frame rate that is too low for them.
    """

    def __init__(self, config: CTCConfig, units: CTCUnits) -> None:
        super().__init__()
        self.config = config
        self.units = units
        self.fusion: ShallowFusion | None = None
        """An n-gram model to decode with; None: greedy."""
        self.encoder = AuTEncoder(config.encoder)
        self.frame_rate = self.encoder.frame_rate * config.head_upsample
        """CTC frames a second."""
        if units.kind == "char" and self.frame_rate < CHARACTER_FRAME_RATE:
            needed = math.ceil(CHARACTER_FRAME_RATE / self.encoder.frame_rate)
            raise ConfigError(
                [
                    f"characters at {self.frame_rate:g} CTC frames a second: English speech has 15.2 characters a"
                    f" second and 1.9 % of repeats, so it needs {CHARACTER_FRAME_RATE:g}; set head_upsample to {needed}"
                    " or use BPE units"
                ]
            )
        self.head = nn.Linear(self.encoder.dim, config.head_upsample * (units.num_units + 1))

    def forward(self, features_BMF: Tensor, feature_lengths_B: Tensor | None = None) -> CTCOutput:
        """Logits of a batch of `encoder.features`.

        Raises:
            AudioError: a row is shorter than one encoder frame.
        """
        return self._classify(*self.encoder(features_BMF, feature_lengths_B))

    def outputs(self, features_BMF: Tensor, feature_lengths_B: Tensor | None = None) -> tuple[CTCOutput, CTCOutput]:
        """What the head makes of the encoder's middle block, and of its last.

        Raises:
            AudioError: a row is shorter than one encoder frame.
        """
        states, lengths_B = self.encoder.block_states(features_BMF, feature_lengths_B)
        middle, last = (self._classify(self.encoder.norm(states[i]), lengths_B) for i in (len(states) // 2 - 1, -1))
        return middle, last

    def _classify(self, hidden_BTD: Tensor, lengths_B: Tensor) -> CTCOutput:
        logits_BAV = self.head(hidden_BTD).unflatten(-1, (self.config.head_upsample, -1)).flatten(1, 2)
        return CTCOutput(logits_BAV, lengths_B * self.config.head_upsample)

    def output_lengths(self, num_samples_B: Tensor) -> Tensor:
        """CTC frames for that many audio samples."""
        return self.encoder.output_lengths(num_samples_B) * self.config.head_upsample

    def loss(self, features_BMF: Tensor, feature_lengths_B: Tensor | None, labels: Sequence[Sequence[int]]) -> Tensor:
        """Negative log-likelihood of the labels, divided by their number in the batch; float32.

        Raises:
            AudioError: a row is shorter than one encoder frame.
            InfeasibleError: a row has fewer CTC frames than its labels need.
        """
        return ctc_nll(self(features_BMF, feature_lengths_B), labels) / max(sum(map(len, labels)), 1)

    @torch.inference_mode()
    def transcribe_waveforms(
        self, waveforms: Sequence[Waveform], *, num_beams: int | None = None
    ) -> list[CTCHypothesis]:
        """Transcribe waveforms of any length from 80 ms on; what stands beside one does not change its text.

        Args:
            waveforms: mono, 16 kHz.
            num_beams: hypotheses of a prefix beam search; 1: greedy; None: as wide as `fusion` wants it, if there is
                one, and else greedy.

        Raises:
            AudioError: a waveform is shorter than one encoder frame.
        """
        return self.transcribe_features(*self.encoder.features(waveforms), num_beams=num_beams)

    @torch.inference_mode()
    def transcribe_features(
        self, features_BMF: Tensor, feature_lengths_B: Tensor, *, num_beams: int | None = None
    ) -> list[CTCHypothesis]:
        """Transcribe what `encoder.features` gives; see `transcribe_waveforms`."""
        output = self(features_BMF.to(self.head.weight.device), feature_lengths_B)
        rows = zip(output.log_probs().cpu(), output.lengths_B.tolist(), strict=True)
        return [self._decode(_posteriors(log_probs_AV[:length]), num_beams) for log_probs_AV, length in rows]

    def _decode(self, posteriors: FramePosteriors, num_beams: int | None) -> CTCHypothesis:
        if num_beams is None:
            num_beams = self.fusion.config.num_beams if self.fusion is not None else 1
        draft = self.units.decode(posteriors.greedy_ids())
        if num_beams == 1:
            return CTCHypothesis(text=draft, draft=draft, log_prob=None)
        best = posteriors.beam_search(num_beams=num_beams, scorer=self.fusion)[0]
        return CTCHypothesis(text=self.units.decode(best.token_ids), draft=draft, log_prob=best.log_prob)

    def feasibility(
        self, texts: Sequence[str], durations: Sequence[Seconds], *, speed: float = 1.1
    ) -> FeasibilityReport:
        """CTC frames that texts need and that their audio has.

        Args:
            texts: transcripts.
            durations: of their audio.
            speed: the largest factor by which training will speed the audio up; fewer frames are left then.

        Raises:
            UnitsError: a text has characters that no unit has.
        """
        num_samples_B = torch.tensor([seconds_to_samples(duration / speed) for duration in durations])
        return FeasibilityReport(
            needed=[frames_needed(self.units.encode(text)) for text in texts],
            available=self.output_lengths(num_samples_B).tolist(),
        )

    def save(self, folder: Path) -> None:
        """Write a checkpoint folder: configuration, units, weights; each file appears whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as temporary:
            save_file(state, Path(temporary) / SINGLE_FILE, metadata={"format": "pt"})
            (Path(temporary) / SINGLE_FILE).replace(folder / SINGLE_FILE)
        self.units.save(folder / UNITS_FILE)
        sizes = {"architecture": asdict(self.config.encoder), "head_upsample": self.config.head_upsample}
        write_text(folder / CONFIG_FILE, json.dumps({**FORMAT, **sizes}, indent=1) + "\n")

    @classmethod
    def load(cls, name: str | Path) -> "CTCModel":
        """Read what `save` wrote, from a folder or a hub repository, ready for inference on the CPU.

        Raises:
            CheckpointError: another kind of model, or tensors, units and sizes that do not fit; says which.
            WeightsError: a file is missing or damaged.
        """
        folder = resolve_checkpoint(name)
        config = _config_of(folder)
        units = CTCUnits.load(folder / UNITS_FILE)
        with torch.device("meta"):
            model = cls(config, units)
        state = read_tensors(folder)
        check_state(state, model.state_dict(), source=f"'{folder}'")
        model.load_state_dict(state, assign=True)
        model.fusion = ShallowFusion.load(folder, units)
        return model.eval()


def ctc_nll(output: CTCOutput, labels: Sequence[Sequence[int]]) -> Tensor:
    """Negative log-likelihood of the labels of all rows, float32.

    Raises:
        InfeasibleError: a row has fewer CTC frames than its labels need. Its loss is infinite, and as the zero that it
            often is replaced with it would count as learned.
    """
    lengths = output.lengths_B.tolist()
    pairs = zip(lengths, map(frames_needed, labels), strict=True)
    infeasible = {row: pair for row, pair in enumerate(pairs) if pair[0] < pair[1]}
    if infeasible:
        raise InfeasibleError(infeasible, total=len(labels))
    targets = torch.tensor([label for row in labels for label in row], dtype=torch.long)
    device = output.logits_BAV.device
    with torch.autocast(device.type, enabled=False), torch.backends.cudnn.flags(enabled=False):
        # Not cuDNN's: it differs from run to run.
        return F.ctc_loss(
            output.log_probs().transpose(0, 1),
            targets.to(device),
            torch.tensor(lengths),
            torch.tensor([len(row) for row in labels]),
            blank=BLANK_ID,
            reduction="sum",
        )


def is_ctc_checkpoint(name: str | Path) -> bool:
    """Whether it is what `CTCModel.save` wrote, a folder or a hub repository, by its configuration."""
    try:
        values = json.loads((resolve_checkpoint(name) / CONFIG_FILE).read_text(encoding="utf-8"))
        return bool(values.get("model_type") == FORMAT["model_type"])
    except (OSError, ValueError, AttributeError):
        return False  # whatever is wrong with it, the loader of the other kind says it


def _posteriors(log_probs_AV: Tensor) -> FramePosteriors:
    """Posteriors of one utterance's real frames."""
    units_AV = log_probs_AV[:, BLANK_ID + 1 :]
    top_AK = units_AV.topk(min(_CANDIDATES_PER_FRAME, units_AV.shape[1]), dim=1)
    return FramePosteriors(
        blank_A=log_probs_AV[:, BLANK_ID],
        top_log_probs_AK=top_AK.values,
        top_ids_AK=top_AK.indices + BLANK_ID + 1,
    )


def _config_of(folder: Path) -> CTCConfig:
    """The configuration of a checkpoint.

    Raises:
        CheckpointError: of another kind of model, or with sizes that do not fit together.
        WeightsError: not there, or not JSON.
    """
    values = read_config(folder)
    found = {name: values.get(name) for name in FORMAT}
    if found != FORMAT or "head_upsample" not in values:
        raise CheckpointError(
            f"'{folder}' has {found}, expected {FORMAT} with a CTC head; give the folder of a CTCModel"
        )
    try:
        return CTCConfig(encoder=AuTConfig.from_dict(values["architecture"]), head_upsample=values["head_upsample"])
    except (TypeError, KeyError, AttributeError, ConfigError) as error:
        raise CheckpointError(f"'{folder / CONFIG_FILE}' is not a configuration of this version: {error}") from error
