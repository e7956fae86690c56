"""Exercise 6, evaluation: count errors, pool them, and say how sure the result is.

Write the three functions, run the file, and read what it prints. 20 minutes; the run takes some seconds.
"""

import numpy as np
from tutor import Tutor

import tiny_audio
from tiny_audio.data.manifest import read_manifest
from tiny_audio.evaluation.bootstrap import compare
from tiny_audio.explain.samples import samples_folder
from tiny_audio.text.normalizers import normalize_english

tutor = Tutor(__file__)
REPLICATES = 2000


@tutor.task
def num_errors(reference: list[str], hypothesis: list[str]) -> int:
    """Fewest words to replace, delete or insert until the hypothesis is the reference (Levenshtein)."""


@tutor.task
def corpus_rate(errors: list[int], words: list[int]) -> float:
    """The word error rate of a whole set, from errors and reference words of each utterance."""


@tutor.task
def interval(errors: list[int], words: list[int], drawn: np.ndarray) -> np.ndarray:
    """The 2.5 % and 97.5 % quantiles of the rate of drawn sets.

    Args:
        errors: of each utterance.
        words: of each utterance.
        drawn: `(replicates, utterances)` indices; each row is a set of utterances, some twice and some not at all.
    """


def main() -> dict[str, float]:
    """Score the shipped model and its CTC draft on the example clips, with intervals; their rates."""
    clips = read_manifest(samples_folder() / "manifest.jsonl")
    asr = tiny_audio.load_model()
    transcripts = [asr.transcribe(clip.audio) for clip in clips]
    answers = {
        "CTC draft": [one.draft for one in transcripts],
        "with the language model": [one.text for one in transcripts],
    }
    references = [normalize_english(clip.text).split() for clip in clips]
    words = [len(reference) for reference in references]
    drawn = np.random.default_rng(0).integers(len(clips), size=(REPLICATES, len(clips)))
    rates, errors = {}, {}
    for name, texts in answers.items():
        heard = [normalize_english(text).split() for text in texts]
        errors[name] = [num_errors(*pair) for pair in zip(references, heard, strict=True)]
        rates[name] = corpus_rate(errors[name], words)
        low, high = interval(errors[name], words, drawn)
        mean = np.mean([count / total for count, total in zip(errors[name], words, strict=True)])
        print(f"{name}: errors {errors[name]} of {words} words")
        print(f"  WER {rates[name]:.1%}, interval {low:.1%} to {high:.1%}; the mean of the five rates is {mean:.1%}")
    difference = compare(*errors.values(), words, [clip.id for clip in clips])
    low, high = difference.interval.low, difference.interval.high
    print(f"difference {difference.difference:+.1%}, interval {low:+.1%} to {high:+.1%}, widened for five clips only")
    print("  which of the two is better cannot be said" if low <= 0 <= high else "  it is a real difference")
    return rates


if __name__ == "__main__":
    main()
    tutor.report()
