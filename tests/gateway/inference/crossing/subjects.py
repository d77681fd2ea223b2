"""What is tried in every case, but for thinking and errors: each asserts what the provider heard."""

import base64
import struct
import zlib

import msgspec

from tests.gateway.inference.crossing.ask import Ask, Said, ToldCall
from tests.gateway.inference.crossing.case import USAGE, Case
from tests.gateway.inference.wire.reply import Call, Reply

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
}
CLOCK = {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]}
REPORT = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "number"}},
    "required": ["city", "degrees"],
    "additionalProperties": False,
}
SIGNATURE = base64.b64encode(bytes(range(256))).decode()
"""As long and as odd as Google's are."""


def png(red: int, green: int, blue: int) -> bytes:
    """A picture of one pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    pixel = chunk(b"IDAT", zlib.compress(bytes([0, red, green, blue])))
    return b"\x89PNG\r\n\x1a\n" + header + pixel + chunk(b"IEND", b"")


async def text(case: Case) -> None:
    """Two rounds of words, the first cut off at the limit."""
    first = Reply("Ærlig talt: det regner i Ålesund ✓ idag", truncated=True, **USAGE)
    ask = Ask((Said('How is "the weather" 🌧?'),))
    told, read = await case.round(ask, first)
    assert told.texts == [("user", 'How is "the weather" 🌧?')]
    told, _ = await case.round(ask.then(read.replayed, Said("And now?")), Reply("Sol.", **USAGE))
    assert told.texts == [
        ("user", 'How is "the weather" 🌧?'),
        ("assistant", first.text),
        ("user", "And now?"),
    ]


async def tools(case: Case) -> None:
    """A tool that must be called, its call, and its result."""
    call = Call("toolu_01Aa-b_9", "weather", '{"city": "Ålesund", "days": 3}', SIGNATURE)
    ask = Ask((Said("Ålesund?"),), tools={"weather": WEATHER, "clock": CLOCK}, forced="weather")
    told, read = await case.round(ask, Reply("Let me see.", [call], **USAGE))
    assert told.choice == "weather"
    told, _ = await case.round(ask.then(read.replayed, read.results("rain ☔")), Reply("Rain.", **USAGE))
    assert told.choice is None
    assert told.calls == [_told(case, call, "rain ☔")]
    assert told.texts == [("user", "Ålesund?"), ("assistant", "Let me see.")]


async def parallel_tools(case: Case) -> None:
    """Three calls at once, two of the same tool; Google signs the first only."""
    calls = [
        Call("toolu_a", "weather", '{"city": "Oslo"}', SIGNATURE),
        Call("toolu_b", "clock", '{"zone": "CET"}'),
        Call("toolu_c", "weather", '{"city": "Lima", "days": 1}'),
    ]
    ask = Ask((Said("Oslo and Lima?"),), tools={"weather": WEATHER, "clock": CLOCK})
    told, read = await case.round(ask, Reply("", calls, **USAGE))
    assert told.choice is None
    texts = ("rain", "12:00", "sun")
    told, _ = await case.round(ask.then(read.replayed, read.results(*texts)), Reply("Done.", **USAGE))
    assert told.calls == [_told(case, call, text) for call, text in zip(calls, texts, strict=True)]


async def images(case: Case) -> None:
    """A picture in the first message and another in a later one."""
    red, blue = png(255, 0, 0), png(0, 0, 255)
    ask = Ask((Said("Which colour?", red),))
    told, read = await case.round(ask, Reply("Red.", **USAGE))
    assert told.images == [("image/png", red)]
    told, _ = await case.round(ask.then(read.replayed, Said("And this?", blue)), Reply("Blue.", **USAGE))
    assert told.images == [("image/png", red), ("image/png", blue)]
    assert told.texts == [("user", "Which colour?"), ("assistant", "Red."), ("user", "And this?")]


async def structured_output(case: Case) -> None:
    """An answer of a schema."""
    answer = '{"city": "Oslo", "degrees": -3.5}'
    told, read = await case.round(Ask((Said("Oslo?"),), schema=REPORT), Reply(answer, **USAGE))
    assert told.schema == REPORT
    assert msgspec.json.decode(read.text) == {"city": "Oslo", "degrees": -3.5}


def _told(case: Case, call: Call, result: str) -> ToldCall:
    """A call as its provider hears it again: Google with its signature."""
    signature = call.signature if case.provider.dialect == "google" else None
    return ToldCall(call.name, msgspec.json.decode(call.arguments), result, signature)
