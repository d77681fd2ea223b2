"""Tokens of an image by its size in pixels, as the makers of models publish them."""

import math
from collections.abc import Callable

from kit.images import Size

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
