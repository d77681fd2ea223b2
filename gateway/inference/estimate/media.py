"""Images, documents, sound and video in requests: where they are, and how big."""

import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kit.images import Size, size_of

Kind = Literal["image", "document", "audio", "video", "item", "text"]

_KINDS: Mapping[str, Kind] = {
    "image": "image",
    "image_url": "image",
    "input_image": "image",
    "computer_screenshot": "image",
    "document": "document",
    "file": "document",
    "input_file": "document",
    "document_url": "document",
    "input_audio": "audio",
    "audio_url": "audio",
    "video": "video",
    "video_url": "video",
    "item_reference": "item",
}
CARRIERS = frozenset(
    {
        *("source", "image_url", "file", "file_id", "file_data", "file_url", "filename"),
        *("document_url", "input_audio", "audio_url", "video_url", "data"),
    }
)
"""Fields of a media block that hold the media or lead to it; its other fields are text."""
_LINKS = ("image_url", "file_url", "document_url", "audio_url", "video_url", "url")
_JPEG_HEAD_BYTES = 96_000
"""Enough to find a JPEG's size behind its largest metadata."""
_PDF_BYTES = 4_000_000
_BYTES_PER_HIDDEN_PAGE = 20_000
"""Pages in compressed object streams cannot be counted; a page of text has a fifth to a half of this."""
_PAGE = re.compile(rb"/Type\s*/Page(?!s)")
_COMPRESSED_SOUND_BYTES_PER_S = 2_000
"""The least that speech is coded with, 16 kbit/s."""
_SOUND_BYTES_PER_S = 192_000
"""Stereo in 16 bits at 48 kHz."""
_VIDEO_BYTES_PER_S = 25_000


@dataclass(frozen=True, slots=True)
class Media:
    """One piece of media, or an item of an earlier answer. What is not in the request itself (``data`` is
    None) can be as big as allowed."""

    kind: Kind
    data: str | None = None
    """In base64; the text itself if the kind is text."""
    detail: str | None = None

    def size(self) -> Size | None:
        """An image's, if its header can be read."""
        if not self.data:
            return None
        head = _bytes(self.data, 32)
        return size_of(_bytes(self.data, _JPEG_HEAD_BYTES) if head[:2] == b"\xff\xd8" else head)

    def pages(self) -> int | None:
        """At least as many as an inline document has, but for one whose text is packed very tightly."""
        if self.data is None:
            return None
        length = len(self.data) * 3 // 4
        return max(len(_PAGE.findall(_bytes(self.data, _PDF_BYTES))), 1 + length // _BYTES_PER_HIDDEN_PAGE)

    def seconds(self) -> float | None:
        """About the longest that inline sound or video lasts."""
        if self.data is None:
            return None
        length = len(self.data) * 3 // 4
        if self.kind == "video":
            return length / _VIDEO_BYTES_PER_S
        head = _bytes(self.data, 44)
        stated = int.from_bytes(head[28:32], "little") if head[:4] == b"RIFF" else 0
        believed = stated if 0 < stated <= _SOUND_BYTES_PER_S else _COMPRESSED_SOUND_BYTES_PER_S
        return length / believed


def media_of(block: Mapping[str, Any]) -> Media | None:
    """The media that a block of a message is, in any dialect; None if it is something else."""
    name = block.get("type")
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        return None
    carrier: Any = block
    for inner in ("source", "file", "input_audio", "image_url"):
        if isinstance(block.get(inner), dict):
            carrier = block[inner]
    detail = carrier.get("detail") or block.get("detail")
    detail = detail if isinstance(detail, str) else None
    if kind == "document" and carrier.get("type") == "text" and isinstance(carrier.get("data"), str):
        return Media("text", carrier["data"])
    for link in _LINKS:
        if isinstance(carrier.get(link), str):
            return _linked(kind, carrier[link], detail)
    data = carrier.get("data") or carrier.get("file_data")
    if not isinstance(data, str):
        return Media(kind, None, detail)
    if data.startswith(("data:", "http")):
        return _linked(kind, data, detail)
    return _inline(kind, str(carrier.get("media_type") or ""), data, detail)


def google_media_of(part: Mapping[str, Any]) -> Media:
    """The media of a Google ``inlineData`` or ``fileData`` object."""
    media_type = str(part.get("mimeType") or part.get("mime_type") or "")
    data = part.get("data")
    kind = _kind_of(media_type, "document")
    if isinstance(data, str):
        return _inline(kind, media_type, data, None)
    return Media(kind if media_type else "video")


def _linked(kind: Kind, url: str, detail: str | None) -> Media:
    """A ``data:`` URL (RFC 2397) in base64, or a link."""
    if not url.startswith("data:"):
        return Media(kind, None, detail)
    head, _, data = url.partition(",")
    media_type = head.removeprefix("data:").partition(";")[0]
    return _inline(_kind_of(media_type, kind), media_type, data, detail)


def _inline(kind: Kind, media_type: str, data: str, detail: str | None) -> Media:
    if kind == "document" and media_type.startswith(("text/", "application/json")):
        return Media("text", _bytes(data, len(data)).decode("utf-8", "replace"))
    return Media(kind, data, detail)


def _kind_of(media_type: str, otherwise: Kind) -> Kind:
    for kind in ("image", "audio", "video"):
        if media_type.startswith(kind):
            return kind
    return "document" if media_type.startswith(("application/", "text/")) else otherwise


def _bytes(data: str, most: int) -> bytes:
    """The first bytes of base64, of either alphabet (RFC 4648); none if it is something else."""
    text = data[: (most + 2) // 3 * 4].replace("-", "+").replace("_", "/")
    try:
        return binascii.a2b_base64(text + "=" * (-len(text) % 4))
    except ValueError:  # not base64, or not ASCII
        return b""
