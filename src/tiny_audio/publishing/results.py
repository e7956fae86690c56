"""Which evaluations of a published model are known, and the file that the Open ASR Leaderboard reads them from."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tiny_audio.errors import PublishError
from tiny_audio.evaluation.datasets import PUBLIC_SETS
from tiny_audio.evaluation.leaderboard_page import RESULTS_FILE, Entry, read_entries

EVAL_RESULTS_FILE = ".eval_results/open_asr_leaderboard.yaml"
_LEADERBOARD_SET = "leaderboard-"


def results_of(names: Sequence[str], paths: Iterable[Path], folders: Iterable[Path]) -> list[Entry]:
    """The evaluations of one model.

    Args:
        names: all that it is called: as it was given, its checkpoint folder, its repository.
        paths: `results.json` files, or folders that hold some, which must have evaluations of the model.
        folders: where to look besides.

    Raises:
        PublishError: a file holds no result of the model.
        ResultsError: a file is not the result of an evaluation.
    """
    entries: dict[tuple[str, str, int, str], Entry] = {}
    required = list(paths)
    found = [path for folder in folders if folder.is_dir() for path in sorted(folder.rglob(RESULTS_FILE))]
    for path in [*found, *required]:
        systems = read_entries([path])
        own = [entry for entry in systems if _is_called(entry.model, names)]
        if not own and path in required:
            others = ", ".join(sorted({entry.model for entry in systems}))
            raise PublishError(
                f"'{path}' holds no result of '{names[0]}', but of {others}; run `tiny-audio eval` with it"
            )
        entries |= {(entry.model, entry.dataset, entry.num_utterances, entry.rule): entry for entry in own}
    return sorted(entries.values(), key=lambda entry: (entry.dataset, entry.rule, entry.model))


def mode_of(entry: Entry) -> str:
    """What stands behind the `@` of its name: a mode or a format of the products; empty for the defaults."""
    return entry.model.partition("@")[2]


def eval_results(entries: Iterable[Entry]) -> str:
    """YAML for `EVAL_RESULTS_FILE`, empty without a result that belongs there.

    Whole sets of that leaderboard count, by its own way of counting, in the default mode; rates in percent.
    """
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml
    from huggingface_hub.utils import yaml_dump

    rows = [
        EvalResultEntry(
            dataset_id=PUBLIC_SETS[entry.dataset].repo,
            task_id=PUBLIC_SETS[entry.dataset].config,
            value=round(100 * entry.wer, 2),
            notes=f"{entry.num_utterances} utterances, 95 % interval {100 * entry.low:.2f} to {100 * entry.high:.2f}, "
            f"counted with {entry.rule}",
        )
        for entry in entries
        if entry.dataset in PUBLIC_SETS
        and entry.dataset.startswith(_LEADERBOARD_SET)
        and entry.rule.startswith("leaderboard")
        and entry.is_whole
        and not mode_of(entry)
    ]
    return str(yaml_dump(eval_result_entries_to_yaml(rows))) if rows else ""


def _is_called(model: str, names: Iterable[str]) -> bool:
    base = model.partition("@")[0]
    return any(base == name or Path(base).absolute() == Path(name).absolute() for name in names)
