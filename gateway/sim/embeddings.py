"""Embeddings: unit vectors that depend on the text alone; texts with words in common are near each other."""

import base64
import hashlib
import math
import re
import struct
from typing import Any

from gateway.sim.conversation import Refused, is_count
from gateway.sim.made import Made, Wanted, as_json, text_in, tokens_in

DIMENSIONS = 1_536
MAX_DIMENSIONS = 8_192
_LARGE, _LARGE_DIMENSIONS = "text-embedding-3-large", 3_072
_MARKS_PER_WORD = 4
_WORD = re.compile(r"\w+")


def embed(wanted: Wanted) -> Made:
    """``POST /embeddings`` in OpenAI's form. Raises Refused."""
    fields = wanted.fields()
    model = text_in(fields, "model")
    inputs = _inputs(fields.get("input"))
    dimensions = fields.get("dimensions")
    if dimensions is None:
        dimensions = _LARGE_DIMENSIONS if model == _LARGE else DIMENSIONS
    if not is_count(dimensions) or dimensions > MAX_DIMENSIONS:
        raise Refused(400, f"dimensions: expected an integer from 1 to {MAX_DIMENSIONS}", param="dimensions")
    as_text = fields.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": number, "embedding": _shown(unit_vector(text, dimensions), as_text)}
        for number, text in enumerate(inputs)
    ]
    count = sum(map(tokens_in, inputs))
    usage = {"prompt_tokens": count, "total_tokens": count}
    return as_json({"object": "list", "data": data, "model": model, "usage": usage})


def unit_vector(text: str, dimensions: int) -> list[float]:
    """Each word marks a few places of its own; the length is 1."""
    values = [0.0] * dimensions
    for word in _WORD.findall(text.lower()) or [text]:
        digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8 * _MARKS_PER_WORD)
        for (mark,) in struct.iter_unpack("<Q", digest.digest()):
            values[(mark >> 1) % dimensions] += 1.0 if mark & 1 else -1.0
    length = math.sqrt(sum(value * value for value in values))
    if not length:  # its words took each other away
        return [1.0, *values[1:]]
    return [value / length for value in values]


def _inputs(asked: Any) -> list[str]:
    """Tokens are taken for words. Raises Refused."""
    if isinstance(asked, str):
        return [asked]
    if isinstance(asked, list) and asked:
        if all(isinstance(one, int) for one in asked):
            return [" ".join(map(str, asked))]
        if all(isinstance(one, str | list) for one in asked):
            return [one if isinstance(one, str) else " ".join(map(str, one)) for one in asked]
    raise Refused(400, "'$.input' is invalid: expected a text or a list.", param="input")


def _shown(vector: list[float], as_text: bool) -> Any:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() if as_text else vector
