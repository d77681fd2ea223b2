"""What an answer with images is billed by."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import msgspec

from gateway.billing.prices import TokenUsage
from gateway.inference.dialects.anthropic.wire import BYTES_PER_TOKEN
from gateway.inference.dialects.fields import Count, Count64
from gateway.inference.dialects.units import parts_of, usd_of_ticks
from gateway.inference.media.image_tokens import PARTIAL_IMAGE_TOKENS, image_tokens
from gateway.inference.media.streams import EventPayloads, TellsAsOpenAI
from kit.json import NOT_JSON


class _Details(msgspec.Struct):
    text_tokens: Count | None = None
    image_tokens: Count | None = None


class _Usage(msgspec.Struct):
    """OpenAI's tokens (API reference: Images), and xAI's charge."""

    input_tokens: Count | None = None
    output_tokens: Count | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None
    cost_in_usd_ticks: Count64 | None = None


class _Answer(msgspec.Struct):
    data: list[Any]
    usage: Any = None
    size: Any = None
    quality: Any = None


class _Event(msgspec.Struct):
    type: str = ""
    usage: Any = None
    size: Any = None
    quality: Any = None


@dataclass(frozen=True, slots=True)
class ImageMeter:
    """What is billed for a request: images, or the tokens that the provider counts, else estimated ones."""

    by_image: bool
    model: str
    count: int
    frames: int
    size: str | None
    quality: str | None
    prompt_bytes: int

    def usage(self, reported: Any, images: int, made: Mapping[str, Any]) -> TokenUsage:
        """The usage of ``images`` from what the provider ``reported`` with them; ``made`` may name the size
        and quality that it chose."""
        usage = _usage(reported)
        charge = usd_of_ticks(usage.cost_in_usd_ticks) if usage is not None else None
        if charge:
            return TokenUsage(reported_usd=charge)
        if self.by_image:
            return TokenUsage(extras=(("image", images),))
        if usage is None or usage.output_tokens is None:
            return self.estimate(made, images)
        drawn = usage.output_tokens_details
        read = usage.input_tokens_details
        return TokenUsage(
            input_tokens=usage.input_tokens or 0,
            output_tokens=usage.output_tokens,
            parts=parts_of(
                input_image=read.image_tokens if read is not None else None,
                output_image=usage.output_tokens if drawn is None else drawn.image_tokens,
            ),
        )

    def estimate(self, made: Mapping[str, Any] | None, images: int, partials: int = 0) -> TokenUsage:
        """The usage where the provider tells none; of an answer that nobody saw, what was asked for."""
        images = images or self.count
        if self.by_image:
            return TokenUsage(extras=(("image", images),))
        named = {name: value for name, value in (made or {}).items() if isinstance(value, str)}
        size, quality = named.get("size", self.size), named.get("quality", self.quality)
        each = image_tokens(self.model, size, quality) * self.frames
        tokens = each * images + partials * PARTIAL_IMAGE_TOKENS
        return TokenUsage(
            input_tokens=-(-self.prompt_bytes // BYTES_PER_TOKEN),
            output_tokens=tokens,
            parts=parts_of(output_image=tokens),
            estimated=True,
        )


def usage_of_answer(body: bytes, meter: ImageMeter) -> TokenUsage:
    """Raises msgspec.DecodeError if this is no answer with images."""
    answer = msgspec.json.decode(body, type=_Answer)
    made = {"size": answer.size, "quality": answer.quality}
    return meter.usage(answer.usage, len(answer.data), made)


def _usage(reported: Any) -> _Usage | None:
    try:
        return msgspec.convert(reported, _Usage)
    except msgspec.ValidationError:
        return None


class ImagesTap(TellsAsOpenAI):
    """Watches a stream of ``image_generation`` events (API reference: Image streaming)."""

    def __init__(self, meter: ImageMeter) -> None:
        self.complete = False
        self.failed = False
        self._meter = meter
        self._payloads = EventPayloads()
        self._made: dict[str, Any] = {}
        self._partials = 0
        self._images: list[TokenUsage] = []

    def feed(self, chunk: bytes) -> bytes:
        for payload in self._payloads.feed(chunk):
            self._note(payload)
        return chunk

    def end(self) -> bytes:
        return b""

    def usage(self, input_estimate: int) -> TokenUsage:  # noqa: ARG002 - images know their own
        if not self._images:
            return self._meter.estimate(self._made, 0, self._partials)
        return _sum(self._images)

    def _note(self, payload: bytes) -> None:
        try:
            event = msgspec.json.decode(payload, type=_Event)
        except NOT_JSON:
            return
        self._made = {"size": event.size, "quality": event.quality}
        if event.type.endswith(".partial_image"):
            self._partials += 1
        elif event.type.endswith(".completed"):
            self._images.append(self._meter.usage(event.usage, 1, self._made))
            self.complete = True
        elif event.type == "error" or event.type.endswith(".failed"):
            self.failed = True


def _sum(usages: list[TokenUsage]) -> TokenUsage:
    """Of several images, each of which told its own."""
    whole = usages[0]
    for usage in usages[1:]:
        charges = [charge for charge in (whole.reported_usd, usage.reported_usd) if charge is not None]
        whole = replace(
            whole,
            input_tokens=whole.input_tokens + usage.input_tokens,
            output_tokens=whole.output_tokens + usage.output_tokens,
            parts=tuple(_added(dict(whole.parts), dict(usage.parts)).items()),
            extras=tuple(_added(dict(whole.extras), dict(usage.extras)).items()),
            reported_usd=sum(charges, Decimal(0)) if charges else None,
            estimated=whole.estimated or usage.estimated,
        )
    return whole


def _added(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    return {name: first.get(name, 0) + second.get(name, 0) for name in {**first, **second}}
