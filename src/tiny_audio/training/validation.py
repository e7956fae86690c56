"""Word error rates of a model in training."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from tiny_audio.data.batch import Batch
from tiny_audio.evaluation.wer import count_errors
from tiny_audio.training.objective import Objective
from tiny_audio.training.processes import Processes

ValidationSets = Mapping[str, Sequence[Batch]]


def validation_name(source: str) -> str:
    """A short name for a validation set: `ljspeech/dev` for `../ljspeech/dev.jsonl`."""
    return "/".join(Path(source).with_suffix("").parts[-2:])


def validate(
    objective: Objective,
    sets: ValidationSets,
    processes: Processes,
    autocast: Callable[[], AbstractContextManager[object]],
) -> dict[str, float]:
    """Corpus WER of the texts, `wer/SET`, and where a language model had its say, of the drafts before it.

    The processes share the batches; all of them get the result.
    """
    objective.eval()
    metrics = {}
    for name, batches in sets.items():
        with autocast():
            own = [list(objective.transcribe(batch)) for batch in batches[processes.rank :: processes.count]]
        answers = processes.gather([[(item.text, item.draft) for item in batch] for batch in own])
        # Dealt in turns, so the batch of a number is at the same place in its turn.
        pairs = [pair for index in range(len(batches)) for pair in answers[index % len(answers)][index // len(answers)]]
        references = [text for batch in batches for text in batch.references]
        metrics[f"wer/{name}"] = count_errors(references, [text for text, _ in pairs]).wer
        if objective.has_draft:
            metrics[f"draft_wer/{name}"] = count_errors(references, [draft for _, draft in pairs]).wer
    objective.train()
    return metrics


def mean_wer(metrics: Mapping[str, float]) -> float:
    """Over the validation sets, each counting the same: by it checkpoints are compared."""
    wers = [value for name, value in metrics.items() if name.startswith("wer/")]
    return sum(wers) / len(wers)
