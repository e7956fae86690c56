"""The official client runs against the server when its base URL is changed, and gets the errors that it knows."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from fakes import encode, tone
from live_server import ENERGY, Server, SlowModel, tone_wav, tones, wav
from tiny_audio.inference.transcriber import Transcriber
from tiny_audio.inference.writers import Style, to_srt, to_vtt
from tiny_audio.models.words import Word

openai = pytest.importorskip("openai")


def client_of(server: Server, **options: Any) -> Any:
    return openai.OpenAI(base_url=f"{server.url}/v1", **({"api_key": "cant-be-empty", "max_retries": 0} | options))


@pytest.fixture
def client(server: Server) -> Any:
    return client_of(server)


def test_json_is_the_default(client: Any) -> None:
    answer = client.audio.transcriptions.create(model="whisper-1", file=("a.wav", tone_wav(440)))

    assert answer.text == "tone440"
    assert (answer.usage.type, answer.usage.seconds) == ("duration", 1.0)


@pytest.mark.parametrize("response_format", ["text", "srt", "vtt"])
def test_texts_and_subtitles_are_those_of_the_command(client: Any, response_format: str) -> None:
    recording = wav(tones(300, 500, 700))
    transcript = Transcriber(SlowModel(), vad=ENERGY).transcribe(recording)
    expected = {"text": transcript.text + "\n", "srt": to_srt(transcript, Style()), "vtt": to_vtt(transcript, Style())}

    answer = client.audio.transcriptions.create(
        model="whisper-1", file=("a.wav", recording), response_format=response_format
    )

    assert answer == expected[response_format]
    assert answer.count("tone") == 3


class WordModel(SlowModel):
    """Knows when its word is said."""

    def _hear(self, waveform: np.ndarray) -> Any:
        hypothesis = super()._hear(waveform)
        object.__setattr__(hypothesis, "words", (Word(text="tone", start=0.1, end=0.9, confidence=1.0),))
        return hypothesis


@pytest.mark.parametrize("granularities", [None, ["segment"], ["word"], ["word", "segment"]])
def test_verbose_json(serve: Callable[..., Server], granularities: list[str] | None) -> None:
    client = client_of(serve(WordModel()))
    options = {"timestamp_granularities": granularities} if granularities else {}

    answer = client.audio.transcriptions.create(
        model="whisper-1", file=("a.wav", wav(tones(300, 500))), response_format="verbose_json", **options
    )

    assert (answer.text, answer.language, answer.duration) == ("tone300 tone500", "english", 7.0)
    assert [segment.text.strip() for segment in answer.segments] == ["tone300", "tone500"]
    assert answer.segments[0].end <= answer.segments[1].start
    if "word" in (granularities or []):
        assert [word.word for word in answer.words] == ["tone", "tone"]
        # Two seconds behind the first tone, which ends at 1.024, the second chunk begins, earlier than its segment.
        assert answer.words[1].start == pytest.approx(3.024 + 0.1)
        assert answer.segments[1].start <= answer.words[1].start < answer.words[1].end <= answer.segments[1].end
    else:
        assert answer.words is None


def test_the_bracket_trap(server: Server) -> None:
    """The field is literally `timestamp_granularities[]`; people send it without brackets too."""
    for name in ("timestamp_granularities[]", "timestamp_granularities"):
        answer = server.post(tone_wav(), response_format="verbose_json", **{name: ["word", "segment"]}).json()
        assert "words" in answer


def test_a_stream_of_events_whose_deltas_are_the_text(client: Any) -> None:
    events = list(
        client.audio.transcriptions.create(model="whisper-1", file=("a.wav", wav(tones(300, 500, 700))), stream=True)
    )

    assert [event.type for event in events] == ["transcript.text.delta"] * 3 + ["transcript.text.done"]
    assert "".join(event.delta for event in events[:-1]) == events[-1].text == "tone300 tone500 tone700"


def test_events_come_while_the_rest_is_being_heard(serve: Callable[..., Server]) -> None:
    class HeldAtTheEnd(SlowModel):
        def _hear(self, waveform: np.ndarray) -> Any:
            hypothesis = super()._hear(waveform)
            if "tone950" in hypothesis.text:
                assert said.wait(10)
            return hypothesis

    said = threading.Event()
    stream = client_of(serve(HeldAtTheEnd())).audio.transcriptions.create(
        model="whisper-1", file=("a.wav", wav(tones(*range(200, 1000, 50)))), stream=True
    )

    deltas = [next(stream).delta for _ in range(10)]
    said.set()

    assert deltas[-1] == " tone650"
    assert list(stream)[-1].text.endswith("tone950")


def test_an_error_behind_the_first_words_is_an_event(serve: Callable[..., Server]) -> None:
    class FailsAtTheEnd(SlowModel):
        def _hear(self, waveform: np.ndarray) -> Any:
            hypothesis = super()._hear(waveform)
            if "tone950" in hypothesis.text:
                raise RuntimeError("/secret/path is gone")
            return hypothesis

    stream = client_of(serve(FailsAtTheEnd())).audio.transcriptions.create(
        model="whisper-1", file=("a.wav", wav(tones(*range(200, 1000, 50)))), stream=True
    )

    assert next(stream).delta == "tone200"
    with pytest.raises(openai.APIError, match="the server failed; its log says why"):
        list(stream)


@pytest.mark.parametrize(
    ("container", "codec"), [("mp4", "aac"), ("webm", "libopus"), ("ogg", "libopus"), ("mp3", "libmp3lame")]
)
def test_usual_containers(client: Any, container: str, codec: str) -> None:
    data = encode(tone(duration=2.0, sample_rate=48_000), sample_rate=48_000, container=container, codec=codec)

    answer = client.audio.transcriptions.create(model="whisper-1", file=("whatever.bin", data))

    assert answer.text == "tone440"


def test_hotwords_and_prompt_reach_the_model(serve: Callable[..., Server]) -> None:
    model = SlowModel()
    client = client_of(serve(model))

    client.audio.transcriptions.create(
        model="whisper-1",
        file=("a.wav", tone_wav()),
        language="en",
        temperature=0.0,
        prompt="a call to Digium",
        extra_body={"hotwords": "Asterisk, SIP trunk"},
    )

    assert model.hotwords == [("Asterisk", "SIP trunk", "call", "Digium")]


def test_a_model_without_hotwords_does_not_mind_a_prompt(serve: Callable[..., Server]) -> None:
    class Plain(SlowModel):
        def transcribe_waveforms(self, waveforms: Any) -> Any:  # type: ignore[override]
            return super().transcribe_waveforms(waveforms)

    client = client_of(serve(Plain()))

    answer = client.audio.transcriptions.create(model="whisper-1", file=("a.wav", tone_wav()), prompt="hello there")
    assert answer.text == "tone440"
    with pytest.raises(openai.BadRequestError, match="cannot be told hotwords"):
        client.audio.transcriptions.create(
            model="whisper-1", file=("a.wav", tone_wav()), extra_body={"hotwords": "Asterisk"}
        )


def test_models(client: Any) -> None:
    assert [model.id for model in client.models.list()] == ["tiny-audio-base", "whisper-1"]
    assert client.models.retrieve("tiny-audio-base").owned_by == "tiny-audio"
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client.models.retrieve("gpt-7")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": "diarized_json"}, "response_format"),
        ({"language": "de"}, "language"),
        ({"temperature": 7.0}, "temperature"),
        ({"timestamp_granularities": ["sentence"], "response_format": "verbose_json"}, "timestamp_granularities[]"),
        ({"stream": True, "response_format": "srt"}, "stream"),
    ],
)
def test_400(client: Any, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.audio.transcriptions.create(model="whisper-1", file=("a.wav", tone_wav()), **fields)

    assert (caught.value.param, caught.value.code) == (param, "invalid_value")


def test_400_for_translations(client: Any) -> None:
    with pytest.raises(openai.BadRequestError, match="does not translate"):
        client.audio.translations.create(model="whisper-1", file=("a.wav", tone_wav()))


def test_401(serve: Callable[..., Server]) -> None:
    server = serve(api_key="secret")

    for key in ("wrong", "secretly", "s"):
        with pytest.raises(openai.AuthenticationError) as caught:
            client_of(server, api_key=key).models.list()
        assert caught.value.code == "invalid_api_key"
    for header in (b"Bearer s\xe9cret", b"secret", b"Bearer", b""):
        assert server.client.get("/v1/models", headers={"Authorization": header}).status_code == 401
    assert client_of(server, api_key="secret").models.list().data
    assert server.client.get("/v1/models").json()["error"]["code"] == "missing_api_key"
    assert server.client.get("/metrics").status_code == 401
    assert server.client.get("/health/live").status_code == server.client.get("/openapi.json").status_code == 200


def test_404_for_an_unknown_model(client: Any) -> None:
    with pytest.raises(openai.NotFoundError, match="there are: tiny-audio-base, whisper-1"):
        client.audio.transcriptions.create(model="whisper-large-v9", file=("a.wav", tone_wav()))


def test_413_reaches_a_client_that_is_still_sending(serve: Callable[..., Server]) -> None:
    client = client_of(serve(max_upload_mb=0.5))

    with pytest.raises(openai.APIStatusError) as caught:
        client.audio.transcriptions.create(model="whisper-1", file=("a.wav", bytes(30 << 20)))

    assert (caught.value.status_code, caught.value.code) == (413, "file_too_large")


def test_413_for_audio_that_is_too_long(serve: Callable[..., Server]) -> None:
    client = client_of(serve(engine_options={"max_duration": 5.0}))

    with pytest.raises(openai.APIStatusError) as caught:
        client.audio.transcriptions.create(model="whisper-1", file=("a.wav", tone_wav(duration=6)))

    assert (caught.value.status_code, caught.value.code) == (413, "audio_too_long")


def test_415_says_nothing_about_the_server(client: Any) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.audio.transcriptions.create(model="whisper-1", file=("talk.wav", b"these are words, not sounds" * 50))

    assert caught.value.status_code == 415
    assert "cannot decode 'the recording': no audio format recognised in it" in caught.value.message
    assert "/" not in caught.value.body["message"]


def test_429_when_the_queue_is_full(serve: Callable[..., Server]) -> None:
    model = SlowModel()
    model.go.clear()
    server = serve(model, max_requests=1)
    client = client_of(server)

    def ask() -> str:
        return str(client.audio.transcriptions.create(model="whisper-1", file=("a.wav", tone_wav())).text)

    with ThreadPoolExecutor() as pool:
        first = pool.submit(ask)
        server.wait_until(lambda: bool(model.hotwords))
        with pytest.raises(openai.RateLimitError) as caught:
            ask()
        model.go.set()
        assert first.result() == "tone440"
    assert caught.value.response.headers["retry-after"] == "2"
    assert ask() == "tone440"


def test_503_while_shutting_down(server: Server) -> None:
    server.service.drain()

    with pytest.raises(openai.InternalServerError) as caught:
        client_of(server).audio.transcriptions.create(model="whisper-1", file=("a.wav", tone_wav()))

    assert caught.value.status_code == 503
    assert caught.value.response.headers["retry-after"] == "10"
    assert server.client.get("/health/ready").status_code == 503
    assert server.client.get("/health/live").status_code == 200


def test_503_when_it_takes_too_long(serve: Callable[..., Server]) -> None:
    model = SlowModel()
    model.go.clear()
    server = serve(model, request_timeout=0.3)

    with pytest.raises(openai.InternalServerError, match="took too long"):
        client_of(server, max_retries=3).audio.transcriptions.create(model="whisper-1", file=("a.wav", tone_wav()))
    model.go.set()
    server.wait_until(lambda: server.service.requests.num_inside == 0)
    assert len(model.hotwords) == 1  # the client was told not to try again
