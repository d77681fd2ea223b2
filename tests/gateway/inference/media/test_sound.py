"""How long sound lasts, as its bytes tell."""

import io
import struct
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inference.media.sound import LOWEST_BYTES_PER_SECOND, SoundMeter, length_of
from gateway.inference.media.speech_usage import most_speech_tokens
from gateway.inference.media.webm import webm_seconds
from tests.gateway.inference.media.rig import sound


def mp3(frames: int) -> bytes:
    """Silence: MPEG 1 Layer III, 128 kbit/s, 44.1 kHz; a frame of 417 bytes is 1152 samples."""
    return (b"\xff\xfb\x90\x00" + b"\0" * 413) * frames


def flac(samples: int, rate: int = 16_000) -> bytes:
    """A FLAC file's head (RFC 9639, 8.2) with a block of sound."""
    packed = (rate << 44) | (0 << 41) | (15 << 36) | samples
    info = struct.pack(">HH", 4096, 4096) + b"\0" * 6 + packed.to_bytes(8, "big") + b"\0" * 16
    return b"fLaC" + b"\x80" + len(info).to_bytes(3, "big") + info + b"\0" * 1000


def element(name: bytes, content: bytes, *, open_ended: bool = False) -> bytes:
    size = b"\x01" + b"\xff" * 7 if open_ended else b"\x10" + len(content).to_bytes(3, "big")
    return name + size + content


def webm(blocks: int, *, seconds: float | None = None, open_ended: bool = False) -> bytes:
    """Clusters of a second with blocks of 20 ms, as browsers record them."""
    info = element(b"\x2a\xd7\xb1", (1_000_000).to_bytes(3, "big"))
    if seconds is not None:
        info += element(b"\x44\x89", struct.pack(">d", seconds * 1_000))
    content = element(b"\x15\x49\xa9\x66", info)
    for start in range(0, blocks, 50):
        said = element(b"\xe7", (start * 20).to_bytes(4, "big"))
        for number in range(start, min(start + 50, blocks)):
            block = b"\x81" + struct.pack(">h", (number - start) * 20) + b"\x80" + b"\0" * 100
            said += element(b"\xa3", block) if number % 2 else element(b"\xa0", element(b"\xa1", block))
        content += element(b"\x1f\x43\xb6\x75", said, open_ended=open_ended)
    head = element(b"\x1a\x45\xdf\xa3", element(b"\x42\x82", b"webm"))
    return head + element(b"\x18\x53\x80\x67", content, open_ended=open_ended)


@pytest.mark.parametrize(
    ("file", "seconds"),
    [
        (webm(151), 3.0),
        (webm(151, open_ended=True), 3.0),
        (webm(500, seconds=10.02), 10.02),
        (sound(3.5), 3.5),
        (sound(2.0)[:40] + b"\xff\xff\xff\xff" + sound(2.0)[44:], 2.0),
        (sound(0.25, 48_000), 0.25),
        (mp3(1000), 26.1),
        (flac(32_000), 2.0),
    ],
    ids=[
        "webm",
        "webm as it is recorded",
        "webm with its length",
        "wav",
        "wav from a pipe",
        "wav 48 kHz",
        "mp3",
        "flac",
    ],
)
def test_a_files_header_tells_its_length(file: bytes, seconds: float) -> None:
    read = io.BytesIO(file)
    length = length_of(read, len(file))
    assert float(length.seconds) == pytest.approx(seconds, rel=0.01)
    assert length.most >= length.seconds
    assert read.tell() == 0


@pytest.mark.parametrize(
    "file",
    [b"\x01", b"junk" * 100, b"RIFF\0\0\0\0WAVEfmt ", b"OggS" + b"\0" * 60, b"\x1aE\xdf\xa3" + b"\0" * 500],
)
def test_without_a_header_the_size_bounds_it(file: bytes) -> None:
    length = length_of(io.BytesIO(file), len(file))
    assert length.seconds == max(Decimal(1), Decimal(len(file)) / 8_000)
    assert length.most >= len(file) / LOWEST_BYTES_PER_SECOND


def test_a_file_of_nothing_but_heads_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.inference.media.webm._MOST_ELEMENTS", 1_000)
    file, full = webm(100), webm(100) + element(b"\xec", b"") * 2_000
    assert webm_seconds(io.BytesIO(file), len(file)) == pytest.approx(1.98)
    assert webm_seconds(io.BytesIO(full), len(full)) is None


def test_a_file_that_is_cut_off_lasts_as_long_as_what_is_there() -> None:
    file = webm(200)[:-3_000]
    assert webm_seconds(io.BytesIO(file), len(file)) == pytest.approx(3.5, abs=0.1)


@given(st.binary(max_size=400), st.integers(0, 600))
def test_no_change_to_a_webm_file_makes_it_fail(junk: bytes, at: int) -> None:
    file = webm(5, seconds=1.0)
    changed = file[:at] + junk + file[at + len(junk) :]
    assert length_of(io.BytesIO(changed), len(changed)).seconds > 0


def test_a_header_that_states_too_little_is_not_believed() -> None:
    lying = flac(160) + b"\0" * 1_000_000  # a hundredth of a second in a megabyte
    length = length_of(io.BytesIO(lying), len(lying))
    assert length.most > 1_000
    assert length.seconds > 100


@given(
    st.binary(max_size=400),
    st.sampled_from([b"", webm(3)[:60], b"RIFF", b"fLaC", b"OggS", b"ID3", b"\xff\xfb\x90\x00"]),
)
def test_no_bytes_make_it_fail(junk: bytes, magic: bytes) -> None:
    file = magic + junk
    length = length_of(io.BytesIO(file), len(file))
    assert length.seconds > 0
    assert length.most >= 1


@pytest.mark.parametrize(
    ("format_name", "body", "seconds"),
    [("pcm", b"\0" * 72_000, 1.5), ("mp3", mp3(1000), 26.1), ("wav", sound(2, 24_000), 2.0)],
)
def test_sound_that_passes_is_measured(format_name: str, body: bytes, seconds: float) -> None:
    meter = SoundMeter(format_name)
    for at in range(0, len(body), 1000):
        meter.feed(body[at : at + 1000])
    assert meter.seconds() == pytest.approx(seconds, rel=0.01)


def test_formats_whose_bytes_do_not_tell_are_not_measured() -> None:
    meter = SoundMeter("aac")
    meter.feed(b"\xff\xf1" * 1000)
    assert meter.seconds() is None


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Heddles lift the warp so that the shuttle can pass beneath it. " * 20, 20 * 84),
        ("天地玄黄宇宙洪荒日月盈昃辰宿列张" * 20, 20 * 16 * 5),
        ("999999 " * 50, 50 * 83),
    ],
    ids=["English, 15 characters a second", "Chinese, 4 characters a second", "numbers, 4 s each"],
)
def test_the_hold_for_speech_covers_what_slow_speech_takes(text: str, tokens: int) -> None:
    assert most_speech_tokens(text) >= tokens
