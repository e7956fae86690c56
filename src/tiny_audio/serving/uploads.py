"""The form of a request, received piece by piece within limits.

A recording goes to a temporary file without a name, which the system forgets when it is closed or the server dies. Its
name in the request means nothing here, and no name, address or command of a request is ever opened.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from tiny_audio.errors import RequestError
from tiny_audio.types import Seconds

_MAX_FIELDS_BYTES = 1 << 20  # all that is in a form beside the recording
_MAX_FIELD_BYTES = 1 << 16
_MAX_FIELDS = 100


async def read_form(request: Request, *, max_file_bytes: int, timeout: Seconds) -> FormData:
    """The fields and the file of a multipart form; close it when it is no longer needed.

    Args:
        request: whose body nobody has read yet.
        max_file_bytes: of the recording.
        timeout: for all of it.

    Raises:
        RequestError: 400 no such form, 408 it came too slowly, 413 it is too large.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise RequestError(400, "found no multipart form; send the recording as the field 'file' of one", param="file")
    try:
        async with asyncio.timeout(timeout), aclosing(_limited(request, max_file_bytes)) as body:
            parser = MultiPartParser(
                request.headers, body, max_files=1, max_fields=_MAX_FIELDS, max_part_size=_MAX_FIELD_BYTES
            )
            return await parser.parse()
    except TimeoutError:
        raise RequestError(408, f"the request did not arrive within {timeout:.0f} s", code="upload_timeout") from None
    except (MultiPartException, UnicodeError, ValueError) as error:
        raise RequestError(400, f"the multipart form cannot be read: {str(error).rstrip('.')}") from error


async def _limited(request: Request, max_file_bytes: int) -> AsyncGenerator[bytes, None]:
    """The body, as long as it is not too large; announced sizes are believed when they are bad news."""
    max_bytes = max_file_bytes + _MAX_FIELDS_BYTES
    announced = request.headers.get("content-length", "")
    received = 0
    async with aclosing(request.stream()) as body:  # type: ignore[type-var]
        async for piece in body:
            received += len(piece)
            if received > max_bytes or (announced.isdecimal() and int(announced) > max_bytes):
                raise too_large(max_file_bytes)
            yield piece


def too_large(max_file_bytes: int) -> RequestError:
    """The answer to a recording of more bytes."""
    message = f"the recording is too large; at most {max_file_bytes / 2**20:.3g} MiB are accepted"
    return RequestError(413, message, code="file_too_large", param="file")


def recording_of(form: FormData, max_file_bytes: int) -> UploadFile:
    """The field `file`.

    Raises:
        RequestError: 400 it is missing, no file, or empty; 413 it is too large.
    """
    upload = form.get("file")
    if not isinstance(upload, UploadFile):
        raise RequestError(400, "the form has no recording; send it as the field 'file'", param="file")
    if not upload.size:
        raise RequestError(400, "the recording is empty (0 bytes)", param="file", code="empty_file")
    if upload.size > max_file_bytes:
        raise too_large(max_file_bytes)
    return upload


class Recording:
    """The open file of an upload for the decoders, under a name that says nothing."""

    name = "the recording"

    def __init__(self, upload: UploadFile) -> None:
        file = upload.file
        self.read, self.seek, self.tell, self.seekable = file.read, file.seek, file.tell, file.seekable
        self.close = file.close
