"""``POST /v1/images/generations`` in OpenAI's shape (API reference: Images), as several providers have it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from gateway.billing.prices import TokenUsage, bound_of
from gateway.inference.dialects.dialect import RequestFacts, StreamTap
from gateway.inference.dialects.fields import optional_bool, text_field
from gateway.inference.media.asked import Asked
from gateway.inference.media.image_tokens import PARTIAL_IMAGE_TOKENS, TEXT_TOKENS, image_tokens
from gateway.inference.media.image_usage import ImageMeter, ImagesTap, usage_of_answer
from gateway.inference.media.kinds import IMAGES
from gateway.inference.media.passage import OPENAI, MediaPassage
from gateway.inference.media.streams import WholeTap, is_event_stream
from gateway.inference.models import Model
from gateway.inference.plan import Way, parse_object
from kit.errors import InvalidRequest, Unsupported

MAX_IMAGES = 10
MAX_PROMPT_CHARACTERS = 32_000
MAX_PARTIAL_IMAGES = 3
MAX_FRAMES = 16
_USUAL_FRAMES = 9
_PROMPT_OVERHEAD_TOKENS = 100

_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@dataclass(frozen=True, slots=True)
class Images:
    """What was asked for; fields that cost nothing pass through in ``raw``."""

    model: str
    prompt: str
    count: int
    size: str | None
    quality: str | None
    partials: int
    frames: int
    vector: bool
    stream: bool
    raw: bytes = field(repr=False)


def asked_for_images(raw: bytes) -> Asked[Images]:
    """Raises InvalidRequest naming the field."""
    body = parse_object(raw)
    images = Images(
        model=text_field(body, "model"),
        prompt=_prompt(body),
        count=_count(body, "n", 1, MAX_IMAGES, 1),
        size=_choice(body, "size"),
        quality=_choice(body, "quality"),
        partials=_count(body, "partial_images", 0, MAX_PARTIAL_IMAGES, 0),
        frames=_frames(body),
        vector=body.get("output_format") == "svg",
        stream=optional_bool(body, "stream"),
        raw=raw,
    )
    facts = RequestFacts(images.model, images.stream, max_tokens=None, generates=False)
    return Asked(facts, images, {OPENAI.dialect: _way})


def _way(images: Images, model: Model, markup: Decimal) -> Way:
    by_image = IMAGES.sold_by_unit(model)
    if images.vector and not by_image:
        raise Unsupported(
            "output_format: svg is drawn by a second model, which has no price here",
            code="model_not_priced",
            param="output_format",
        )
    most_each = image_tokens(model.upstream_name, images.size, images.quality) * images.frames
    most = (most_each + images.partials * PARTIAL_IMAGE_TOKENS + TEXT_TOKENS) * images.count
    bound = bound_of(
        model.price,
        markup,
        input_tokens=len(images.prompt.encode()) + _PROMPT_OVERHEAD_TOKENS,
        max_output_tokens=most,
        min_output_tokens=most,
        extras=(("image", images.count),),
    )
    meter = ImageMeter(
        by_image=by_image,
        model=model.upstream_name,
        count=images.count,
        frames=images.frames,
        size=images.size,
        quality=images.quality,
        prompt_bytes=len(images.prompt.encode()),
    )
    passage = MediaPassage(
        OPENAI, "/images/generations", _body(images, model), "application/json", ImageReading(meter)
    )
    return Way(passage, bound)


@dataclass(frozen=True, slots=True)
class ImageReading:
    """Answers pass through; only their usage is read."""

    meter: ImageMeter
    framed = True

    def answer(self, body: bytes) -> tuple[bytes, TokenUsage]:
        return body, usage_of_answer(body, self.meter)

    def tap(self, headers: Mapping[str, str]) -> StreamTap:
        if is_event_stream(headers.get("content-type", "")):
            return ImagesTap(self.meter)
        return WholeTap(lambda body: usage_of_answer(body, self.meter), lambda: self.meter.estimate(None, 0))

    def content_type(self, upstream: str) -> str:
        return upstream


def _body(images: Images, model: Model) -> bytes:
    if model.upstream_name == images.model:
        return images.raw
    return msgspec.json.encode({**_decode_fields(images.raw), "model": model.upstream_name})


def _prompt(body: Mapping[str, Any]) -> str:
    prompt = body.get("prompt")
    if not isinstance(prompt, str) or not prompt:
        raise InvalidRequest("prompt: expected a text that says what to draw", param="prompt")
    if len(prompt) > MAX_PROMPT_CHARACTERS:
        raise InvalidRequest(f"prompt: expected at most {MAX_PROMPT_CHARACTERS} characters", param="prompt")
    return prompt


def _count(body: Mapping[str, Any], name: str, least: int, most: int, usual: int) -> int:
    value = body.get(name)
    if value is None:
        return usual
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidRequest(f"{name}: expected an integer from {least} to {most}", param=name)
    return value


def _choice(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidRequest(f"{name}: expected a text", param=name)
    return value


def _frames(body: Mapping[str, Any]) -> int:
    """How many pictures each image consists of: more than one if it moves."""
    if body.get("output_format") != "gif":
        return 1
    return _count(body, "frame_count", 2, MAX_FRAMES, _USUAL_FRAMES)
