"""Live audio over WebSockets, in both dialects; only the model is a fake."""

import asyncio
import base64
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import pytest
import websockets.exceptions
from websockets.sync.client import ClientConnection, connect

from fakes import tone
from live_server import ENERGY, Server, SlowModel, pcm16, tone_wav, tones
from tiny_audio.inference.streaming import stream_options
from tiny_audio.inference.transcriber import Transcriber


def blocks(data: bytes, size: int) -> Iterator[bytes]:
    for first in range(0, len(data), size):
        yield data[first : first + size]


@contextmanager
def open_stream(server: Server, query: str = "", **options: Any) -> Iterator[ClientConnection]:
    """A session of the plain dialect that is ready."""
    with connect(f"{server.ws_url}/v1/stream{query}", proxy=None, **options) as connection:
        assert receive(connection)["type"] == "ready"
        yield connection


def receive(connection: ClientConnection) -> dict[str, Any]:
    return json.loads(connection.recv(timeout=10))  # type: ignore[no-any-return]


def say(connection: ClientConnection, **message: Any) -> None:
    connection.send(json.dumps(message))


def rest(connection: ClientConnection) -> list[dict[str, Any]]:
    """All events until the session ends."""
    events = []
    with suppress(websockets.exceptions.ConnectionClosed):
        while True:
            events.append(receive(connection))
    return events


def test_finals_are_those_of_the_recording(server: Server) -> None:
    signal = tones(300, 500, 700, pause=1.5)
    expected = Transcriber(SlowModel(), vad=stream_options(ENERGY)).transcribe(
        np.frombuffer(pcm16(signal), "<i2"), sample_rate=16_000
    )

    with open_stream(server) as connection:
        for block in blocks(pcm16(signal), 3_200):
            connection.send(block)
        say(connection, type="close")
        events = rest(connection)

    finals = [event for event in events if event["type"] == "final"]
    assert [(row["id"], row["start"], row["end"], row["text"]) for row in finals] == [
        (segment.id, segment.start, segment.end, segment.text) for segment in expected.segments
    ]
    assert {event["type"] for event in events} == {"partial", "final", "done"}
    assert events[-1] == {"type": "done", "duration": 7.5}
    assert connection.close_code == 1000


def test_a_flush_gives_the_tail_and_times_go_on(server: Server) -> None:
    with open_stream(server) as connection:
        for hertz in (300, 500):
            connection.send(pcm16(tone(duration=1.5, hertz=hertz)))
            say(connection, type="flush")
        say(connection, type="close")
        finals = [event for event in rest(connection) if event["type"] == "final"]

    assert [(row["id"], row["start"], row["end"], row["text"]) for row in finals] == [
        (0, 0.0, 1.5, "tone300"),
        (1, 1.5, 3.0, "tone500"),
    ]


@pytest.mark.parametrize("size", [31, 777, 100_001])
def test_trap_45_odd_byte_counts(server: Server, size: int) -> None:
    data = pcm16(tone(duration=0.6, hertz=440))
    with open_stream(server) as connection:
        for block in blocks(data + b"\x01", size):
            connection.send(block)
        say(connection, type="close")
        events = rest(connection)

    assert [event["text"] for event in events if event["type"] == "final"] == ["tone440"]
    assert events[-1]["duration"] == 0.6


def test_trap_45_silence_forever_costs_nothing(server: Server) -> None:
    with open_stream(server) as connection:
        for _ in range(60):
            connection.send(bytes(32_000))
        say(connection, type="close")
        assert rest(connection) == [{"type": "done", "duration": 60.0}]
    assert server.model.batches == []


def test_trap_45_control_messages_as_binary(server: Server) -> None:
    with open_stream(server) as connection:
        connection.send(json.dumps({"type": "keepalive"}).encode())
        assert "send text frames" in receive(connection)["error"]["message"]
        say(connection, type="keepalive")
        say(connection, type="close")
        assert rest(connection)[-1] == {"type": "done", "duration": 0.0}


@pytest.mark.parametrize("text", ["", "hello", "[]", "{}", '{"type": 5}', '{"type": "dance"}', "[" * 100_000])
def test_trap_45_bad_messages_are_answered_and_the_session_goes_on(server: Server, text: str) -> None:
    for path in ("/v1/stream", "/v1/realtime"):
        with connect(f"{server.ws_url}{path}", proxy=None) as connection:
            receive(connection)
            connection.send(text)
            assert receive(connection)["type"] == "error"
            connection.send(text)
            assert receive(connection)["error"]["type"] == "invalid_request_error"


