import numpy as np
import pytest

from fakes import FakeSpeechModel, tone
from tiny_audio.audio.vad import VadOptions
from tiny_audio.errors import AudioError
from tiny_audio.inference.streaming import StreamEvent, TranscriptionStream, stream_options
from tiny_audio.inference.transcriber import Transcriber

RATE = 16_000
ENERGY = VadOptions(kind="energy")


def conversation(seed: int, *, sample_rate: int = RATE) -> np.ndarray:
    """Tones of different pitch and length with pauses between."""
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(8):
        parts.append(tone(duration=rng.uniform(0.3, 6), hertz=50 * rng.integers(4, 30), sample_rate=sample_rate))
        parts.append(np.zeros(round(rng.uniform(0.1, 3.0) * sample_rate), np.float32))
    return np.concatenate(parts)


def in_blocks(waveform: np.ndarray, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    borders = np.cumsum(rng.integers(1, rng.choice([100, 3_000, 60_000]), size=len(waveform)))
    return np.split(waveform, borders[borders < len(waveform)])


def new_stream(transcriber: Transcriber | None = None, **options: object) -> TranscriptionStream:
    return (transcriber or Transcriber(FakeSpeechModel(), vad=ENERGY)).stream(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(8))
def test_finals_are_those_of_the_whole_file_whatever_the_sizes_of_the_blocks(seed: int) -> None:
    waveform = conversation(seed)
    vad = stream_options(ENERGY)
    expected = Transcriber(FakeSpeechModel(), vad=vad).transcribe(waveform, sample_rate=RATE)

    with new_stream() as stream:
        for block in in_blocks(waveform, seed):
            stream.push(block)

    assert stream.transcript == expected
    assert len(expected.segments) > 3


@pytest.mark.parametrize("sample_rate", [8_000, 24_000, 44_100, 48_000])
def test_so_they_are_at_any_rate(sample_rate: int) -> None:
    waveform = conversation(1, sample_rate=sample_rate)
    expected = Transcriber(FakeSpeechModel(), vad=stream_options(ENERGY)).transcribe(waveform, sample_rate=sample_rate)

    with new_stream(sample_rate=sample_rate, partial_interval=None) as stream:
        for block in in_blocks(waveform, 1):
            stream.push(block)

    assert stream.transcript == expected


def test_every_event_is_returned_and_told_and_guesses_come_before_their_final() -> None:
    told: list[StreamEvent] = []
    stream = new_stream(on_event=told.append)

    returned = [event for block in in_blocks(conversation(3), 0) for event in stream.push(block)]
    returned += stream.close()

    assert returned == told
    finals = [event for event in told if event.is_final]
    assert [event.segment for event in finals] == list(stream.transcript.segments)
    assert [event.segment.id for event in finals] == list(range(len(finals)))
    ids = [event.segment.id for event in told]
    assert ids == sorted(ids)
    assert len(finals) < len(told)


def test_guesses_tell_which_words_are_stable() -> None:
    class Unsure(FakeSpeechModel):
        """Adds a word a second, and changes its mind about the last one."""

        def _hear(self, waveform: np.ndarray) -> object:
            from fakes import FakeHypothesis

            count = len(waveform) // RATE
            return FakeHypothesis(text=" ".join([*(f"w{n}" for n in range(count)), f"maybe{count}"]), draft="")

    stream = new_stream(Transcriber(Unsure(), vad=ENERGY))  # type: ignore[arg-type]

    events = [event for block in np.split(tone(duration=5.0), 50) for event in stream.push(block)]

    guesses = [event.segment.text for event in events]
    assert len(events) >= 4
    for before, event in zip(guesses, events[1:], strict=False):
        assert before.startswith(event.stable_text)
        assert event.segment.text.startswith(event.stable_text)
    assert events[-1].stable_text.startswith("w0 w1 w2")


def test_text_is_final_soon_after_the_speaker_has_paused() -> None:
    stream = new_stream()
    stream.push(np.zeros(RATE, np.float32))
    stream.push(tone(duration=2.0))

    silence = np.zeros(RATE // 10, np.float32)
    waited = next(n for n in range(1, 20) if any(event.is_final for event in stream.push(silence)))

    assert waited <= 6  # tenths of a second


def test_latency_is_the_pause_and_the_work() -> None:
    (event,) = [
        event
        for event in new_stream().push(np.concatenate([tone(duration=2.0), np.zeros(RATE, np.float32)]))
        if event.is_final
    ]

    assert 0.5 <= event.latency < 1.0


def test_closing_gives_the_text_of_what_is_open_once() -> None:
    stream = new_stream()
    stream.push(tone(duration=1.0))

    (event,) = stream.close()

    assert (event.is_final, event.segment.text, event.segment.end) == (True, "tone440", 1.0)
    assert stream.close() == []
    with pytest.raises(AudioError, match="the stream is closed"):
        stream.push(np.zeros(10, np.float32))


def test_after_an_error_nothing_more_is_recognised() -> None:
    model = FakeSpeechModel()

    def fail() -> None:
        with new_stream(Transcriber(model, vad=ENERGY), partial_interval=None) as stream:
            stream.push(tone(duration=1.0))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert model.batches == []


@pytest.mark.parametrize("dtype", ["int16", "float32", "float64"])
def test_samples_of_usual_types(dtype: str) -> None:
    scale = 2**15 if dtype == "int16" else 1
    with new_stream() as stream:
        stream.push((tone(duration=1.0) * scale).astype(dtype))

    assert stream.transcript.text == "tone440"


def test_bad_samples_do_not_end_a_stream() -> None:
    samples = 3 * tone(duration=1.0)
    samples[5:9] = np.nan, np.inf, -np.inf, 1e30

    with new_stream() as stream:
        stream.push(np.zeros(0, np.float32))
        stream.push(samples)

    assert stream.transcript.duration == 1.0
    with pytest.raises(AudioError, match=r"shape \(2, 4\); expected \(n,\), mono"):
        new_stream().push(np.zeros((2, 4)))
    with pytest.raises(AudioError, match="sample rate of 0 Hz"):
        new_stream(sample_rate=0)


def test_silence_for_ever_costs_nothing() -> None:
    model = FakeSpeechModel()
    stream = new_stream(Transcriber(model, vad=ENERGY))

    for _ in range(600):
        assert stream.push(np.zeros(RATE, np.float32)) == []

    assert model.batches == []
    assert stream.close() == []
    assert stream.transcript.no_speech
