"""multipart/form-data (RFC 7578) in and out. A file beyond a megabyte is kept on disk, once."""

import asyncio
import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.types import Receive, Scope

from kit.errors import InvalidRequest, TooLarge

MAX_FIELDS = 64
MAX_FIELD_BYTES = 4 * 1024 * 1024
"""OpenAI's ``known_speaker_references`` hold up to ten seconds of sound each."""
_CHUNK_BYTES = 256 * 1024
_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(; ?[\w.+-]+=[\w.+-]+)*")


@dataclass(frozen=True, slots=True)
class Upload:
    """A form with one file. ``fields`` are the others, in their order; a name may come more than once."""

    fields: tuple[tuple[str, str], ...]
    file_name: str
    file_type: str
    size: int
    file: BinaryIO = field(repr=False)

    def text(self, name: str) -> str | None:
        """A field's value; None if it is missing or empty."""
        return next((value for key, value in self.fields if key == name and value), None)

    def texts(self, name: str) -> list[str]:
        """The values of a field that is a list, which clients also call ``name[]``."""
        return [value for key, value in self.fields if key in (name, f"{name}[]")]


@asynccontextmanager
async def received(scope: Scope, receive: Receive, *, file_field: str, limit: int) -> AsyncIterator[Upload]:
    """The form in a request's body; its file is gone when the context is left. Raises InvalidRequest naming
    the field, TooLarge beyond ``limit`` bytes."""
    headers = Headers(scope=scope)
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        raise InvalidRequest("content-type: expected multipart/form-data", code="invalid_multipart")
    if headers.get("content-length", "").isdigit() and int(headers["content-length"]) > limit:
        raise _too_large(limit)
    parser = MultiPartParser(
        headers, _pieces(receive, limit), max_files=1, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise InvalidRequest(
            f"the body is not a valid form: {error.message}", code="invalid_multipart"
        ) from None
    try:
        yield _upload(list(form.multi_items()), file_field)
    finally:
        await form.close()


def _upload(items: Sequence[tuple[str, str | UploadFile]], file_field: str) -> Upload:
    fields = tuple((name, value) for name, value in items if isinstance(value, str))
    files = [(name, value) for name, value in items if isinstance(value, UploadFile)]
    if not files or files[0][0] != file_field:
        raise InvalidRequest(f"{file_field}: expected a file in this field of the form", param=file_field)
    upload = files[0][1]
    if not upload.size:
        raise InvalidRequest(f"{file_field}: the file is empty", param=file_field)
    named = upload.content_type or ""
    file_type = named if _TYPE.fullmatch(named) else "application/octet-stream"
    return Upload(fields, upload.filename or "audio", file_type, upload.size, upload.file)


async def _pieces(receive: Receive, limit: int) -> AsyncGenerator[bytes, None]:
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("the request ended before its body was complete")
        piece = message.get("body", b"")
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        yield piece
        if not message.get("more_body", False):
            return


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"the body is larger than {limit} bytes (max_upload_bytes)")


@dataclass(frozen=True, slots=True)
class FileBody:
    """An uploaded file as a request's body (``upstream.StreamedBody``), with other bytes around it."""

    file: BinaryIO = field(repr=False)
    file_size: int
    before: bytes = b""
    after: bytes = b""

    @property
    def size(self) -> int:
        return len(self.before) + self.file_size + len(self.after)

    async def chunks(self) -> AsyncIterator[bytes]:
        if self.before:
            yield self.before
        await asyncio.to_thread(self.file.seek, 0)
        while chunk := await asyncio.to_thread(self.file.read, _CHUNK_BYTES):
            yield chunk
        if self.after:
            yield self.after


def form_with(upload: Upload, file_field: str, fields: Sequence[tuple[str, str]]) -> tuple[FileBody, str]:
    """A form with the upload's file and these fields, and its content type."""
    boundary = f"heddle-{secrets.token_hex(16)}"
    parts = [_disposition(boundary, name) + b"\r\n" + value.encode() + b"\r\n" for name, value in fields]
    head = _disposition(boundary, file_field, upload.file_name)
    head += f"content-type: {upload.file_type}\r\n\r\n".encode()
    end = f"\r\n--{boundary}--\r\n".encode()
    body = FileBody(upload.file, upload.size, b"".join(parts) + head, end)
    return body, f"multipart/form-data; boundary={boundary}"


def _disposition(boundary: str, name: str, file_name: str | None = None) -> bytes:
    """A part's first header, with names escaped as browsers do (WHATWG HTML, multipart/form-data)."""
    line = f'--{boundary}\r\ncontent-disposition: form-data; name="{_escaped(name)}"'
    if file_name is not None:
        line += f'; filename="{_escaped(file_name)}"'
    return f"{line}\r\n".encode()


def _escaped(name: str) -> str:
    return name.replace("\n", "%0A").replace("\r", "%0D").replace('"', "%22")
