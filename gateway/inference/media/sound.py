"""How long sound lasts: of an uploaded file, for holds and where no provider says, and of speech that is
passing by."""

from dataclasses import dataclass
from decimal import Decimal
from io import BytesIO
from math import ceil
from typing import BinaryIO

from tinytag import TinyTag, TinyTagException, UnsupportedFormatError

from gateway.inference.media.webm import webm_seconds

LOWEST_BYTES_PER_SECOND = 750
"""6 kbit/s, the least that Opus takes (RFC 6716, 2): no file in use is longer than this says."""
USUAL_BYTES_PER_SECOND = 8_000
"""64 kbit/s: taken for a file whose length nobody can tell."""
_HIGHEST_BITS_PER_SECOND = 1_500_000
"""No compressed file has more, but for pictures in it; one that seems to states a length that is false."""
_MOST_SECONDS = 1_000_000
_HEAD_BYTES = 64 * 1024

PCM_BYTES_PER_SECOND = 48_000
"""24 kHz, 16 bits, one channel (developers.openai.com, guides: Text to speech)."""


@dataclass(frozen=True, slots=True)
class Length:
    """A file's length in seconds, and the most that it can be."""

    seconds: Decimal
    most: int


def length_of(file: BinaryIO, size: int) -> Length:
    """Read from the container's header; where there is none that can be believed, guessed by the size.
    Leaves the file at its beginning. It may read all of the file: call it in a thread."""
    seconds = _stated_seconds(file, size)
    if seconds is None:
        most = ceil(size / LOWEST_BYTES_PER_SECOND)
        return Length(max(Decimal(1), Decimal(size) / USUAL_BYTES_PER_SECOND), max(1, most))
    return Length(seconds, ceil(seconds) + 1)


def _stated_seconds(file: BinaryIO, size: int) -> Decimal | None:
    file.seek(0)
    try:
        tag = TinyTag.get(file_obj=file, tags=False)
        seconds, most_bits = _tagged_seconds(tag, size), _most_bits_per_second(tag)
    except UnsupportedFormatError:
        seconds, most_bits = webm_seconds(file, size), _HIGHEST_BITS_PER_SECOND
    except TinyTagException:
        seconds = None
    finally:
        file.seek(0)
    if not seconds or not 0 < seconds <= _MOST_SECONDS or size * 8 / seconds > most_bits:
        return None
    return Decimal(f"{seconds:.3f}") or None


def _tagged_seconds(tag: TinyTag, size: int) -> float | None:
    """A recording that was piped states the largest length there is: there are no more samples than bytes."""
    if tag.duration and tag.bitdepth and tag.bitrate:
        return min(tag.duration, size * 8 / (tag.bitrate * 1_000))
    return tag.duration


def _most_bits_per_second(tag: TinyTag) -> float:
    if tag.bitdepth and tag.samplerate:  # every sample is there: WAV, AIFF, at most so many in FLAC
        return tag.samplerate * (tag.channels or 1) * tag.bitdepth * 1.1
    return _HIGHEST_BITS_PER_SECOND


class SoundMeter:
    """Measures speech by the bytes that pass."""

    def __init__(self, format_name: str) -> None:
        """``format_name``: as in ``response_format``."""
        self._format = format_name
        self._head = bytearray()
        self.size = 0

    def feed(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if len(self._head) < _HEAD_BYTES:
            self._head += chunk[: _HEAD_BYTES - len(self._head)]

    def seconds(self) -> float | None:
        """How long what passed lasts; None for formats whose bytes do not tell."""
        if self._format == "pcm":
            return self.size / PCM_BYTES_PER_SECOND
        if self._format not in {"mp3", "wav"}:
            return None
        try:
            tag = TinyTag.get(file_obj=BytesIO(bytes(self._head)), tags=False)
        except TinyTagException:
            return None
        return self.size * 8 / (tag.bitrate * 1_000) if tag.bitrate else None
