import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from fakes import FakeSpeechModel, tone
from tiny_audio.serving.shared_model import SharedModel


class HeldModel(FakeSpeechModel):
    """Waits with its first answer until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked, self.go = threading.Event(), threading.Event()
        self.arrivals = threading.Semaphore(0)
        self.hotwords: list[tuple[str, ...]] = []

    def transcribe_waveforms(self, waveforms: Sequence[np.ndarray], *, hotwords: Sequence[str] = ()) -> list[Any]:
        self.is_asked.set()
        self.arrivals.release()
        assert self.go.wait(10)
        self.hotwords.append(tuple(hotwords))
        if any(not np.isfinite(waveform).all() for waveform in waveforms):
            raise ZeroDivisionError("a bad one")
        return super().transcribe_waveforms(waveforms)


def ask_while_held(model: HeldModel, shared: SharedModel, questions: Sequence[dict[str, Any]]) -> list[Any]:
    """What becomes of questions that come while the model is busy with another."""
    with ThreadPoolExecutor(len(questions) + 1) as pool:
        first = pool.submit(shared.transcribe_waveforms, [tone(duration=0.5, hertz=100)])
        assert model.is_asked.wait(10)
        futures = []
        for number, question in enumerate(questions, start=1):
            futures.append(pool.submit(shared.transcribe_waveforms, **question))
            while shared.num_waiting < number:
                pass
        model.go.set()
        assert first.result()[0].text.strip() == "tone100"
        return [future.exception() or [answer.text.strip() for answer in future.result()] for future in futures]


def test_questions_that_pile_up_are_one_batch_and_each_gets_its_own_answer() -> None:
    model = HeldModel()
    sizes: list[int] = []
    shared = SharedModel(model, on_batch=sizes.append)

    texts = ask_while_held(model, shared, [{"waveforms": [tone(duration=1, hertz=100 * n)]} for n in range(2, 9)])

    assert texts == [[f"tone{100 * n}"] for n in range(2, 9)]
    shared.close()
    assert sizes == [1, 7]


def test_a_batch_has_no_more_audio_than_it_may() -> None:
    model = HeldModel()
    shared = SharedModel(model, max_batch_duration=3.0)

    ask_while_held(model, shared, [{"waveforms": [tone(duration=1)]} for _ in range(7)])

    assert [len(batch) for batch in model.batches] == [1, 3, 3, 1]


def test_lanes_share_what_waits() -> None:
    model = HeldModel()
    shared = SharedModel(model, num_lanes=2)
    with ThreadPoolExecutor(8) as pool:
        first = [pool.submit(shared.transcribe_waveforms, [tone(duration=0.5)]) for _ in range(2)]
        for _ in first:  # both lanes are busy before the others come
            assert model.arrivals.acquire(timeout=10)
        later = [pool.submit(shared.transcribe_waveforms, [tone(duration=1)]) for _ in range(6)]
        while shared.num_waiting < 6:
            pass
        model.go.set()
        assert all(future.result() for future in first + later)

    assert max(len(batch) for batch in model.batches) <= 3


def test_hotwords_reach_only_those_who_named_them() -> None:
    model = HeldModel()
    shared = SharedModel(model)
    clip = tone(duration=1)

    ask_while_held(model, shared, [{"waveforms": [clip], "hotwords": words} for words in (["a"], [], ["a"], ["b"], [])])

    assert sorted(zip(model.hotwords, map(len, model.batches), strict=True)) == [
        ((), 1),
        ((), 2),
        (("a",), 2),
        (("b",), 1),
    ]


def test_an_error_is_that_of_the_one_who_caused_it() -> None:
    model = HeldModel()
    shared = SharedModel(model)

    good, bad, other = ask_while_held(
        model,
        shared,
        [
            {"waveforms": [tone(duration=1, hertz=300)]},
            {"waveforms": [np.full(16_000, np.nan, np.float32)]},
            {"waveforms": [tone(duration=1, hertz=400)]},
        ],
    )

    assert (good, other) == (["tone300"], ["tone400"])
    assert isinstance(bad, ZeroDivisionError)


def test_what_nobody_wants_any_more_is_not_computed() -> None:
    model = HeldModel()
    shared = SharedModel(model)

    wanted, unwanted = ask_while_held(
        model,
        shared,
        [
            {"waveforms": [tone(duration=1, hertz=300)]},
            {"waveforms": [tone(duration=2, hertz=400)], "is_cancelled": lambda: True},
        ],
    )

    assert wanted == ["tone300"]
    assert isinstance(unwanted, CancelledError)
    assert model.batches == [[0.5], [1.0]]


def test_closing_answers_what_was_asked_and_takes_no_more() -> None:
    model = HeldModel()
    shared = SharedModel(model)
    with ThreadPoolExecutor(4) as pool:
        # The lane holds the first before the others come: else it might take two at once, and two never wait.
        asked = [pool.submit(shared.transcribe_waveforms, [tone(duration=1)])]
        assert model.is_asked.wait(10)
        asked += [pool.submit(shared.transcribe_waveforms, [tone(duration=1)]) for _ in range(2)]
        while shared.num_waiting < 2:
            pass
        closing = threading.Thread(target=shared.close)
        closing.start()
        model.go.set()
        assert all(future.result() for future in asked)
        closing.join(10)

    with pytest.raises(CancelledError):
        shared.transcribe_waveforms([tone(duration=1)])
