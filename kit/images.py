"""What the first bytes of an image say: its type, and its size in pixels."""

import math
from typing import Literal, NamedTuple

SIGNATURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}


class Size(NamedTuple):
    width: int
    height: int

    def within(self, long: int, short: int | None = None) -> "Size":
        """Scaled down, if need be, until neither side is above its limit."""
        scale = min(1.0, long / max(self), (short or long) / min(self))
        return Size(*(max(1, math.ceil(side * scale - 1e-6)) for side in self))

    def squares(self, side: int) -> int:
        return math.ceil(self.width / side) * math.ceil(self.height / side)


def media_type_of(head: bytes) -> str | None:
    """PNG, JPEG, GIF or WebP, whatever it is said to be; None if it is none of them."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for start, kind in SIGNATURES.items() if head.startswith(start)), None)


def size_of(head: bytes) -> Size | None:
    """The size in a PNG, GIF, WebP or JPEG header; None if there is none in these bytes."""
    if head[:8] == b"\x89PNG\r\n\x1a\n" and len(head) >= 24:
        return _size(head[16:20], head[20:24], "big")
    if head[:4] == b"GIF8" and len(head) >= 10:
        return _size(head[6:8], head[8:10], "little")
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _webp(head)
    return _jpeg(head) if head[:2] == b"\xff\xd8" else None


def _webp(head: bytes) -> Size | None:
    """RFC 9649: lossy, lossless, extended."""
    kind = head[12:16]
    if kind == b"VP8X" and len(head) >= 30:
        return Size(int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1)
    if kind == b"VP8L" and len(head) >= 25:
        bits = int.from_bytes(head[21:25], "little")
        return Size((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8 " and len(head) >= 30:
        sides = (int.from_bytes(head[at : at + 2], "little") & 0x3FFF for at in (26, 28))
        return Size(*(max(1, side) for side in sides))
    return None


def _jpeg(head: bytes) -> Size | None:
    """ITU T.81, B.2.2: the frame header is a segment like the others before the picture."""
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return _size(head[at + 7 : at + 9], head[at + 5 : at + 7], "big")
        at += 2 + max(2, int.from_bytes(head[at + 2 : at + 4], "big"))
    return None


def _size(width: bytes, height: bytes, order: Literal["big", "little"]) -> Size | None:
    sides = int.from_bytes(width, order), int.from_bytes(height, order)
    return Size(*sides) if min(sides) > 0 else None
