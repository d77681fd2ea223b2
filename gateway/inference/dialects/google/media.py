"""Images, documents, sound and video: Google's inlineData and fileData by media type."""

import base64
from typing import Any
from urllib.parse import urlsplit

from gateway.inference.dialects.google import NAME
from gateway.inference.dialects.google.reading import Fields, extra, merged, own
from gateway.inference.dialects.neutral import (
    Audio,
    Block,
    Document,
    Image,
    Inline,
    Linked,
    PlainText,
    Source,
    Uploaded,
    Video,
)
from kit.errors import Unsupported

_AUDIO_TYPES = {
    "wav": "audio/wav",
    "mp3": "audio/mp3",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "opus": "audio/opus",
    "pcm16": "audio/L16;rate=24000",
}
_AUDIO_FORMATS = {media_type: name for name, media_type in _AUDIO_TYPES.items()} | {
    "audio/mpeg": "mp3",
    "audio/x-wav": "wav",
}
_BY_SUFFIX = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "webm": "video/webm",
}
_VIDEO_HOSTS = {"www.youtube.com", "youtube.com", "m.youtube.com", "youtu.be"}
_FILES = ("https://generativelanguage.googleapis.com/", "gs://")
_IN_RESULTS = {"image/png", "image/jpeg", "image/webp", "application/pdf", "text/plain"}
Media = Image | Document | Audio | Video


def decode_inline(fields: Fields, rest: dict[str, Any]) -> Block:
    """``fields`` is an inlineData object, ``rest`` what else its part holds."""
    media_type = fields.required_text("mimeType")
    data = fields.text("data") or ""
    if left := fields.rest():
        rest = {**rest, "inlineData": left}
    if media_type.startswith("audio/"):
        name = _AUDIO_FORMATS.get(media_type, media_type.removeprefix("audio/"))
        if _audio_type(name) != media_type:
            rest = merged(rest, {"inlineData": {**rest.get("inlineData", {}), "mimeType": media_type}})
        return Audio(data=data, format=name, extra=extra(rest))
    return _block(Inline(media_type=media_type, data=data), media_type, rest)


def decode_file(fields: Fields, rest: dict[str, Any]) -> Block:
    """``fields`` is a fileData object, ``rest`` what else its part holds."""
    uri = fields.required_text("fileUri")
    media_type = fields.text("mimeType")
    if left := fields.rest() | ({} if media_type else {"mimeType": None}):
        rest = {**rest, "fileData": left}
    source: Source
    if uri.startswith(_FILES):
        source = Uploaded(dialect=NAME, file_id=uri, media_type=media_type)
    else:
        source = Linked(url=uri, media_type=media_type)
    return _block(source, media_type or _guessed(uri) or "", rest)


def encode_media(block: Media, place: str, *, fetches: bool) -> dict[str, Any]:
    """A part. ``fetches`` says whether the provider fetches URLs. Raises Unsupported."""
    if isinstance(block, Audio):
        inline = {"mimeType": _audio_type(block.format), "data": block.data}
        return merged({"inlineData": inline}, own(block.extra))
    return merged(_source(block, place, fetches=fetches), own(block.extra))


def fits_result(part: dict[str, Any]) -> bool:
    """Whether a function response may hold this media part (function calling guide: multimodal responses)."""
    return part.get("inlineData", {}).get("mimeType") in _IN_RESULTS


def _block(source: Source, media_type: str, rest: dict[str, Any]) -> Block:
    if media_type.startswith("image/"):
        return Image(source=source, extra=extra(rest))
    if media_type.startswith("video/"):
        return Video(source=source, extra=extra(rest))
    return Document(source=source, extra=extra(rest))


def _source(block: Image | Document | Video, place: str, *, fetches: bool) -> dict[str, Any]:
    source = block.source
    if isinstance(source, Inline):
        return {"inlineData": {"mimeType": source.media_type, "data": source.data}}
    if isinstance(source, PlainText):
        data = base64.b64encode(source.text.encode()).decode()
        return {"inlineData": {"mimeType": "text/plain", "data": data}}
    if isinstance(source, Uploaded):
        if source.dialect != NAME:
            raise Unsupported(f"{place}.source: this file lies at another provider", param=f"{place}.source")
        return {"fileData": _present(fileUri=source.file_id, mimeType=source.media_type)}
    if not fetches and urlsplit(source.url).hostname not in _VIDEO_HOSTS:
        raise Unsupported(
            f"{place}.source: this provider fetches no URLs; send the bytes", param=f"{place}.source"
        )
    media_type = source.media_type or _guessed(source.url)
    return {"fileData": _present(fileUri=source.url, mimeType=media_type)}


def _audio_type(name: str) -> str:
    return _AUDIO_TYPES.get(name, f"audio/{name}")


def _guessed(uri: str) -> str | None:
    address = urlsplit(uri)
    if address.hostname in _VIDEO_HOSTS:
        return "video/mp4"
    return _BY_SUFFIX.get(address.path.rpartition(".")[2].lower())


def _present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
