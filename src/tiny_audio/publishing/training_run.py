"""What the folder of a training run says about how a model came to be; what it does not say is not guessed."""

import json
import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tiny_audio.data.feature_cache import CachedUtterance, FeatureCache
from tiny_audio.data.manifest import Utterance
from tiny_audio.data.mixing import split_weight
from tiny_audio.data.shards import read_source
from tiny_audio.errors import PublishError, TinyAudioError
from tiny_audio.models.checkpoint import checkpoint_folder
from tiny_audio.training.config import CTCSystem, TrainConfig
from tiny_audio.training.history import RunHistory

_CONFIG, _ENVIRONMENT, METRICS = "config.json", "environment.json", "metrics.jsonl"
_CHECKPOINTS = ("best", "checkpoint")
"""The first that is there is what a run is published as."""
_LICENCE_KEYS = ("licence", "license")


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """Recordings that were trained on."""

    name: str
    hours: float | None
    """None: it could not be read any more."""
    num_utterances: int = 0
    num_speakers: int = 0
    """0: not said."""
    licences: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """A run that made a checkpoint."""

    folder: Path
    config: dict[str, Any]
    """Of the run, `TrainConfig` as JSON."""
    environment: dict[str, Any]
    history: RunHistory
    sources: tuple[DataSource, ...] = field(default=())

    @property
    def command(self) -> str:
        """What trains it again, with the settings that differ from their defaults; of paths only the end."""
        words = ["tiny-audio", "train", self.config["objective"]]
        if self.config.get("init"):
            words += ["--init", short_name(self.config["init"])]
        for option in ("train", "validation"):
            if self.config.get(option):
                words += [f"--{option}", *map(short_name, self.config[option])]
        defaults = dict(_flat(json.loads(json.dumps(asdict(TrainConfig(objective="ctc", model=CTCSystem()))))))
        settings = [
            f"{name}={value if isinstance(value, str) else json.dumps(value)}"
            for name, value in _flat(self.config)
            if name in defaults and defaults[name] != value
        ]
        return shlex.join([*words, "-o", self.folder.name, *(["--set", *settings] if settings else [])])


def find_checkpoint(name: str) -> tuple[Path, TrainingRun | None]:
    """The checkpoint to publish, and the run that made it if its folder is there.

    Args:
        name: a shipped model, a checkpoint folder, or the folder of a run, whose best weights are taken.

    Raises:
        CheckpointError, UnknownNameError: no such model.
        PublishError: the run has no checkpoint yet, or its files are damaged.
    """
    folder = Path(name)
    if not _is_run(folder):
        checkpoint = checkpoint_folder(name)
        home = checkpoint.absolute().parent
        return checkpoint, read_run(home) if _is_run(home) else None
    found = [folder / part for part in _CHECKPOINTS if (folder / part).is_dir()]
    if not found:
        raise PublishError(f"the run '{name}' has no checkpoint yet; expected {' or '.join(_CHECKPOINTS)} in it")
    return found[0], read_run(folder)


def read_run(folder: Path) -> TrainingRun:
    """All that the folder of a run says.

    Raises:
        PublishError: its files are damaged.
    """
    try:
        config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
        environment_file = folder / _ENVIRONMENT
        environment = json.loads(environment_file.read_text(encoding="utf-8")) if environment_file.exists() else {}
        return TrainingRun(
            folder=folder,
            config=config,
            environment=environment,
            history=RunHistory.read(folder / METRICS),
            sources=tuple(map(_describe, config.get("train", ()))),
        )
    except (OSError, ValueError) as error:
        raise PublishError(f"cannot read the run '{folder}': {error}") from error


def short_name(path: str) -> str:
    """The last two parts of a path: where it lies on a disk is nobody else's business."""
    return "/".join(Path(path).parts[-2:])


def _is_run(folder: Path) -> bool:
    try:
        return "objective" in json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def _describe(source: str) -> DataSource:
    path, _ = split_weight(source)
    try:
        is_cache = Path(path).is_dir()
        cache = FeatureCache(Path(path)) if is_cache else ()
        of_manifest = [] if is_cache else read_source(path)
        utterances: list[Utterance | CachedUtterance] = [*cache, *of_manifest]
    except (TinyAudioError, OSError, ValueError):
        return DataSource(name=short_name(source), hours=None)
    licences = {str(one.extra[key]) for one in of_manifest for key in _LICENCE_KEYS if one.extra.get(key)}
    return DataSource(
        name=short_name(source),
        hours=sum(utterance.duration for utterance in utterances) / 3600,
        num_utterances=len(utterances),
        num_speakers=len({utterance.speaker for utterance in utterances} - {""}),
        licences=tuple(sorted(licences)),
        languages=tuple(sorted({utterance.language for utterance in of_manifest} - {""})),
    )


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings of a run by their dotted names, without the model and without what has an option of its own."""
    for name, value in values.items():
        if not prefix and name in ("objective", "model", "train", "validation", "init"):
            continue
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
