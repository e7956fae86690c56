"""Is it learning? A run, going on or finished, or a checkpoint, looked at from all sides.

What the metrics of the run tell is judged as it is; what they cannot tell is measured on the newest checkpoint, with
some utterances that it was not trained on and some that it was.
"""

import json
import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiny_audio.data.batch import TrainingExample, collate
from tiny_audio.errors import CheckpointError, ConfigError, ManifestError
from tiny_audio.models.asr_config import ASRConfig
from tiny_audio.models.checkpoint import checkpoint_folder, read_config
from tiny_audio.models.ctc_model import is_ctc_checkpoint
from tiny_audio.training.build import build_objective
from tiny_audio.training.config import CTCSystem, MaskConfig, TrainConfig
from tiny_audio.training.findings import (
    Finding,
    audio_gap,
    blank_rate,
    empty_rate,
    generalisation,
    gradient,
    infeasible,
    judge_history,
    nearest_tokens,
    output_scale,
    worst,
)
from tiny_audio.training.history import RunHistory
from tiny_audio.training.inspection import BLANK, Inspection, inspect, loss_parts
from tiny_audio.training.objective import Objective
from tiny_audio.training.sample import Sample, sample_source, spread

_NEWEST_FIRST = ("checkpoint", "best")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What was found."""

    checkpoint: Path
    """The weights that were measured."""
    step: int | None
    """Last step in the metrics; None without a run."""
    num_utterances: int
    findings: list[Finding]

    @property
    def verdict(self) -> str:
        """The worst of it in one line."""
        found = worst(self.findings)
        return f"{found.name}: {found.verdict}" if found else "healthy"


@dataclass(frozen=True, kw_only=True)
class _Subject:
    """A checkpoint, and the run that it is of."""

    checkpoint: Path
    run: Path | None
    settings: dict[str, Any]
    """The run's configuration."""


def diagnose(name: str | Path, *, data: Sequence[str] = (), num_utterances: int = 32) -> Diagnosis:
    """Measure and judge.

    Args:
        name: folder of a run, one of its checkpoints, any other checkpoint, or the name of a shipped model.
        data: caches or manifests of utterances that were not trained on; none: the validation sets of the run.
        num_utterances: how many of them to look at.

    Raises:
        CheckpointError: a run that has not saved anything yet, or no checkpoint.
        ConfigError: no data, or none that can be used.
    """
    subject = _find(name)
    unseen = list(data) or subject.settings.get("validation", [])
    seen = subject.settings.get("train", [])
    if not unseen and not seen:
        raise ConfigError([f"'{name}' names no data to look at; give some with --data MANIFEST"])
    findings: list[Finding] = []
    history = RunHistory()
    if subject.run is not None:
        history = RunHistory.read(subject.run / "metrics.jsonl")
        findings += judge_history(history, peak=subject.settings["optim"]["learning_rate"])
    with tempfile.TemporaryDirectory() as scratch:
        objective = open_objective(subject.checkpoint, Path(scratch))
        known = _samples(seen, objective, num_utterances, Path(scratch) / "seen")
        new = _samples(unseen, objective, num_utterances, Path(scratch) / "unseen")
        examples = spread([one for sample in new or known for one in sample.examples], num_utterances)
        if len(examples) < 2:  # one is compared with another
            raise ConfigError(
                [
                    f"{len(examples)} utterances to look at in {', '.join(unseen or seen)}; expected 2 or more: run it"
                    " where the training was started, or give recordings with --data MANIFEST"
                ]
            )
        inspected = inspect(objective, examples)
        findings = _one_of_each([*judge_inspection(inspected), *findings])
        if new and known:
            own = spread([one for sample in known for one in sample.examples], num_utterances)
            findings.append(generalisation(_losses(objective, own), _losses(objective, examples)))
    if subject.run is not None and known:
        left_out = subject.run / "infeasible.jsonl"
        count = len(left_out.read_text(encoding="utf-8").splitlines()) if left_out.is_file() else 0
        findings.append(infeasible(count, sum(sample.num_utterances for sample in known)))
    steps = [step for series in map(history.series, history.names()) for step, _ in series[-1:]]
    return Diagnosis(
        checkpoint=subject.checkpoint,
        step=max(steps, default=None),
        num_utterances=len(examples),
        findings=findings,
    )


