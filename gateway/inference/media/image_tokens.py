"""How many tokens an image has that a model of OpenAI's makes, for holds and for answers without usage.

Two ways of counting are published: a table for the first models (developers.openai.com, guides: Image
generation), and for those since ``gpt-image-2``, which take any size, the calculator on the same page. It
lays a grid over the image, as fine as the quality asks; a developer wrote down its rule
(community.openai.com/t/1382699), whose results agree with figures that others read off it (7,024 tokens for
1024x1024, 5,488 for 1536x1024, 12,329 for 3584x2048, all of high quality).
"""

import re

PARTIAL_IMAGE_TOKENS = 100
"""Each partial image of a stream costs these (guide: Image generation, Streaming)."""
TEXT_TOKENS = 1_000
"""Set aside for text that a model writes beside an image; their number is not published."""

_TABLE = {
    "low": {(1024, 1024): 272, (1024, 1536): 408, (1536, 1024): 400},
    "medium": {(1024, 1024): 1056, (1024, 1536): 1584, (1536, 1024): 1568},
    "high": {(1024, 1024): 4160, (1024, 1536): 6240, (1536, 1024): 6208},
}
_TABLED = ("gpt-image-1", "chatgpt-image")
_GRID = {"low": 16, "medium": 48, "high": 96}
_DEAREST_SIDE = 2880
"""The largest image is of 8,294,400 pixels; no shape of it has more tokens than the square."""
_BEYOND_HIGH = {"xhigh": 2, "max": 4}
"""Times the tokens of ``high``, for holds: what these qualities take is not published."""
_SIZE = re.compile(r"(\d{2,5})x(\d{2,5})")


def image_tokens(model: str, size: str | None, quality: str | None) -> int:
    """The most tokens that one image can have; a size or quality that is left to the model, or not known, is
    the dearest."""
    found = _SIZE.fullmatch(size or "")
    pixels = (int(found[1]), int(found[2])) if found else None
    if model.startswith(_TABLED):
        return _tabled(pixels, quality)
    beyond = _BEYOND_HIGH.get(quality or "", 1)
    grid = _GRID.get(quality or "", _GRID["high"])
    width, height = pixels or (_DEAREST_SIDE, _DEAREST_SIDE)
    return _on_grid(grid, width, height) * beyond


def _tabled(pixels: tuple[int, int] | None, quality: str | None) -> int:
    by_size = _TABLE.get(quality or "", _TABLE["high"])
    return by_size.get(pixels, max(by_size.values())) if pixels is not None else max(by_size.values())


def _on_grid(cells: int, width: int, height: int) -> int:
    """``cells`` along the longer side, as many along the shorter as its length asks (rounded half up); each
    weighs more in larger images."""
    longer, shorter = max(width, height, 1), min(width, height)
    across = (2 * cells * shorter + longer) // (2 * longer)
    return -(-cells * across * (2_000_000 + width * height) // 4_000_000)
