"""`POST /v1/audio/transcriptions`: a recording in, its transcript out, whole or as a stream of events."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack, suppress
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.requests import ClientDisconnect

from tiny_audio.errors import RequestError
from tiny_audio.inference.results import Segment, Transcript
from tiny_audio.inference.writers import Style, to_json, to_srt, to_vtt
from tiny_audio.serving.admission import Admission
from tiny_audio.serving.config import ServerConfig
from tiny_audio.serving.engine import Engine
from tiny_audio.serving.metrics import Metrics
from tiny_audio.serving.options import FORM_SCHEMA, RequestOptions
from tiny_audio.serving.problems import SCHEMA, as_request_error, error_body
from tiny_audio.serving.uploads import Recording, read_form, recording_of
from tiny_audio.types import Seconds

_CLIENT_LEFT = 499  # nobody reads it but the metrics
_ERRORS = {400: "bad request", 401: "wrong key", 404: "no such model", 408: "too slow", 413: "too large"}
_ERRORS |= {415: "not audio", 429: "busy", 503: "shutting down, or out of time"}
_Result = TypeVar("_Result")


def transcription_routes(engine: Engine, config: ServerConfig, admission: Admission, metrics: Metrics) -> APIRouter:
    """The routes for recordings."""
    router = APIRouter()

    @router.post("/v1/audio/transcriptions", response_model=None, openapi_extra=_describe())
    async def transcribe(request: Request) -> Response:
        """The text of a recording, as json, text, srt, vtt or verbose_json, or as server-sent events."""
        try:
            return await answer(request)
        except ClientDisconnect:
            return Response(status_code=_CLIENT_LEFT)

    async def answer(request: Request) -> Response:
        with ExitStack() as stack:
            stack.enter_context(admission.place())
            form = await read_form(request, max_file_bytes=config.max_file_bytes, timeout=config.upload_timeout)
            for _, part in form.multi_items():
                if not isinstance(part, str):
                    stack.callback(part.file.close)
            options = RequestOptions.from_form(
                form, model_names=config.model_names, takes_hotwords=engine.takes_hotwords
            )
            recording = Recording(recording_of(form, config.max_file_bytes))
            # From here on the place and the file belong to the engine, which may still need them when we do not.
            task = _Task(
                engine, recording, options, metrics, timeout=config.request_timeout, on_end=stack.pop_all().close
            )
        if options.stream:
            first = await task.unless_the_client_leaves(request, task.next_segment())
            if first is None:
                task.future.result()  # an error now still has a status
            return StreamingResponse(
                task.events(first), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
            )
        return _render(await task.unless_the_client_leaves(request, task.transcript()), options)

    @router.post("/v1/audio/translations", response_model=None, responses={400: {"content": _json(SCHEMA)}})
    async def translate() -> Response:
        """Refused: the model writes what was said, in English."""
        message = "this model does not translate; send English to /v1/audio/transcriptions"
        raise RequestError(400, message, code="unsupported")

    return router


def _describe() -> dict[str, Any]:
    """The route for the OpenAPI document, which cannot see a form that is read piece by piece."""
    transcript = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}
    answers = {**_json(transcript), "text/plain": {"schema": {"type": "string"}}}
    answers["text/event-stream"] = {"schema": {"type": "string"}}
    return {
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FORM_SCHEMA}}},
        "responses": {
            "200": {"description": "the transcript", "content": answers},
            **{str(status): {"description": text, "content": _json(SCHEMA)} for status, text in _ERRORS.items()},
        },
    }


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


class _Task:
    """A recording that the engine has, and the client that waits for it."""

    def __init__(
        self,
        engine: Engine,
        recording: Recording,
        options: RequestOptions,
        metrics: Metrics,
        *,
        timeout: Seconds,
        on_end: Callable[[], None],
    ) -> None:
        self._metrics = metrics
        self._started = time.perf_counter()
        self._deadline = self._started + timeout
        self._segments: asyncio.Queue[Segment | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def tell(segment: Segment | None) -> None:
            with suppress(RuntimeError):  # the loop is gone
                loop.call_soon_threadsafe(self._segments.put_nowait, segment)

        self.future = engine.submit(recording, hotwords=options.hotwords, on_segment=tell, on_end=on_end)
        self.future.add_done_callback(lambda _: tell(None))

    async def next_segment(self) -> Segment | None:
        """None behind the last, or where something went wrong: then the future knows."""
        return await self._segments.get()

    async def transcript(self) -> Transcript:
        """All of it."""
        transcript = await asyncio.wrap_future(self.future)
        self._metrics.count_transcript(transcript, time.perf_counter() - self._started)
        return transcript

    async def unless_the_client_leaves(self, request: Request, answer: Coroutine[Any, Any, _Result]) -> _Result:
        """The answer; when there is nobody to hear it, the work ends.

        Raises:
            ClientDisconnect: nobody waits any more.
            RequestError: it took too long.
        """
        work = asyncio.ensure_future(answer)
        leaving = asyncio.ensure_future(_client_leaves(request))
        try:
            timeout = self._deadline - time.perf_counter()
            await asyncio.wait({work, leaving}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            if leaving.done():
                raise ClientDisconnect
            raise _out_of_time()
        finally:
            leaving.cancel()
            if not work.done():
                work.cancel()
                self.future.cancel()

    async def events(self, segment: Segment | None) -> AsyncIterator[str]:
        """A delta for each segment from this one on, then the whole; together the deltas are the text."""
        try:
            has_text = False
            while segment is not None:
                if segment.text:
                    yield _event({"type": "transcript.text.delta", "delta": " " * has_text + segment.text})
                    has_text = True
                async with asyncio.timeout(self._deadline - time.perf_counter()):
                    segment = await self.next_segment()
            transcript = await self.transcript()
            yield _event({"type": "transcript.text.done", "text": transcript.text, "usage": _usage(transcript)})
        except TimeoutError:
            yield _event({"type": "error", **error_body(_out_of_time())})
        except Exception as error:  # the status has been sent, so this is how the client learns of it
            yield _event({"type": "error", **error_body(as_request_error(error))})
        finally:
            self.future.cancel()


async def _client_leaves(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _out_of_time() -> RequestError:
    return RequestError(503, "the recording took too long to transcribe; send it in parts", code="timeout")


def _render(transcript: Transcript, options: RequestOptions) -> Response:
    style = Style(json_shape="openai", word_timestamps="word" in options.granularities)
    match options.response_format:
        case "json":
            return JSONResponse({"text": transcript.text, "usage": _usage(transcript)})
        case "verbose_json":
            return Response(to_json(transcript, style), media_type="application/json")
        case "srt":
            return PlainTextResponse(to_srt(transcript, style))
        case "vtt":
            return PlainTextResponse(to_vtt(transcript, style))
        case _:
            return PlainTextResponse(transcript.text + "\n")


def _usage(transcript: Transcript) -> dict[str, Any]:
    return {"type": "duration", "seconds": round(transcript.duration, 3)}


def _event(row: dict[str, Any]) -> str:
    return f"data: {json.dumps(row, ensure_ascii=False)}\n\n"
