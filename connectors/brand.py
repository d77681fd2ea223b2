"""How an account looks on the hosted pages: its name, its logo, and a colour made readable.

Contrast is WCAG 2.2's (success criteria 1.4.3 and 1.4.11): a ratio of relative luminances, 1 to 21.
"""

from dataclasses import dataclass
from typing import Protocol

PAPER_LIGHT, PAPER_DARK = "#ffffff", "#17181c"
INK_LIGHT, INK_DARK = "#ffffff", "#0b0c0f"
"""The two colours that text on an account's colour may have."""
USUAL_COLOR = "#3451b2"
READABLE = 4.5


@dataclass(frozen=True)
class Brand:
    """``color``: ``#rrggbb``. ``logo``: the SHA-256 of the picture, it is served by that."""

    name: str
    color: str | None = None
    logo: str | None = None


class Brands(Protocol):
    async def of(self, account_id: str) -> Brand: ...

    async def logo(self, sha256: str) -> bytes | None:
        """A logo as PNG."""
        ...


@dataclass(frozen=True)
class Theme:
    """The colours of one account's pages. Every text in them is readable, whatever colour was chosen."""

    accent: str
    on_accent: str
    link_light: str
    link_dark: str


def theme_of(color: str | None) -> Theme:
    accent = color or USUAL_COLOR
    on_accent = max((INK_LIGHT, INK_DARK), key=lambda ink: contrast(ink, accent))
    return Theme(accent, on_accent, _readable_on(PAPER_LIGHT, accent), _readable_on(PAPER_DARK, accent))


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _readable_on(paper: str, color: str) -> str:
    """The colour itself, or as much darker or lighter as it takes to be read on this paper."""
    towards = 0 if _luminance(paper) > 0.5 else 255
    channels = _channels(color)
    for step in range(21):
        mixed = [round(channel + (towards - channel) * step / 20) for channel in channels]
        shade = "#" + "".join(f"{channel:02x}" for channel in mixed)
        if contrast(shade, paper) >= READABLE:
            return shade
    raise AssertionError("black or white is always readable")


def _luminance(color: str) -> float:
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (channel / 255 for channel in _channels(color))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _channels(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
