"""One model for many threads: what they ask for at the same time is computed together.

Nobody waits for company. While a batch is computed, questions pile up, and they are the next batch: a lonely question
is answered at once, and many share their passes. The answers are those of the model alone: a batch equals its rows.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

from tiny_audio.audio.timebase import seconds_to_samples
from tiny_audio.inference.transcriber import SpeechHypothesis, SpeechModel
from tiny_audio.types import Seconds, Waveform


def _never() -> bool:
    return False


@dataclass(kw_only=True, eq=False)
class _Question:
    """One waveform of one caller."""

    waveform: Waveform
    hotwords: tuple[str, ...]
    is_cancelled: Callable[[], bool]
    answer: "Future[SpeechHypothesis]" = field(default_factory=Future)


class SharedModel:
    """A `SpeechModel` that any number of threads may call.

    Args:
        model: what answers; safe for as many threads as there are lanes.
        num_lanes: batches that are computed at the same time.
        max_batch_duration: audio in a batch; one waveform may be longer.
        prepare_lane: called in the thread of each lane before it begins.
        on_batch: told the number of waveforms in each batch.
    """

    def __init__(
        self,
        model: SpeechModel,
        *,
        num_lanes: int = 1,
        max_batch_duration: Seconds = 30.0,
        prepare_lane: Callable[[], None] | None = None,
        on_batch: Callable[[int], None] | None = None,
    ) -> None:
        self._model = model
        self._max_samples = seconds_to_samples(max_batch_duration)
        self._prepare_lane = prepare_lane
        self._on_batch = on_batch
        self._questions: deque[_Question] = deque()
        self._changed = threading.Condition()
        self._is_open = True
        self._lanes = [
            threading.Thread(target=self._work, name=f"lane-{number}", daemon=True) for number in range(num_lanes)
        ]
        for lane in self._lanes:
            lane.start()

    @property
    def takes_hotwords(self) -> bool:
        """Whether the model can be told words that are likely to be said."""
        return "hotwords" in signature(self._model.transcribe_waveforms).parameters

    @property
    def num_waiting(self) -> int:
        """Waveforms that no lane has taken yet."""
        return len(self._questions)

    def transcribe_waveforms(
        self,
        waveforms: Sequence[Waveform],
        *,
        hotwords: Sequence[str] = (),
        is_cancelled: Callable[[], bool] = _never,
    ) -> list[SpeechHypothesis]:
        """See `SpeechModel`; waits for the answers.

        Args:
            waveforms: to transcribe.
            hotwords: words that are likely to be said; only callers with the same ones share a batch.
            is_cancelled: asked before the work begins.

        Raises:
            CancelledError: the caller does not want it any more, or the model is closed.
        """
        questions = [
            _Question(waveform=waveform, hotwords=tuple(hotwords), is_cancelled=is_cancelled) for waveform in waveforms
        ]
        with self._changed:
            if not self._is_open:
                raise CancelledError
            self._questions.extend(questions)
            self._changed.notify_all()
        return [question.answer.result() for question in questions]

    def close(self) -> None:
        """Answer what has been asked, and end."""
        with self._changed:
            self._is_open = False
            self._changed.notify_all()
        for lane in self._lanes:
            lane.join()

    def _work(self) -> None:
        if self._prepare_lane:
            self._prepare_lane()
        while batch := self._take_batch():
            wanted = [question for question in batch if not question.is_cancelled()]
            for question in batch:
                if question not in wanted:
                    question.answer.cancel()
            if wanted:
                self._answer(wanted)

    def _take_batch(self) -> list[_Question]:
        """The oldest question and those that go with it; a share, so that no other lane is idle. Empty at the end."""
        with self._changed:
            while not self._questions and self._is_open:
                self._changed.wait()
            share = -(-len(self._questions) // len(self._lanes))
            batch: list[_Question] = []
            num_samples = 0
            left: deque[_Question] = deque()
            for question in self._questions:
                num_samples += len(question.waveform)
                fits = not batch or (num_samples <= self._max_samples and question.hotwords == batch[0].hotwords)
                (batch if fits and len(batch) < share else left).append(question)
            self._questions = left
            return batch

    def _answer(self, batch: Sequence[_Question]) -> None:
        options: dict[str, Any] = {"hotwords": batch[0].hotwords} if batch[0].hotwords else {}
        try:
            answers = self._model.transcribe_waveforms([question.waveform for question in batch], **options)
            for question, answer in zip(batch, answers, strict=True):
                question.answer.set_result(answer)
        except Exception as error:
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
                return
            for question in batch:  # what one of them causes is not for the others to bear
                self._answer([question])
            return
        if self._on_batch:
            self._on_batch(len(batch))
