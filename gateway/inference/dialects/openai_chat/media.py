"""Where bytes are: data URLs, links, and ids of uploaded files."""

import base64
import binascii
from typing import Any

from gateway.inference.dialects.neutral import (
    Inline,
    Linked,
    Source,
    Uploaded,
)
from gateway.inference.dialects.openai_chat.encoding import Encoding
from gateway.inference.dialects.openai_chat.extras import DIALECT
from gateway.inference.dialects.openai_chat.reading import Fields, wrong

OPENAI_DIALECTS = {DIALECT, "openai-responses"}
"""Dialects whose uploaded files are the same."""


def decode_url(url: str, path: str) -> Inline | Linked:
    """A ``data:`` URL (RFC 2397) in base64, or a link."""
    if not url.startswith("data:"):
        if not url:
            raise wrong(path, "a URL")
        return Linked(url=url)
    head, comma, data = url[len("data:") :].partition(",")
    media_type, _, encoding = head.rpartition(";")
    if not comma or encoding != "base64" or not media_type:
        raise wrong(path, "data:<media type>;base64,<data>")
    return Inline(media_type=media_type, data=data)


def encode_url(source: Inline | Linked) -> str:
    return source.url if isinstance(source, Linked) else f"data:{source.media_type};base64,{source.data}"


def decode_file(file: Fields) -> tuple[Source, str | None]:
    """What ``file`` holds, and its name. Some clients send bare base64, which OpenAI reads as PDF."""
    name, file_id, data = file.text("filename"), file.text("file_id"), file.text("file_data")
    if file_id is not None:
        return Uploaded(dialect=DIALECT, file_id=file_id), name
    if data is None:
        raise wrong(file.at("file_data"), "a data URL, or file_id")
    if data.startswith(("data:", "http://", "https://")):
        return decode_url(data, file.at("file_data")), name
    return Inline(media_type="application/pdf", data=data), name


def encode_file(source: Source, name: str | None, place: str, encoding: Encoding) -> dict[str, Any]:
    """The ``file`` object. Raises Unsupported for what lies elsewhere."""
    if isinstance(source, Uploaded):
        if source.dialect not in OPENAI_DIALECTS:
            raise encoding.refuse(place, f"has no file {source.file_id}: it was uploaded elsewhere")
        return {"file_id": source.file_id, **({"filename": name} if name else {})}
    if not isinstance(source, Inline):
        raise encoding.refuse(place, "takes no documents by URL; send their data")
    return {"filename": name or "document.pdf", "file_data": encode_url(source)}


def text_of(source: Inline) -> str | None:
    """The text of an inline document whose media type is text."""
    if not source.media_type.startswith("text/"):
        return None
    try:
        return base64.b64decode(source.data).decode()
    except (binascii.Error, ValueError):
        return None
