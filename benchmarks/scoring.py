"""Seconds and memory to score and report on many utterances: made-up texts with random errors, no audio, no model.

    .venv/bin/python benchmarks/scoring.py [--utterances 10000] [--systems 1]

Runs on one core what `tiny-audio eval` does once all answers are there: normalising, counting, aligning, the interval,
comparisons, and the report with its page. Exit code 1 if that takes 60 s or more.
"""

import argparse
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

from tiny_audio.audio.noise import SNR_KEY
from tiny_audio.evaluation.report import write_report
from tiny_audio.evaluation.results import UtteranceResult
from tiny_audio.evaluation.scoring import build_scorer

LIMIT_SECONDS = 60.0
NUM_SPEAKERS = 200
ERROR_RATE = 0.12


def main() -> int:
    """Print how long each part takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=10_000)
    parser.add_argument("--systems", type=int, default=1)
    args = parser.parse_args()
    answers = [made_up_answers(args.utterances, seed=seed) for seed in range(args.systems)]
    at_start = peak_megabytes()
    scorer = build_scorer()
    started = time.perf_counter()
    systems = [scorer.score_system(f"system-{number}", one) for number, one in enumerate(answers)]
    scored = time.perf_counter()
    intervals = [system.wer_interval for system in systems]
    drawn = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        write_report(systems, Path(name), {})
        sizes = {path.name: path.stat().st_size / 1e6 for path in sorted(Path(name).iterdir())}
    ended = time.perf_counter()
    for system, interval in zip(systems, intervals, strict=True):
        print(f"{system.name}: WER {system.wer:.2%}, 95 % interval {interval.low:.2%} to {interval.high:.2%}")
    print(f"scoring   {scored - started:6.1f} s   {args.systems} x {args.utterances} utterances")
    print(f"interval  {drawn - scored:6.1f} s")
    print(f"report    {ended - drawn:6.1f} s   " + ", ".join(f"{file} {size:.1f} MB" for file, size in sizes.items()))
    total = ended - started
    print(f"total     {total:6.1f} s   limit {LIMIT_SECONDS:.0f} s")
    print(f"memory    {peak_megabytes():6.0f} MB at the peak, {at_start:.0f} MB before")
    return 1 if total >= LIMIT_SECONDS else 0


def made_up_answers(count: int, *, seed: int) -> list[UtteranceResult]:
    """Answers with random errors; the references are the same for every seed."""
    texts, errors = random.Random(0), random.Random(seed + 1)
    vocabulary = ["".join(texts.choices("abcdefghijklmnopqrstuvwxyz", k=texts.randint(2, 9))) for _ in range(5000)]
    weights = [1 / rank for rank in range(1, len(vocabulary) + 1)]
    results = []
    for number in range(count):
        said = texts.choices(vocabulary, weights, k=min(60, 1 + int(texts.expovariate(1 / 16))) if number % 50 else 0)
        duration, snr_db = round(0.5 + len(said) * texts.uniform(0.25, 0.5), 2), round(texts.gauss(22, 9), 1)
        results.append(
            UtteranceResult(
                id=f"utterance-{number:05d}",
                reference=" ".join(said).capitalize(),
                hypothesis=" ".join(damaged(said, vocabulary, errors)),
                duration=duration,
                wall_seconds=duration / errors.uniform(3, 6),
                speaker=f"speaker-{number % NUM_SPEAKERS:03d}",
                extra={SNR_KEY: snr_db},
            )
        )
    return results


def damaged(words: list[str], vocabulary: list[str], generator: random.Random) -> list[str]:
    """These words with substitutions, deletions and insertions; now and then a loop."""
    heard: list[str] = []
    for word in words or ["silence"] * generator.randrange(2):
        chance = generator.random() / ERROR_RATE
        if chance < 0.6:
            heard.append(generator.choice(vocabulary))
        elif chance < 0.8:
            continue
        elif chance < 1.0:
            heard += [word, generator.choice(vocabulary)]
        else:
            heard.append(word)
    return heard + heard[-3:] * 40 if generator.random() < 0.002 else heard


def peak_megabytes() -> float:
    """The most memory that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


if __name__ == "__main__":
    raise SystemExit(main())