def test_trap_45_huge_frames_end_the_session(server: Server) -> None:
    with open_stream(server) as connection:
        with suppress(websockets.exceptions.ConnectionClosed):
            connection.send(bytes(17 << 20))
        assert rest(connection) == []
    assert connection.close_code in (1009, 1006)  # 1006: the connection broke while the client was sending


def test_trap_45_no_close_frame(server: Server) -> None:
    with open_stream(server) as connection:
        connection.send(pcm16(tone(duration=1.0)))
        connection.socket.shutdown(socket.SHUT_RDWR)

    server.wait_until(lambda: server.service.streams.num_inside == 0)


@pytest.mark.parametrize("rate", ["0", "100", "1e9", "-16000", "x", "", "9" * 1000])
def test_trap_45_wrong_rates(server: Server, rate: str) -> None:
    with connect(f"{server.ws_url}/v1/stream?sample_rate={rate}", proxy=None) as connection:
        (event,) = rest(connection)

    assert "expected 8000 to 48000 (Hz)" in event["error"]["message"]


def test_other_rates_are_heard(server: Server) -> None:
    with open_stream(server, "?sample_rate=44100") as connection:
        connection.send(pcm16(tone(duration=1.0, sample_rate=44_100)))
        say(connection, type="close")
        assert [row["text"] for row in rest(connection) if row["type"] == "final"] == ["tone440"]


def test_trap_41_health_answers_while_live_audio_waits_for_the_model(serve: Callable[..., Server]) -> None:
    model = SlowModel()
    model.go.clear()
    server = serve(model)
    with open_stream(server) as connection:
        connection.send(pcm16(tones(300, pause=1.0)))
        server.wait_until(lambda: bool(model.hotwords))
        started = time.monotonic()
        assert server.client.get("/health/live").status_code == 200
        assert time.monotonic() - started < 0.5
        model.go.set()
        say(connection, type="close")
        assert rest(connection)[-1]["type"] == "done"


def test_trap_43_a_client_that_sends_too_fast_is_slowed_down(serve: Callable[..., Server]) -> None:
    model = SlowModel()
    model.go.clear()
    server = serve(model)
    with open_stream(server, ping_interval=None) as connection:
        connection.socket.settimeout(0.5)
        sent = 0
        with suppress(OSError, websockets.exceptions.ConnectionClosed):
            while sent < 1 << 28:
                connection.send(pcm16(tones(300, pause=1.0)))
                sent += 64_000
        model.go.set()
        connection.socket.close()

    assert sent < 64 << 20
    server.wait_until(lambda: server.service.streams.num_inside == 0)


def test_there_are_no_more_sessions_than_allowed(serve: Callable[..., Server]) -> None:
    server = serve(max_streams=1)
    with open_stream(server):
        with connect(f"{server.ws_url}/v1/stream", proxy=None) as second:
            assert receive(second)["error"]["type"] == "rate_limit_error"
            with pytest.raises(websockets.exceptions.ConnectionClosed):
                second.recv(timeout=10)
        assert second.close_code == 1013
    server.wait_until(lambda: server.service.streams.num_inside == 0)
    with open_stream(server):
        pass


def test_who_says_nothing_is_sent_away_with_what_was_open(serve: Callable[..., Server]) -> None:
    with open_stream(serve(idle_timeout=0.3)) as connection:
        connection.send(pcm16(tone(duration=1.0)))
        events = rest(connection)

    assert [event["type"] for event in events][-2:] == ["final", "done"]
    assert connection.close_code == 1001


def test_at_the_end_of_the_server_sessions_get_their_text(server: Server) -> None:
    with open_stream(server) as connection:
        connection.send(pcm16(tone(duration=1.0)))
        assert receive(connection)["type"] == "partial"
        server.http.should_exit = True
        events = rest(connection)

    assert [event.get("text") for event in events] == ["tone440", None]
    assert connection.close_code == 1001