def judge_inspection(inspected: Inspection) -> list[Finding]:
    """Verdicts on what was measured on a model."""
    findings = [audio_gap(name, losses, inspected.other[name]) for name, losses in inspected.right.items()]
    if inspected.output_scale is not None:
        findings.append(output_scale(inspected.output_scale))
    findings.append(nearest_tokens(inspected.readout, blank=BLANK))
    if inspected.has_blank:
        findings.append(blank_rate(inspected.blank_rate, inspected.labels_per_frame))
    findings.append(empty_rate(inspected.empty_rate))
    return findings + [gradient(part, norm) for part, norm in inspected.gradients.items()]


def _one_of_each(findings: Sequence[Finding]) -> list[Finding]:
    """Of what was both logged and measured, the worse."""
    by_name: dict[str, list[Finding]] = {}
    for one in findings:
        by_name.setdefault(one.name, []).append(one)
    return [worst(same) or same[0] for same in by_name.values()]


def open_objective(checkpoint: Path, folder: Path) -> Objective:
    """The checkpoint as it would be trained on, without masks and with the sum over the whole vocabulary.

    Args:
        checkpoint: of any kind.
        folder: what building it may write goes there.
    """
    model: ASRConfig | CTCSystem
    if is_ctc_checkpoint(checkpoint):
        kind, model = "ctc", CTCSystem()
    else:
        model = read_config(checkpoint)
        kind = "align" if model.draft_only else "correct" if model.projector.aligned else "speech_llm"
    config = TrainConfig(
        objective=kind,  # type: ignore[arg-type]
        model=model,
        init=str(checkpoint),
        mask=MaskConfig(spans_per_second=0.0),
        num_frequent_tokens=0,
        num_random_tokens=0,
    )
    return build_objective(config, folder)


def _find(name: str | Path) -> _Subject:
    folder = checkpoint_folder(name)
    settings = _run_settings(folder)
    if settings is None and not is_ctc_checkpoint(folder):
        read_config(folder)  # or say what is wrong with it
    if settings is not None:
        checkpoint = next((folder / part for part in _NEWEST_FIRST if (folder / part).is_dir()), None)
        if checkpoint is None:
            problem = f"'{folder}' has no checkpoint yet; expected one after step {settings['save_every']}"
            raise CheckpointError(f"{problem}, or after Ctrl-C in the run")
        return _Subject(checkpoint=checkpoint, run=folder, settings=settings)
    of_parent = _run_settings(folder.parent)
    if of_parent is not None:
        return _Subject(checkpoint=folder, run=folder.parent, settings=of_parent)
    return _Subject(checkpoint=folder, run=None, settings={})


def _run_settings(folder: Path) -> dict[str, Any] | None:
    """The configuration of a run's folder; None for any other."""
    try:
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) and "objective" in values else None


def _samples(sources: Sequence[str], objective: Objective, count: int, folder: Path) -> list[Sample]:
    """Of each source its share of `count`; one that is not there any more is left out with a warning."""
    samples = []
    for number, source in enumerate(sources):
        part = folder / str(number)
        part.mkdir(parents=True)
        try:
            samples.append(sample_source(source, objective, count=-(-count // len(sources)), folder=part))
        except (ConfigError, ManifestError) as error:
            logger.warning("left out: %s", error)
    return samples


def _losses(objective: Objective, examples: Sequence[TrainingExample]) -> list[float]:
    """Of each utterance, by the last part of the loss: that of the language model where there is one."""
    return [list(loss_parts(objective, collate([example])).values())[-1] for example in examples]
