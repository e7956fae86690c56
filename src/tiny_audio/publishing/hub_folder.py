"""The folder that is sent to the hub: exactly these files, the same for the same model.

config.json, model.safetensors   the checkpoint, with prompt and decoding settings
tokenizer*.json                  of the language model
README.md                        the model card
training/metrics.jsonl           what the run logged
.eval_results/                   what the Open ASR Leaderboard reads
encoder/, language_model/, *.py  what `transformers` needs besides (`export.transformers_export`)
"""

import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError, safe_open

from tiny_audio.errors import PublishError
from tiny_audio.export.folder import new_folder
from tiny_audio.export.transformers_export import OPTIONAL_PACKAGES, PACKAGES, export_transformers
from tiny_audio.models.checkpoint import CONFIG_FILE, WEIGHTS_FILE, read_config
from tiny_audio.models.ctc_model import UNITS_FILE, is_ctc_checkpoint
from tiny_audio.models.llm import build_tokenizer
from tiny_audio.models.shallow_fusion import ARPA_FILE, SETTINGS_FILE
from tiny_audio.models.stored_tensors import SCALE
from tiny_audio.publishing.model_card import CardFacts, write_card
from tiny_audio.publishing.results import EVAL_RESULTS_FILE, eval_results, results_of
from tiny_audio.publishing.training_run import METRICS, TrainingRun, find_checkpoint
from tiny_audio.weights.hub_checkpoint import is_hub_name

CARD_FILE = "README.md"
_CTC_FILES = (CONFIG_FILE, WEIGHTS_FILE, UNITS_FILE, ARPA_FILE, SETTINGS_FILE)


def write_hub_folder(
    name: str,
    folder: Path,
    *,
    repo: str,
    results: Iterable[Path] = (),
    licence: str = "",
    checkpoint_only: bool = False,
) -> None:
    """Write all that `upload` sends.

    Args:
        name: of a shipped model, a checkpoint folder, or the folder of a run.
        folder: must not exist, or be empty.
        repo: `user/name`, for the card.
        results: `results.json` files with evaluations of the model; those in the run's folder are found.
        licence: of the trained part, as the hub spells it.
        checkpoint_only: the trained part alone, without frozen weights and code; a CTC model has nothing else.

    Raises:
        PublishError: the model cannot be loaded by others, or a result is not about it.
        CheckpointError, UnknownNameError, WeightsError: the model or its frozen parts cannot be read.
        ResultsError: a file is not the result of an evaluation.
        OutputError: the folder cannot be written.
    """
    checkpoint, run = find_checkpoint(name)
    # First what is quick and can fail.
    found = results_of([name, str(checkpoint), repo], results, [run.folder if run else checkpoint])
    num_parameters, dtype = _count(checkpoint / WEIGHTS_FILE)
    is_ctc = is_ctc_checkpoint(checkpoint)
    with_code = not (is_ctc or checkpoint_only)
    config = None if is_ctc else read_config(checkpoint)
    facts = CardFacts(
        repo=repo,
        parts={} if config is None else {"encoder": asdict(config.encoder), "llm": asdict(config.llm)},
        kind=(
            "a CTC model with an encoder of its own"
            if config is None
            else f"{config.encoder.family} encoder, {config.projector.kind} projector"
            + (", CTC alone" if config.draft_only else " and language model")
        ),
        num_parameters=num_parameters,
        dtype=dtype,
        licence=licence,
        packages=(*PACKAGES, *OPTIONAL_PACKAGES) if with_code else (),
        run=run,
        results=found,
    )
    with new_folder(folder) as part:
        if with_code:
            export_transformers(checkpoint, part)
        elif config is None:
            _copy(checkpoint, part, _CTC_FILES)
        else:
            for source in (config.encoder.source, config.llm.source):
                if source is not None and Path(source).exists():
                    raise PublishError(
                        f"'{source}' lies on this machine only; push without --checkpoint-only to send it"
                    )
            _copy(checkpoint, part, (CONFIG_FILE, WEIGHTS_FILE))
            build_tokenizer(config.llm).save_pretrained(part)
        (part / CARD_FILE).write_text(write_card(facts), encoding="utf-8")
        _write_evidence(part, run, eval_results(found))


def check_repo(repo: str) -> None:
    """Refuse what cannot be the name of a repository.

    Raises:
        PublishError: it is not of the form `user/name`.
    """
    if "@" in repo or not is_hub_name(repo):
        raise PublishError(f"found the repository '{repo}'; expected user/name")


def _write_evidence(folder: Path, run: TrainingRun | None, leaderboard: str) -> None:
    texts = {EVAL_RESULTS_FILE: leaderboard}
    if run and (run.folder / METRICS).is_file():
        texts[f"training/{METRICS}"] = (run.folder / METRICS).read_text(encoding="utf-8")
    for name, text in texts.items():
        if text:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")


def _copy(source: Path, folder: Path, names: Iterable[str]) -> None:
    for name in names:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def _count(weights: Path) -> tuple[int, str]:
    """Parameters of a file, and the format of most of them."""
    try:
        with safe_open(weights, framework="np") as file:
            names = [name for name in file.keys() if not name.endswith(SCALE)]  # noqa: SIM118
            slices = [file.get_slice(name) for name in names]
            formats: Counter[str] = Counter()
            for part in slices:
                size = 1
                for length in part.get_shape():
                    size *= length
                formats[str(part.get_dtype())] += size
    except (OSError, SafetensorError) as error:
        raise PublishError(f"cannot read '{weights}': {error}; expected a whole checkpoint") from error
    return formats.total(), formats.most_common(1)[0][0] if formats else "no format"
