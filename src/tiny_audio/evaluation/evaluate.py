"""Let a recogniser answer all utterances of a set, in batches, and score the answers together."""

import sys
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from tqdm import tqdm

from tiny_audio.audio.noise import SNR_KEY, estimate_snr_db
from tiny_audio.audio.timebase import samples_to_seconds
from tiny_audio.data.manifest import Utterance
from tiny_audio.data.recordings import load_waveform
from tiny_audio.errors import AnswerError, AudioError
from tiny_audio.evaluation.results import TRANSCRIBE, SystemResult, UtteranceResult, result_of, task_of
from tiny_audio.evaluation.scoring import DEFAULT_SCORER, build_scorer
from tiny_audio.evaluation.systems.system import BatchTranscriber, Responder
from tiny_audio.inference.results import Transcript
from tiny_audio.text.normalizers import DEFAULT_NORMALIZER
from tiny_audio.types import Waveform

_MICRO_BATCH_SIZE = 8
"""Utterances decoded, then transcribed at a time: few enough that the waveforms take no memory worth a thought."""
_WINDOW = 96
"""Utterances that are sorted by length among themselves: what is done first is still a sample of the whole."""


def evaluate(
    transcriber: BatchTranscriber,
    utterances: Sequence[Utterance],
    *,
    normalizer: str = DEFAULT_NORMALIZER,
    scorer: str = DEFAULT_SCORER,
    show_progress: bool = False,
) -> SystemResult:
    """Transcribe all utterances and score them together.

    An utterance without an answer keeps its place, and each of its words counts as deleted: dropping it would make a
    broken corpus look better than a whole one. It is reported on standard error as it is met.

    Args:
        transcriber: The recogniser.
        utterances: At least one, with texts.
        normalizer: Rules that make texts comparable (`text.normalizers.NORMALIZERS`).
        scorer: How errors are counted (`evaluation.scoring.SCORERS`).
        show_progress: Draw a bar on standard error.

    Raises:
        UnknownNameError: There is no such normaliser or scorer.
    """
    build = build_scorer(scorer, normalizer)
    results: dict[str, UtteranceResult] = {}
    disable = None if show_progress else True  # None: on a terminal only
    with tqdm(total=len(utterances), unit="utt", desc="eval", file=sys.stderr, disable=disable) as progress:
        for batch in answer_all(transcriber, utterances):
            for result in batch:
                results[result.id] = result
                if result.problem:
                    progress.write(f"tiny-audio: error: {result.id}: {result.problem}", file=sys.stderr)
            progress.update(len(batch))
    return build.score_system(type(transcriber).__name__, [results[utterance.id] for utterance in utterances])


def answer_all(
    transcriber: BatchTranscriber, utterances: Sequence[Utterance], *, done: Collection[str] = ()
) -> Iterator[list[UtteranceResult]]:
    """The answers to all utterances, a batch at a time, near the order of the set.

    Args:
        transcriber: the recogniser.
        utterances: what to answer.
        done: ids that are passed over; the others keep the batches that they would have without it.
    """
    for start in range(0, len(utterances), _WINDOW):
        # Neighbours in length share a batch: less padding, so the speed is that of the model, not of the file order.
        window = sorted(utterances[start : start + _WINDOW], key=lambda one: (task_of(one), one.duration))
        for task, rows in groupby(window, key=task_of):
            same_task = list(rows)
            for first in range(0, len(same_task), _MICRO_BATCH_SIZE):
                batch = [one for one in same_task[first : first + _MICRO_BATCH_SIZE] if one.id not in done]
                if batch:
                    yield _answer(transcriber, batch, task)


def _answer(transcriber: BatchTranscriber, batch: Sequence[Utterance], task: str) -> list[UtteranceResult]:
    """The answers to one batch, in its order."""
    results: dict[str, UtteranceResult] = {}
    readable: list[tuple[Utterance, Waveform]] = []
    for utterance in batch:
        try:
            readable.append((utterance, load_waveform(utterance)))
        except AudioError as error:
            results[utterance.id] = result_of(utterance, problem=str(error))
    results |= {result.id: result for result in _ask(transcriber, readable, task)}
    return [results[utterance.id] for utterance in batch]


def _ask(
    transcriber: BatchTranscriber, readable: Sequence[tuple[Utterance, Waveform]], task: str
) -> list[UtteranceResult]:
    """The answers to what could be read; where a batch fails, each alone, so that one does not cost the others."""
    if not readable:
        return []
    waveforms = [waveform for _, waveform in readable]
    started = time.perf_counter()
    try:
        answers = _transcripts(transcriber, waveforms, task)
    except (AudioError, AnswerError) as error:
        if len(readable) > 1:
            return [result for one in readable for result in _ask(transcriber, [one], task)]
        return [result_of(readable[0][0], problem=str(error))]
    wall_seconds = time.perf_counter() - started
    num_samples = sum(len(waveform) for waveform in waveforms)
    return [
        result_of(
            _with_noise_level(utterance, waveform),
            hypothesis=answer.text,
            draft=answer.draft,
            duration=samples_to_seconds(len(waveform)),
            wall_seconds=wall_seconds * len(waveform) / num_samples,
            words=_word_rows(answer) if "words" in utterance.extra else (),  # else nothing to compare them with
        )
        for (utterance, waveform), answer in zip(readable, answers, strict=True)
    ]


def _with_noise_level(utterance: Utterance, waveform: Waveform) -> Utterance:
    """The utterance with its signal-to-noise ratio, for the report; the manifest's own if it has one."""
    return replace(utterance, extra={SNR_KEY: estimate_snr_db(waveform)} | utterance.extra)


def _transcripts(transcriber: BatchTranscriber, waveforms: Sequence[Waveform], task: str) -> list[Transcript]:
    if task == TRANSCRIBE:
        return transcriber.transcribe_batch(waveforms)
    if not isinstance(transcriber, Responder):
        name = getattr(transcriber, "name", type(transcriber).__name__)
        raise AnswerError(f"{name} can only transcribe; the manifest asks for '{task}'")
    return [Transcript(text=text, segments=(), duration=0.0) for text in transcriber.respond_batch(waveforms, task)]


def _word_rows(transcript: Transcript) -> list[dict[str, Any]]:
    """Times of the words, where the system gives them."""
    return [{"word": word.text, "start": word.start, "end": word.end} for word in transcript.words]
