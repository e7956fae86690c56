"""The shipped model behind the server: what many get at once is what each gets alone."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import soundfile

import tiny_audio
from live_server import Server, wav

CLIP = Path(__file__).resolve().parents[2] / "examples" / "LJ001-0009.flac"


def test_answers_of_a_busy_server_are_those_of_the_recording_alone(serve: Callable[..., Server]) -> None:
    samples, rate = soundfile.read(CLIP, dtype="float32")
    recordings = [wav(samples[: round(length * rate)], rate) for length in (1.2, 2.0, 2.7, 3.5)]
    alone = tiny_audio.load_model(word_timestamps=True)
    expected = [alone.transcribe(recording) for recording in recordings]
    server = serve(alone.model, engine_options={"num_lanes": 2})

    with ThreadPoolExecutor() as pool:
        fields = {"response_format": "verbose_json", "timestamp_granularities[]": "word"}
        answers = list(pool.map(lambda recording: server.post(recording, **fields).json(), recordings * 2))

    for answer, transcript in zip(answers, expected * 2, strict=True):
        assert answer["text"] == transcript.text != ""
        assert [(row["word"], row["start"], row["end"]) for row in answer["words"]] == [
            (word.text, word.start, word.end) for word in transcript.words
        ]
    assert len({answer["text"] for answer in answers}) == 4
