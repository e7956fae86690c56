"""`tiny-audio eval`: error rates of one system or several on a set, with intervals, kinds of error and speed."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tiny_audio import __version__
from tiny_audio.cli.transcribe import MODES

if TYPE_CHECKING:
    from tiny_audio.evaluation.datasets import EvaluationSet
    from tiny_audio.evaluation.results import SystemResult, UtteranceResult
    from tiny_audio.evaluation.scoring import Scorer

HELP = "word error rate of models on a set, with intervals"
DEFAULT_MODEL = "tiny-audio-base"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "models",
        metavar="MODEL",
        nargs="*",
        help="checkpoint, whisper-base, whisper-tiny.en, faster-whisper:SIZE, hf:ID, http(s)://SERVER/v1#MODEL or "
        f"predictions.jsonl (default: {DEFAULT_MODEL}); without --dataset the last one is the manifest",
    )
    parser.add_argument("--dataset", metavar="SET", help="manifest, folder, or a public set such as loquacious")
    parser.add_argument("--max-samples", type=_positive, metavar="N", help="a random part, the same for every model")
    parser.add_argument("--seed", type=int, default=42, help="of the random part (default: %(default)s)")
    parser.add_argument(
        "--output-dir", type=Path, metavar="DIR", help="write scores, answers and report.html there; resumes from there"
    )
    parser.add_argument(
        "--resume", action=argparse.BooleanOptionalAction, default=True, help="keep the answers in --output-dir"
    )
    parser.add_argument("--normalizer", metavar="NAME", default="whisper-english", help="default: %(default)s")
    parser.add_argument("--scorer", metavar="NAME", default="plain", help="plain or leaderboard (default: %(default)s)")
    parser.add_argument("--by", metavar="FIELD", help="error rate for each speaker, recording or field of the manifest")
    parser.add_argument(
        "--fail-if-worse",
        action="store_true",
        help="exit code 1 if a model is significantly worse than the first",
    )
    parser.add_argument(
        "--leaderboard", action="store_true", help="write the Open ASR Leaderboard's file to --output-dir as well"
    )
    parser.add_argument(
        "--mode",
        choices=MODES,
        help="of all checkpoints; MODEL@MODE and MODEL@DTYPE choose for one, as in tiny-audio-base@fast",
    )
    parser.add_argument("--threads", type=_positive, metavar="N", help="CPU threads (default: all)")
    parser.add_argument("--quiet", action="store_true", help="print the final blocks only")


def run(args: argparse.Namespace) -> int:
    """Print the scores; exit code 1 when an utterance failed, or when a model is worse and that was asked for."""
    from tiny_audio.evaluation.systems.system import is_checkpoint

    models, dataset = _split(args.models, args.dataset)
    if dataset is None:
        return _wrong_usage("what to evaluate on? give --dataset SET, or a manifest.jsonl as the last argument")
    if args.mode:
        models = [f"{model}@{args.mode}" if is_checkpoint(model) and "@" not in model else model for model in models]
    if len(set(models)) < len(models):
        return _wrong_usage("a model is named twice")
    if args.leaderboard and not args.output_dir:
        return _wrong_usage("--leaderboard needs --output-dir")
    if args.fail_if_worse and len(models) < 2:
        return _wrong_usage("--fail-if-worse needs two models")

    from tiny_audio.evaluation.datasets import open_set
    from tiny_audio.evaluation.scoring import build_scorer

    scorer = build_scorer(args.scorer, args.normalizer)
    evaluated = open_set(dataset, max_samples=args.max_samples, seed=args.seed)  # before the slow imports
    if args.threads:
        import torch

        torch.set_num_threads(args.threads)
    from tiny_audio.evaluation.console import format_comparison, format_groups, format_result
    from tiny_audio.evaluation.leaderboard import write_submission
    from tiny_audio.evaluation.report import write_report

    results = []
    for model in models:
        result = _evaluate(model, evaluated, scorer, args)
        results.append(result)
        print(format_result(result), flush=True)
        if args.by:
            print(format_groups(result, args.by), flush=True)
        if args.leaderboard:
            print(write_submission(result, evaluated, args.output_dir))
    comparisons = [result.compared_to(results[0]) for result in results[1:]]
    if comparisons:
        print(format_comparison(results, comparisons))
    if args.output_dir:
        settings = {"tiny_audio": __version__, "seed": args.seed, "max_samples": args.max_samples}
        write_report(results, args.output_dir, settings)
    is_worse = args.fail_if_worse and any(comparison.is_worse for comparison in comparisons)
    return 1 if is_worse or any(result.failures for result in results) else 0


def _split(words: list[str], dataset: str | None) -> tuple[list[str], str | None]:
    """The models, and what they are evaluated on."""
    if dataset is None and words and (words[-1].endswith(".jsonl") or Path(words[-1]).is_file()):
        *words, dataset = words
    return words or [DEFAULT_MODEL], dataset


def _evaluate(model: str, evaluated: "EvaluationSet", scorer: "Scorer", args: argparse.Namespace) -> "SystemResult":
    """Let one system answer what has no answer yet, and score it; each batch is kept at once."""
    from tiny_audio.evaluation.answer_file import AnswerFile, settings_of
    from tiny_audio.evaluation.console import SampleLog
    from tiny_audio.evaluation.evaluate import answer_all
    from tiny_audio.evaluation.results import TRANSCRIBE
    from tiny_audio.evaluation.systems.predictions import read_predictions
    from tiny_audio.evaluation.systems.system import build_system, is_predictions

    utterances = evaluated.utterances
    store = None
    answers: dict[str, UtteranceResult] = {}
    if args.output_dir:
        store = AnswerFile(args.output_dir / "answers", settings_of(model, evaluated.name, utterances))
        answers = store.resume() if args.resume else store.restart()
        (args.output_dir / "results.json").unlink(missing_ok=True)  # scores never stand beside other answers
    if store and answers:
        print(f"tiny-audio: {len(answers)} of {len(utterances)} samples are in '{store.path}'", file=sys.stderr)
    log = SampleLog()
    scored = {one.id: scorer.score(one) for one in answers.values() if one.task == TRANSCRIBE}
    for one in scored.values():
        log.add(one)

    def keep(batch: list["UtteranceResult"]) -> None:
        if store:
            store.append(batch)
        for answer in batch:
            answers[answer.id] = answer
            if answer.task == TRANSCRIBE:
                scored[answer.id] = scorer.score(answer)
                line = log.add(scored[answer.id])
                if not args.quiet:
                    print(line, flush=True)

    try:
        if is_predictions(model):
            keep([one for one in read_predictions(Path(model), utterances) if one.id not in answers])
        elif len(answers) < len(utterances):
            for batch in answer_all(build_system(model), utterances, done=set(answers)):
                keep(batch)
    except KeyboardInterrupt:
        if store:
            kept = f"{len(answers)} of {len(utterances)} samples are kept in '{store.path}'"
            print(f"tiny-audio: {kept}; the same command goes on from there", file=sys.stderr)
        raise
    ordered = [answers[utterance.id] for utterance in utterances]
    if store:
        store.finish(ordered)
    return scorer.score_system(model, [scored.get(one.id, one) for one in ordered], dataset=evaluated.name)


def _wrong_usage(problem: str) -> int:
    print(f"tiny-audio eval: error: {problem}", file=sys.stderr)
    return 2


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"found {number}; expected 1 or more")
    return number
