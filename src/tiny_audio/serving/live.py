"""WebSockets: what every live session has in common, and the plain dialect `/v1/stream`.

    client                                        server
    binary frames of 16-bit samples, 16 kHz       {"type": "partial", "id", "start", "end", "text", "stable_text"}
    {"type": "flush"}: end what is open           {"type": "final", ..., "words"}
    {"type": "keepalive"}                         {"type": "error", "error": {...}}
    {"type": "close"}: flush and end              {"type": "done", "duration"}

A session hears and answers one message after the other, so a client that sends faster than the model hears is slowed
down by its own connection, and nothing piles up here.
"""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect

from tiny_audio.errors import RequestError, TinyAudioError
from tiny_audio.inference.streaming import StreamEvent
from tiny_audio.models.words import Word
from tiny_audio.serving.admission import Admission
from tiny_audio.serving.config import ServerConfig
from tiny_audio.serving.engine import Engine
from tiny_audio.serving.live_audio import LiveAudio
from tiny_audio.serving.middleware import KEY_PROTOCOL
from tiny_audio.serving.problems import as_request_error, error_body

MAX_MESSAGE_BYTES = 16 * 2**20
"""In one message; OpenAI takes 15 MiB of base64."""
_NORMAL, _GOING_AWAY, _TRY_AGAIN_LATER = 1000, 1001, 1013  # close codes of RFC 6455 and its registry
_MIN_RATE, _MAX_RATE = 8_000, 48_000


class LiveSession(ABC):
    """One WebSocket, from the handshake to its end."""

    def __init__(self, websocket: WebSocket, engine: Engine, config: ServerConfig, draining: asyncio.Event) -> None:
        self.websocket = websocket
        self.engine = engine
        self.config = config
        self._draining = draining

    @abstractmethod
    async def greet(self) -> None:
        """Say the first word."""

    @abstractmethod
    async def on_text(self, message: dict[str, Any]) -> bool:
        """Answer a message; False if it was the last."""

    @abstractmethod
    async def on_bytes(self, data: bytes) -> None:
        """Answer a binary message."""

    @abstractmethod
    async def finish(self) -> None:
        """Tell what is still open, before the session ends."""

    @abstractmethod
    async def complain(self, error: RequestError) -> None:
        """Tell an error."""

    async def run(self, admission: Admission) -> None:
        """Serve until the client leaves, is silent for too long, or the server shuts down."""
        protocols = [name for name in self.websocket.scope["subprotocols"] if not name.startswith(KEY_PROTOCOL)]
        await self.websocket.accept(subprotocol=protocols[0] if protocols else None)
        try:
            with admission.place():
                await self._serve()
        except RequestError as error:  # no place
            await self.complain(error)
            await self.websocket.close(_TRY_AGAIN_LATER)
        except WebSocketDisconnect:
            pass

    async def send(self, row: dict[str, Any]) -> None:
        """Send one event."""
        await self.websocket.send_text(json.dumps(row, ensure_ascii=False, allow_nan=False))

    async def _serve(self) -> None:
        await self.greet()
        while True:
            message = await self._next_message()
            if message is None:
                await self.finish()
                await self.websocket.close(_GOING_AWAY)
                return
            try:
                if not await self._answer(message):
                    await self.finish()
                    await self.websocket.close(_NORMAL)
                    return
            except TinyAudioError as error:
                await self.complain(as_request_error(error))

    async def _answer(self, message: dict[str, Any]) -> bool:
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", _NORMAL))
        if (text := message.get("text")) is not None:
            return await self.on_text(_json_object(text))
        await self.on_bytes(message["bytes"])
        return True

    async def _next_message(self) -> dict[str, Any] | None:
        """What the client sends; None if it is silent for too long or the server shuts down."""
        receiving = asyncio.ensure_future(self.websocket.receive())
        draining = asyncio.ensure_future(self._draining.wait())
        try:
            await asyncio.wait(
                {receiving, draining}, timeout=self.config.idle_timeout, return_when=asyncio.FIRST_COMPLETED
            )
            return dict(receiving.result()) if receiving.done() else None
        finally:
            receiving.cancel()
            draining.cancel()


def _json_object(text: str) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict) or not isinstance(row.get("type"), str):
        raise RequestError(400, 'found no JSON object with a "type"', code="invalid_json")
    return row


async def heard(work: Callable[[], list[StreamEvent]]) -> list[StreamEvent]:
    """The events of a call that may keep the model busy; the server goes on meanwhile."""
    return await asyncio.to_thread(work)


class PlainSession(LiveSession):
    """The dialect of `/v1/stream`."""

    _audio: LiveAudio

    async def greet(self) -> None:
        """Say how the samples must come."""
        rate_text = self.websocket.query_params.get("sample_rate", "16000")
        rate = int(rate_text) if rate_text.isdecimal() and len(rate_text) < 6 else 0
        if not _MIN_RATE <= rate <= _MAX_RATE:
            await self.complain(
                RequestError(400, f"sample_rate: found {rate_text[:20]!r}; expected {_MIN_RATE} to {_MAX_RATE} (Hz)")
            )
            await self.websocket.close(_NORMAL)
            raise WebSocketDisconnect
        self._audio = LiveAudio(lambda: self.engine.stream(sample_rate=rate), rate)
        await self.send({"type": "ready", "encoding": "pcm_s16le", "sample_rate": rate})

    async def on_bytes(self, data: bytes) -> None:
        """Hear samples."""
        if data.lstrip()[:1] == b"{" and b'"type"' in data[:200]:
            raise RequestError(400, "found JSON in a binary frame, where samples are expected; send text frames")
        await self._tell(await heard(lambda: self._audio.push(data)))

    async def on_text(self, message: dict[str, Any]) -> bool:
        """Flush, keep alive or end."""
        match message["type"]:
            case "flush":
                await self._tell(await heard(self._audio.flush))
            case "close":
                return False
            case "keepalive":
                pass
            case other:
                raise RequestError(400, f"type: found {other[:50]!r}; expected flush, keepalive or close")
        return True

    async def finish(self) -> None:
        """The text of what is still open."""
        await self._tell(await heard(self._audio.flush))
        await self.send({"type": "done", "duration": round(self._audio.duration, 3)})

    async def complain(self, error: RequestError) -> None:
        """As an event."""
        await self.send({"type": "error", **error_body(error)})

    async def _tell(self, events: Iterable[StreamEvent]) -> None:
        for event in events:
            await self.send(_to_row(event))


def _to_row(event: StreamEvent) -> dict[str, Any]:
    segment = event.segment
    row: dict[str, Any] = {"type": "final" if event.is_final else "partial", "id": segment.id}
    row |= {"start": segment.start, "end": segment.end, "text": segment.text}
    if event.is_final:
        return row | {"words": [_word_row(word) for word in segment.words], "latency": round(event.latency, 3)}
    return row | {"stable_text": event.stable_text}


def _word_row(word: Word) -> dict[str, Any]:
    return {"word": word.text, "start": word.start, "end": word.end}
