"""Sound that is really sound: a tone as PCM or WAV, silence as MP3."""

import io
import math
import struct
import wave

RATE = 24_000
_HERTZ = 400
_LOUDNESS = 6_000
_MP3_FRAME_S = 1_152 / 44_100
_MP3_HEADER = b"\xff\xfb\x90\xc4"
"""MPEG-1 Layer III, 128 kbit/s, 44.1 kHz, one channel (ISO/IEC 11172-3, 2.4.1.3)."""
_MP3_FRAME_BYTES = 417
"""144 * 128,000 / 44,100. All zeros after the header: no sample is coded, which is silence."""


def pcm(seconds: float) -> bytes:
    """A tone of 16 bits at ``RATE``, one channel."""
    period = RATE // _HERTZ
    wavelet = b"".join(
        struct.pack("<h", round(_LOUDNESS * math.sin(2 * math.pi * at / period))) for at in range(period)
    )
    return wavelet * max(1, round(seconds * _HERTZ))


def wav(seconds: float) -> bytes:
    """The same with its header."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE)
        writer.writeframes(pcm(seconds))
    return file.getvalue()


def mp3(seconds: float) -> bytes:
    """Silence: to code a tone takes an encoder."""
    frame = _MP3_HEADER + bytes(_MP3_FRAME_BYTES - len(_MP3_HEADER))
    return frame * max(1, math.ceil(seconds / _MP3_FRAME_S))