def test_a_key_is_asked_for_and_pages_of_other_sites_are_kept_out(serve: Callable[..., Server]) -> None:
    server = serve(api_key="secret", cors_origins=("https://good.example",))
    bearer = {"Authorization": "Bearer secret"}
    refusals: list[Any] = []

    def status(**options: Any) -> int:
        try:
            with open_stream(server, **options):
                return 101
        except websockets.exceptions.InvalidStatus as refusal:
            refusals.append(json.loads(refusal.response.body or b"{}"))
            return refusal.response.status_code

    assert status() == 401
    assert status(additional_headers={"Authorization": "Bearer guess"}) == 401
    assert status(additional_headers=bearer) == 101
    assert status(subprotocols=["realtime", "openai-insecure-api-key.secret"]) == 101
    assert status(additional_headers=bearer, origin="https://evil.example") == 403
    assert status(additional_headers=bearer, origin="https://good.example") == 101
    assert status(additional_headers=bearer, origin=server.url) == 101
    assert [refusal["error"]["code"] for refusal in refusals] == ["missing_api_key", "invalid_api_key", "origin"]


@contextmanager
def open_realtime(server: Server) -> Iterator[ClientConnection]:
    with connect(f"{server.ws_url}/v1/realtime?intent=transcription", proxy=None) as connection:
        created = receive(connection)
        assert created["type"] == "session.created"
        assert created["session"]["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24_000}
        yield connection


def append(connection: ClientConnection, waveform: np.ndarray) -> None:
    for block in blocks(pcm16(waveform), 9_999):
        say(connection, type="input_audio_buffer.append", audio=base64.b64encode(block).decode())


def until(connection: ClientConnection, kind: str) -> list[dict[str, Any]]:
    events = [receive(connection)]
    while events[-1]["type"] != kind:
        events.append(receive(connection))
    return events


COMPLETED = "conversation.item.input_audio_transcription.completed"


def test_realtime_turns_end_when_the_speaker_pauses(server: Server) -> None:
    signal = np.concatenate([tone(duration=2.0, hertz=440, sample_rate=24_000), np.zeros(24_000, np.float32)])
    with open_realtime(server) as connection:
        append(connection, signal)
        events = until(connection, COMPLETED)
        append(connection, tone(duration=1.0, hertz=600, sample_rate=24_000))
        say(connection, type="input_audio_buffer.commit")
        second = until(connection, COMPLETED)

    assert [event["type"].split(".", 1)[1] for event in events] == [
        "speech_started",
        "speech_stopped",
        "committed",
        "item.created",
        "item.added",
        "item.done",
        "item.input_audio_transcription.delta",
        "item.input_audio_transcription.completed",
    ]
    assert len({event["item_id"] for event in events if "item_id" in event}) == 1
    assert events[-1]["transcript"] == events[-2]["delta"] == "tone440"
    assert (events[0]["audio_start_ms"], second[-1]["transcript"]) == (0, "tone600")
    committed = next(event for event in second if event["type"] == "input_audio_buffer.committed")
    assert committed["previous_item_id"] == events[-1]["item_id"]


def test_realtime_without_turn_detection_the_client_commits(server: Server) -> None:
    with open_realtime(server) as connection:
        say(
            connection,
            type="session.update",
            session={"type": "transcription", "audio": {"input": {"turn_detection": None}}},
        )
        assert receive(connection)["session"]["audio"]["input"]["turn_detection"] is None
        pause = np.zeros(3 * 24_000, np.float32)
        append(
            connection,
            np.concatenate([tone(duration=1.0, hertz=h, sample_rate=24_000) if h else pause for h in (300, 0, 500)]),
        )
        say(connection, type="input_audio_buffer.commit")
        events = until(connection, COMPLETED)
        say(connection, type="input_audio_buffer.commit")
        empty = receive(connection)
        append(connection, tone(duration=1.0, hertz=700, sample_rate=24_000))
        say(connection, type="input_audio_buffer.clear")
        assert receive(connection)["type"] == "input_audio_buffer.cleared"
        append(connection, tone(duration=1.0, hertz=900, sample_rate=24_000))
        say(connection, type="input_audio_buffer.commit")
        last = until(connection, COMPLETED)

    assert events[0]["type"] == "input_audio_buffer.committed"
    assert (events[-1]["transcript"], events[-1]["usage"]["seconds"]) == ("tone300 tone500", 5.0)
    assert empty["error"]["code"] == "input_audio_buffer_commit_empty"
    assert last[-1]["transcript"] == "tone900"


def test_realtime_settings(server: Server) -> None:
    update = {"turn_detection": {"type": "server_vad", "silence_duration_ms": 900}, "input_audio_format": "pcm16"}
    update |= {"input_audio_transcription": {"model": "whisper-1", "prompt": "call Digium", "language": "en"}}
    with open_realtime(server) as connection:
        say(connection, type="transcription_session.update", session=update)
        updated = receive(connection)
        append(connection, tone(duration=1.0, sample_rate=24_000))
        say(connection, type="input_audio_buffer.commit")
        until(connection, COMPLETED)

    assert updated["type"] == "transcription_session.updated"
    settings = updated["session"]["audio"]["input"]
    assert settings["turn_detection"] == {
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 900,
    }
    assert settings["transcription"] == {"model": "whisper-1", "prompt": "call Digium", "language": "en"}
    assert ("call", "Digium") in server.model.hotwords


@pytest.mark.parametrize(
    "session",
    [
        None,
        [],
        {"type": "realtime"},
        {"audio": "x"},
        {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16_000}}}},
        {"audio": {"input": {"format": {"type": "audio/pcmu"}}}},
        {"audio": {"input": {"transcription": {"model": "gpt-7"}}}},
        {"audio": {"input": {"transcription": {"language": "de"}}}},
        {"audio": {"input": {"transcription": {"prompt": 5}}}},
        {"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}},
        {"audio": {"input": {"turn_detection": {"threshold": 2}}}},
        {"audio": {"input": {"turn_detection": {"threshold": "high"}}}},
        {"audio": {"input": {"turn_detection": {"silence_duration_ms": -1}}}},
        {"audio": {"input": {"turn_detection": {"silence_duration_ms": 1e400}}}},
    ],
)
def test_realtime_settings_that_cannot_be(server: Server, session: Any) -> None:
    with open_realtime(server) as connection:
        say(connection, type="session.update", event_id="mine", session=session)
        event = receive(connection)
        append(connection, tone(duration=1.0, sample_rate=24_000))
        say(connection, type="input_audio_buffer.commit")
        assert until(connection, COMPLETED)[-1]["transcript"] == "tone440"

    assert event["type"] == "error"
    assert event["error"]["event_id"] == "mine"


