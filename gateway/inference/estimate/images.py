"""Tokens of an image by its size in pixels, as the makers of models publish them."""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple


class Size(NamedTuple):
    width: int
    height: int

    def within(self, long: int, short: int | None = None) -> "Size":
        """Scaled down, if need be, until neither side is above its limit."""
        scale = min(1.0, long / max(self), (short or long) / min(self))
        return Size(*(max(1, math.ceil(side * scale - 1e-6)) for side in self))

    def squares(self, side: int) -> int:
        return math.ceil(self.width / side) * math.ceil(self.height / side)


Rule = Callable[[Size, str | None], float]
"""From an image's size and the detail asked for to tokens."""

_LARGEST = (Size(8_000, 8_000), Size(8_000, 3_000))
"""They stand for an image of unknown size: no maker takes larger ones, and no shape takes more tokens."""


def _claude(long_edge: int, most: int) -> Rule:
    """platform.claude.com, Vision: width x height / 750 after scaling down; 4,784 at most since Opus 4.7."""

    def tokens(size: Size, detail: str | None) -> float:  # noqa: ARG001 - has none
        scaled = size.within(long_edge)
        return min(scaled.width * scaled.height / 750, most) + 4

    return tokens


def _tiles(base: int, tile: int) -> Rule:
    """platform.openai.com, Images and vision: scaled to 2048 by 2048, then to a short side of 768; tiles of
    512."""

    def tokens(size: Size, detail: str | None) -> float:
        return base if detail == "low" else base + tile * size.within(2_048).within(2_048, 768).squares(512)

    return tokens


def _patches(multiplier: float, most: int) -> Rule:
    """platform.openai.com, Images and vision: patches of 32 pixels, scaled down to fit a budget."""

    def tokens(size: Size, detail: str | None) -> float:
        budget = 10_000 if detail == "original" else most
        patches = size.within(512).squares(32) if detail == "low" else size.squares(32)
        return min(patches, budget) * multiplier

    return tokens


def _gemini(size: Size, detail: str | None) -> float:  # noqa: ARG001 - has none
    """ai.google.dev, Understand and count tokens; Image understanding: 258 for each tile."""
    if max(size) <= 384:
        return 258
    tile = min(768, max(256, math.floor(min(size) / 1.5)))
    return 258 * size.within(3_072).squares(tile)


def _squares(side: int, long_edge: int, each: float = 1) -> Rule:
    """Patches of a vision encoder with a token for the end of each row."""

    def tokens(size: Size, detail: str | None) -> float:  # noqa: ARG001 - has none
        scaled = size.within(long_edge)
        return scaled.squares(side) * each + math.ceil(scaled.height / side)

    return tokens


RULES: dict[str, Rule] = {
    "claude": _claude(1_568, 1_600),
    "claude-large": _claude(2_576, 4_784),
    "tiles": _tiles(85, 170),
    "tiles-4o-mini": _tiles(2_833, 5_667),
    "patches-mini": _patches(1.72, 1_536),
    "patches-nano": _patches(2.46, 1_536),
    "patches": _patches(1.2, 2_500),
    "gemini": _gemini,
    "gemini-3": lambda _size, _detail: 1_120,  # ai.google.dev, Media resolution: unless less is asked for
    "pixtral": _squares(16, 1_024),
    "mistral": _squares(28, 1_540),
    "llama": _squares(336, 1_344, 145),
    "qwen": _squares(28, 3_584),
    "unknown": lambda _size, _detail: 5_000,
}


def image_tokens(rule: str, size: Size | None, detail: str | None) -> float:
    """The tokens of an image by the rule of that name; the most that one can have if its size is unknown."""
    return max(RULES[rule](each, detail) for each in ([size] if size else _LARGEST))


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
