"""`/v1/realtime`: transcription sessions of OpenAI's Realtime API, in its present words and in those of its beta.

With `server_vad`, the server ends a turn when the speaker pauses, or the client when it commits. With `turn_detection`
null only the client does. Each turn becomes an item. Its transcript comes as one delta and then complete: deltas cannot
be taken back, and guesses must be.
"""

import base64
import binascii
import uuid
from collections.abc import Iterable
from typing import Any

from tiny_audio.errors import RequestError
from tiny_audio.inference.streaming import StreamEvent, TranscriptionStream
from tiny_audio.serving.live import LiveSession, heard
from tiny_audio.serving.live_audio import LiveAudio
from tiny_audio.serving.realtime_settings import PCM, SAMPLE_RATE, SERVER_VAD, Settings, read_settings
from tiny_audio.text.expected_words import expected_words
from tiny_audio.types import Seconds

_MIN_COMMIT: Seconds = 0.1


class RealtimeSession(LiveSession):
    """One session."""

    _audio: LiveAudio

    async def greet(self) -> None:
        """Tell the session that there is."""
        self._id = _new_id("sess")
        self._last_item: str | None = None
        self._open_item: tuple[int, str] | None = None  # segment and item of speech that goes on
        self._event_id: str | None = None  # of the message that is being answered
        self._texts: list[str] = []  # since the last commit, without VAD
        self._turn_start = 0.0
        self._settings = Settings(model=self.config.model, turn_detection=SERVER_VAD)
        self._audio = LiveAudio(self._open_stream, SAMPLE_RATE)
        await self._say("session.created", session=self._describe())

    async def on_bytes(self, data: bytes) -> None:
        """There are none in this protocol."""
        raise RequestError(400, "found a binary frame; send audio as base64 in input_audio_buffer.append")

    async def on_text(self, message: dict[str, Any]) -> bool:
        """Answer one event of the client."""
        event_id = message.get("event_id")
        self._event_id = event_id[:512] if isinstance(event_id, str) else None
        match message["type"]:
            case "session.update" | "transcription_session.update" as kind:
                await self._update(message.get("session"), is_beta=kind.startswith("transcription_"))
            case "input_audio_buffer.append":
                data = _decode(message.get("audio"))
                await self._tell(await heard(lambda: self._audio.push(data)))
            case "input_audio_buffer.commit":
                await self._commit()
            case "input_audio_buffer.clear":
                self._clear()
                await self._say("input_audio_buffer.cleared")
            case other:
                raise RequestError(400, f"this server has no event '{other[:50]}'", code="unknown_event", param="type")
        return True

    async def finish(self) -> None:
        """The item of what is still open."""
        if self._settings.turn_detection:
            await self._tell(await heard(self._audio.flush))
        elif self._has_enough:
            await self._commit()

    async def complain(self, error: RequestError) -> None:
        """As an event."""
        kind = "server_error" if error.status >= 500 else "invalid_request_error"
        details = {"type": kind, "code": error.code, "message": str(error), "param": error.param}
        await self._say("error", error=details | {"event_id": getattr(self, "_event_id", None)})

    async def _say(self, kind: str, **fields: Any) -> None:
        await self.send({"type": kind, "event_id": _new_id("event"), **fields})

    def _open_stream(self) -> TranscriptionStream:
        settings = self._settings
        return self.engine.stream(
            sample_rate=SAMPLE_RATE,
            vad=settings.vad_options(self.engine.vad),
            hotwords=expected_words("", settings.prompt) if self.engine.takes_hotwords else (),
            partial_interval=1.0 if settings.turn_detection else None,
        )

    async def _update(self, session: Any, *, is_beta: bool) -> None:
        settings = read_settings(session, self._settings, self.config.model_names)
        settings.vad_options(self.engine.vad)  # or an error, before anything is changed
        if settings != self._settings:
            if self._audio.has_audio:  # what was said before is heard as it was agreed
                await self.finish()
            self._settings = settings
            self._clear()
        await self._say("transcription_session.updated" if is_beta else "session.updated", session=self._describe())

    def _describe(self) -> dict[str, Any]:
        settings = self._settings
        transcription = {"model": settings.model, "language": "en", "prompt": settings.prompt}
        audio = {"format": PCM, "transcription": transcription, "turn_detection": settings.turn_detection}
        return {
            "id": self._id,
            "object": "realtime.transcription_session",
            "type": "transcription",
            "audio": {"input": audio | {"noise_reduction": None}},
        }

    def _clear(self) -> None:
        self._audio.clear()
        self._texts.clear()
        self._open_item = None
        self._turn_start = self._audio.duration

    @property
    def _has_enough(self) -> bool:
        return self._audio.duration - self._turn_start >= _MIN_COMMIT

    async def _commit(self) -> None:
        if not self._has_enough:
            raise RequestError(
                400, "the buffer holds less than 0.1 s of audio to commit", code="input_audio_buffer_commit_empty"
            )
        started, self._turn_start = self._turn_start, self._audio.duration
        events = await heard(self._audio.flush)
        if self._settings.turn_detection and any(self._is_turn(event) for event in events):
            await self._tell(events)
            return
        # Who commits waits for a transcript, be it empty.
        text = " ".join(text for text in (*self._texts, *(event.segment.text for event in events)) if text)
        self._texts.clear()
        self._open_item = None
        await self._item(_new_id("item"), text, self._turn_start - started)

    def _is_turn(self, event: StreamEvent) -> bool:
        """Whether it ends something that was said, and not a noise that nobody was told of."""
        return event.is_final and bool(event.segment.text or self._open_item)

    async def _tell(self, events: Iterable[StreamEvent]) -> None:
        """Turns that the server sees; without VAD only the finished texts are kept for the commit."""
        for event in events:
            segment = event.segment
            if not self._settings.turn_detection:
                self._texts += [segment.text] if event.is_final else []
                continue
            if event.is_final and not self._is_turn(event):
                continue
            if self._open_item is None or self._open_item[0] != segment.id:
                self._open_item = (segment.id, _new_id("item"))
                await self._say(
                    "input_audio_buffer.speech_started",
                    audio_start_ms=round(1000 * segment.start),
                    item_id=self._open_item[1],
                )
            if event.is_final:
                item_id = self._open_item[1]
                self._open_item = None
                self._turn_start = segment.end
                ended = {"audio_end_ms": round(1000 * segment.end), "item_id": item_id}
                await self._say("input_audio_buffer.speech_stopped", **ended)
                await self._item(item_id, segment.text, segment.end - segment.start)

    async def _item(self, item_id: str, text: str, duration: float) -> None:
        previous, self._last_item = self._last_item, item_id
        content = {"type": "input_audio", "transcript": None}
        item = {"id": item_id, "object": "realtime.item", "type": "message", "status": "completed", "role": "user"}
        await self._say("input_audio_buffer.committed", previous_item_id=previous, item_id=item_id)
        for kind in ("conversation.item.created", "conversation.item.added", "conversation.item.done"):
            await self._say(kind, previous_item_id=previous, item=item | {"content": [content]})
        place = {"item_id": item_id, "content_index": 0}
        kind = "conversation.item.input_audio_transcription"
        if text:
            await self._say(f"{kind}.delta", **place, delta=text)
        usage = {"type": "duration", "seconds": round(duration, 3)}
        await self._say(f"{kind}.completed", **place, transcript=text, usage=usage)


def _new_id(kind: str) -> str:
    return f"{kind}_{uuid.uuid4().hex[:20]}"


def _decode(audio: Any) -> bytes:
    if not isinstance(audio, str):
        raise RequestError(400, "found no base64 text in 'audio'", code="invalid_value", param="audio")
    try:
        return base64.b64decode(audio, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(400, f"audio is not base64: {error}", code="invalid_value", param="audio") from error
