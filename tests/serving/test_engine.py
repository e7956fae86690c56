import io
import threading
import time

import numpy as np
import pytest

from fakes import FakeSpeechModel, encode, tone
from live_server import ENERGY, SlowModel, tone_wav, tones, wav
from tiny_audio.errors import AudioDecodeError, AudioTooLongError
from tiny_audio.inference.results import Segment
from tiny_audio.inference.transcriber import Transcriber
from tiny_audio.serving.engine import Engine


def new_engine(model: FakeSpeechModel | None = None, **options: object) -> Engine:
    return Engine(Transcriber(model or FakeSpeechModel(), vad=ENERGY), **options)  # type: ignore[arg-type]


def test_many_recordings_at_once_get_the_transcripts_that_they_get_alone() -> None:
    rng = np.random.default_rng(0)
    recordings = [wav(tones(*(50.0 * rng.integers(4, 40, size=rng.integers(1, 6))))) for _ in range(40)]
    alone = Transcriber(FakeSpeechModel(), vad=ENERGY)
    model = FakeSpeechModel()
    engine = new_engine(model, num_lanes=2)

    futures = [engine.submit(recording) for recording in recordings]

    assert [future.result() for future in futures] == [alone.transcribe(recording) for recording in recordings]
    engine.close()


def test_segments_are_told_in_their_order() -> None:
    told: list[Segment] = []
    engine = new_engine(num_lanes=3)

    transcript = engine.submit(wav(tones(*range(200, 1000, 50))), on_segment=told.append).result()

    assert tuple(told) == transcript.segments
    assert len(told) == 16


def test_a_cancelled_recording_stops_and_is_let_go() -> None:
    model = SlowModel()
    model.go.clear()
    engine = new_engine(model)
    ended = threading.Event()
    future = engine.submit(wav(tones(*range(200, 2000, 50))), on_end=ended.set)
    while not model.hotwords:
        time.sleep(0.001)

    assert future.cancel()
    model.go.set()

    assert ended.wait(10)
    assert engine.submit(tone_wav(600)).result().text == "tone600"
    assert len(model.batches) == 2  # the one that had begun, and the new recording


def test_the_source_is_let_go_whatever_becomes_of_it() -> None:
    engine = new_engine()
    ended: list[str] = []

    engine.submit(tone_wav(), on_end=lambda: ended.append("good")).result()
    with pytest.raises(AudioDecodeError):
        engine.submit(b"no audio" * 100, on_end=lambda: ended.append("bad")).result()

    assert ended == ["good", "bad"]


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_U8"])
def test_too_long_by_its_header(subtype: str) -> None:
    engine = new_engine(max_duration=10.0)

    with pytest.raises(AudioTooLongError, match="the audio lasts 11 s by its header; at most 10 s"):
        engine.submit(wav(np.zeros(11 * 16_000), subtype=subtype)).result()


def test_a_small_file_that_unpacks_to_much_audio() -> None:
    """Trap 42."""
    engine = new_engine(max_duration=60.0)
    bomb = wav(np.zeros(61 * 48_000), 48_000, format="FLAC")
    fine = wav(np.zeros(59 * 48_000), 48_000, format="FLAC")

    assert len(bomb) < 20_000
    with pytest.raises(AudioTooLongError):
        engine.submit(bomb).result()
    assert engine.submit(fine).result().no_speech


def test_a_high_rate_may_last_shorter() -> None:
    engine = new_engine(max_duration=20.0)

    with pytest.raises(AudioTooLongError, match="at most 10 s"):
        engine.submit(wav(np.zeros(11 * 96_000), 96_000)).result()


def test_without_a_header_the_length_is_counted() -> None:
    """A stream of unknown length, as browsers and pipes write it."""
    data = encode(
        np.tile(tone(duration=1.0), 30),
        sample_rate=16_000,
        container="webm",
        codec="libopus",
        options={"live": "1"},
    )

    with pytest.raises(AudioTooLongError, match="the audio is too long"):
        new_engine(max_duration=10.0).submit(io.BytesIO(data)).result()


def test_live_audio_shares_the_model() -> None:
    engine = new_engine()

    with engine.stream(sample_rate=16_000) as stream:
        events = stream.push(tones(300, 500, pause=1.0))

    assert [event.segment.text for event in events if event.is_final] == ["tone300", "tone500"]