@pytest.mark.parametrize("turn_detection", [None, {"type": "server_vad"}])
def test_realtime_who_commits_silence_gets_an_empty_transcript(server: Server, turn_detection: Any) -> None:
    with open_realtime(server) as connection:
        session = {"type": "transcription", "audio": {"input": {"turn_detection": turn_detection}}}
        say(connection, type="session.update", session=session)
        append(connection, np.zeros(24_000, np.float32))
        say(connection, type="input_audio_buffer.commit")
        assert until(connection, COMPLETED)[-1]["transcript"] == ""


@pytest.mark.parametrize("audio", [None, 5, "", "AAA", "%%%%", "é", "AA AA"])
def test_trap_45_base64_errors(server: Server, audio: Any) -> None:
    with open_realtime(server) as connection:
        say(connection, type="input_audio_buffer.append", audio=audio)
        connection.send(b"\x00\x00")
        events = [receive(connection)] if audio == "" else [receive(connection), receive(connection)]

    assert [event["type"] for event in events] == ["error"] * len(events)


def test_the_official_realtime_client(server: Server) -> None:
    openai = pytest.importorskip("openai")
    signal = np.concatenate([tone(duration=2.0, hertz=440, sample_rate=24_000), np.zeros(24_000, np.float32)])

    async def talk() -> str:
        client = openai.AsyncOpenAI(
            api_key="none", base_url=f"{server.url}/v1", websocket_base_url=f"{server.ws_url}/v1"
        )
        async with client.realtime.connect(model="whisper-1", extra_query={"intent": "transcription"}) as connection:
            await connection.session.update(
                session={"type": "transcription", "audio": {"input": {"transcription": {"model": "whisper-1"}}}}
            )
            await connection.input_audio_buffer.append(audio=base64.b64encode(pcm16(signal)).decode())
            async for event in connection:
                assert event.type != "error"
                if event.type == COMPLETED:
                    return str(event.transcript)
        return ""

    assert asyncio.run(asyncio.wait_for(talk(), 20)) == "tone440"


def test_recordings_and_live_audio_share_the_model(server: Server) -> None:
    with open_stream(server) as connection:
        connection.send(pcm16(tone(duration=1.0, hertz=300)))
        assert server.post(tone_wav(500)).json()["text"] == "tone500"
        say(connection, type="close")
        assert rest(connection)[-2]["text"] == "tone300"
