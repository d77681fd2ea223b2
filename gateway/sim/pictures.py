"""Images in OpenAI's form: small PNG files, of a colour that depends on the prompt."""

import base64
import hashlib
import struct
import zlib
from typing import Any

from gateway.sim.conversation import Refused, is_count
from gateway.sim.made import Made, Wanted, as_events, as_json, text_in, tokens_in

SIDE = 64
TOKENS = 272
"""What each is said to have taken, whatever was asked for."""
MAX_IMAGES = 10


def draw(wanted: Wanted) -> Made:
    """``POST /images/generations``. Raises Refused."""
    fields = wanted.fields()
    text_in(fields, "model")
    prompt = text_in(fields, "prompt")
    count = fields.get("n") or 1
    if not is_count(count) or count > MAX_IMAGES:
        raise Refused(400, f"Invalid 'n': expected an integer from 1 to {MAX_IMAGES}.", param="n")
    pictures = [base64.b64encode(picture(f"{number} {prompt}")).decode() for number in range(count)]
    if fields.get("stream") is True:
        return as_events(_events(fields, prompt, pictures))
    by_url = fields.get("response_format") == "url"
    data = [{"url": f"data:image/png;base64,{made}"} if by_url else {"b64_json": made} for made in pictures]
    return as_json({"created": 1_767_225_600, "data": data, "usage": _usage(prompt, count)})


def picture(seed: str) -> bytes:
    """A PNG file of one colour (W3C, Portable Network Graphics)."""
    colour = hashlib.blake2b(seed.encode("utf-8", "surrogatepass"), digest_size=3).digest()
    rows = (b"\0" + colour * SIDE) * SIDE
    head = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    chunks = (b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _events(fields: dict[str, Any], prompt: str, pictures: list[str]) -> list[dict[str, Any]]:
    partials = fields.get("partial_images") or 0
    shown = {"b64_json": pictures[0], "output_format": "png", "size": f"{SIDE}x{SIDE}"}
    events: list[dict[str, Any]] = [
        {"type": "image_generation.partial_image", "partial_image_index": number, **shown}
        for number in range(partials if is_count(partials) else 0)
    ]
    for made in pictures:
        done = {"type": "image_generation.completed", **shown, "b64_json": made}
        events.append({**done, "usage": _usage(prompt, 1)})
    return events


def _usage(prompt: str, count: int) -> dict[str, Any]:
    read, drawn = tokens_in(prompt), TOKENS * count
    return {
        "input_tokens": read,
        "output_tokens": drawn,
        "total_tokens": read + drawn,
        "input_tokens_details": {"text_tokens": read, "image_tokens": 0},
        "output_tokens_details": {"text_tokens": 0, "image_tokens": drawn},
    }
