"""Sizes of images from their headers, and their tokens by the makers' rules."""

import base64
import struct
import zlib

import pytest

from gateway.inference.estimate.images import RULES, image_tokens
from gateway.inference.estimate.media import Media
from kit.images import Size, size_of


def _png(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))


def _jpeg(width: int, height: int, metadata: int) -> bytes:
    exif = b"\xff\xe1" + struct.pack(">H", metadata + 2) + b"x" * metadata
    return b"\xff\xd8" + exif + b"\xff\xc2\x00\x11\x08" + struct.pack(">HH", height, width) + b"\x03" * 10


def _gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\x00" * 3


def _webp(kind: bytes, header: bytes) -> bytes:
    return b"RIFF\x00\x00\x00\x00WEBP" + kind + struct.pack("<I", len(header)) + header


IMAGES = {
    "PNG": _png(640, 480),
    "GIF": _gif(640, 480),
    "JPEG": _jpeg(640, 480, 10),
    "JPEG with large metadata": _jpeg(640, 480, 60_000),
    "WebP, extended": _webp(b"VP8X", b"\x00" * 4 + (639).to_bytes(3, "little") + (479).to_bytes(3, "little")),
    "WebP, lossless": _webp(b"VP8L", b"\x2f" + struct.pack("<I", 639 | 479 << 14)),
    "WebP, lossy": _webp(b"VP8 ", b"\x00\x00\x00\x9d\x01\x2a" + struct.pack("<HH", 640, 480)),
}


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_the_size_is_read_from_the_header(image: bytes) -> None:
    assert size_of(image) == Size(640, 480)
    padded = base64.b64encode(image).decode()
    for data in (padded, padded.rstrip("="), padded.replace("+", "-").replace("/", "_")):
        assert Media("image", data).size() == Size(640, 480)


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_a_header_cut_short_has_no_size_or_the_right_one(image: bytes) -> None:
    for length in range(min(len(image), 80)):
        assert size_of(image[:length]) in (None, Size(640, 480)), length


@pytest.mark.parametrize("data", ["", "!!!", "é" * 50, base64.b64encode(b"BM" * 40).decode(), "A" * 99])
def test_what_is_no_known_image_has_no_size(data: str) -> None:
    assert Media("image", data).size() is None


PUBLISHED = [
    ("claude", Size(1_000, 1_000), None, 1_334),
    ("claude", Size(4_000, 4_000), None, 1_600),
    ("claude-large", Size(4_000, 4_000), None, 4_784),
    ("tiles", Size(1_024, 1_024), None, 765),
    ("tiles", Size(2_048, 4_096), "high", 1_105),
    ("tiles", Size(4_096, 8_192), "low", 85),
    ("patches-mini", Size(1_024, 1_024), None, 1_024 * 1.62),
    ("patches-mini", Size(1_800, 2_400), None, 1_452 * 1.62),
    ("gemini", Size(300, 300), None, 258),
    ("gemini", Size(960, 540), None, 6 * 258),
]
"""Examples that the makers publish: their tokens are to be met, or passed by little."""


@pytest.mark.parametrize(("rule", "size", "detail", "tokens"), PUBLISHED)
def test_the_makers_examples_are_met(rule: str, size: Size, detail: str | None, tokens: float) -> None:
    assert tokens <= image_tokens(rule, size, detail) <= tokens * 1.13


@pytest.mark.parametrize("rule", RULES)
def test_an_image_of_unknown_size_is_priced_as_the_dearest(rule: str) -> None:
    most = image_tokens(rule, None, None)
    shapes = [(1, 1), (100, 5_000), (768, 2_000), (2_048, 768), (1_568, 1_568), (8_000, 8_000), (1, 8_000)]
    for shape in shapes:
        assert 0 < image_tokens(rule, Size(*shape), None) <= most * 1.01, shape
