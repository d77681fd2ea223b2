"""The Anthropic Messages dialect (docs.anthropic.com, API reference: Messages, Streaming Messages)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from gateway.billing.prices import Counts, TokenUsage
from gateway.inference.dialects.codec import Quirks
from gateway.inference.dialects.dialect import RequestFacts
from gateway.inference.dialects.fields import Count, Usd, optional_bool, positive_int, text_field
from gateway.inference.dialects.frames import FrameSplitter, data_lines
from gateway.inference.dialects.server_tools import objects, offered
from gateway.inference.dialects.units import usd_of
from kit.errors import InvalidRequest
from kit.json import NOT_JSON

API_VERSION = "2023-06-01"
_CLIENTS_OWN = frozenset({"bash", "computer", "memory", "text_editor"})
"""Tools with a dated type that the client runs itself."""
_FILTERING_SINCE = "260209"
BYTES_PER_TOKEN = 4
"""Used only to count what was delivered when a provider did not say."""


class _CacheCreation(msgspec.Struct):
    ephemeral_5m_input_tokens: Count = 0
    ephemeral_1h_input_tokens: Count = 0


class _ServerToolUse(msgspec.Struct):
    web_search_requests: Count = 0
    web_fetch_requests: Count = 0


class _Usage(msgspec.Struct):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_creation: _CacheCreation | None = None
    server_tool_use: _ServerToolUse | None = None
    speed: str | None = None
    cost: Usd | None = None
    """OpenRouter's."""


class _Delta(msgspec.Struct):
    text: str = ""
    partial_json: str = ""
    thinking: str = ""
    container: Any = None


class _Message(msgspec.Struct):
    usage: _Usage | None = None
    container: Any = None


class _Event(msgspec.Struct):
    type: str = ""
    message: _Message | None = None
    delta: _Delta | None = None
    usage: _Usage | None = None


_decode_event = msgspec.json.Decoder(_Event).decode


class AnthropicDialect:
    name = "anthropic"
    counts_tools = True

    def server_tools(self, body: Mapping[str, Any]) -> Counts:
        return _server_tools(body.get("tools"))

    def path_of(self, model: str, *, stream: bool) -> str:  # noqa: ARG002 - the same for all
        return "/v1/messages"

    def facts(self, body: Mapping[str, Any]) -> RequestFacts:
        if not isinstance(body.get("messages"), list) or not body["messages"]:
            raise InvalidRequest("messages: expected a list with at least one message", param="messages")
        max_tokens = positive_int(body, "max_tokens")
        if max_tokens is None:
            raise InvalidRequest("max_tokens: expected a positive integer", param="max_tokens")
        return RequestFacts(
            model=text_field(body, "model"),
            stream=optional_bool(body, "stream"),
            max_tokens=max_tokens,
            tier="fast" if body.get("speed") == "fast" else None,
        )

    def patch(
        self,
        body: Mapping[str, Any],  # noqa: ARG002 - the dialects share a shape
        facts: RequestFacts,
        *,
        model: str,
        max_tokens: int | None,
        quirks: Quirks,  # noqa: ARG002 - the dialects share a shape
    ) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        if facts.model != model:
            changes["model"] = model
        if max_tokens is not None:
            changes["max_tokens"] = max_tokens
        return changes

    def request_headers(self, api_key: str | None, client_headers: Mapping[str, str]) -> dict[str, str]:
        headers = {
            "content-type": "application/json",
            "anthropic-version": client_headers.get("anthropic-version", API_VERSION),
        }
        if "anthropic-beta" in client_headers:
            headers["anthropic-beta"] = client_headers["anthropic-beta"]
        if api_key:
            headers["x-api-key"] = api_key
        return headers

    def response_usage(self, body: Mapping[str, Any]) -> TokenUsage | None:
        if not isinstance(body.get("usage"), dict):
            return None
        try:
            usage = msgspec.convert(body["usage"], _Usage)
            return _token_usage(usage, container=isinstance(body.get("container"), dict))
        except msgspec.ValidationError:
            return None

    def tap(self, facts: RequestFacts) -> "AnthropicTap":  # noqa: ARG002 - the dialects share a shape
        return AnthropicTap()


class AnthropicTap:
    """Reads usage from ``message_start`` and the cumulative ``message_delta``; bytes pass unchanged."""

    def __init__(self) -> None:
        self.complete = False
        self.failed = False
        self._frames = FrameSplitter()
        self._usage: _Usage | None = None
        self._final = False
        self._container = False
        self._delivered = 0

    def feed(self, chunk: bytes) -> bytes:
        for frame in self._frames.feed(chunk):
            for data in data_lines(frame):
                self._see(data)
        return chunk

    def end(self) -> bytes:
        for data in data_lines(self._frames.rest()):
            self._see(data)
        return b""

    def usage(self, input_estimate: int) -> TokenUsage:
        seen = self._usage or _Usage()
        counted = -(-self._delivered // BYTES_PER_TOKEN)
        if seen.input_tokens is None:
            seen.input_tokens = input_estimate
        if not self._final:
            seen.output_tokens = max(seen.output_tokens or 0, counted)
        usage = _token_usage(seen, container=self._container)
        return usage if self._final else replace(usage, estimated=True)

    def error_frames(self, message: str, code: str) -> bytes:
        error = {"type": "error", "error": {"type": "api_error", "message": message, "code": code}}
        return b"event: error\ndata: " + msgspec.json.encode(error) + b"\n\n"

    def _see(self, data: bytes) -> None:
        try:
            event = _decode_event(data)
        except NOT_JSON:
            return
        if event.type == "content_block_delta" and event.delta is not None:
            delta = event.delta
            self._delivered += len(delta.text) + len(delta.partial_json) + len(delta.thinking)
        elif event.type == "message_start" and event.message is not None:
            self._usage = event.message.usage
            self._container |= event.message.container is not None
        elif event.type == "message_delta" and event.usage is not None:
            self._usage = _merge(self._usage, event.usage)
            self._final = True
            self._container |= event.delta is not None and event.delta.container is not None
        elif event.type == "message_stop":
            self.complete = True
        elif event.type == "error":
            self.failed = True


def _merge(first: _Usage | None, later: _Usage) -> _Usage:
    if first is None:
        return later
    for name in later.__struct_fields__:
        value = getattr(later, name)
        if value is not None:
            setattr(first, name, value)
    return first


def _token_usage(usage: _Usage, *, container: bool) -> TokenUsage:
    written = usage.cache_creation_input_tokens or 0
    written_1h = usage.cache_creation.ephemeral_1h_input_tokens if usage.cache_creation else 0
    tools = usage.server_tool_use or _ServerToolUse()
    extras = (("web_fetch", tools.web_fetch_requests), ("code_execution", int(container)))
    return TokenUsage(
        input_tokens=usage.input_tokens or 0,
        output_tokens=usage.output_tokens or 0,
        cache_read_tokens=usage.cache_read_input_tokens or 0,
        cache_write_tokens=max(0, written - written_1h),
        cache_write_1h_tokens=written_1h,
        web_searches=tools.web_search_requests,
        extras=tuple(extra for extra in extras if extra[1]),
        tier="fast" if usage.speed == "fast" else None,
        reported_usd=usd_of(usage.cost),
    )


def _server_tools(tools: Any) -> Counts:
    """Tools are told apart by a dated type (``web_search_20250305``); those of the client have none, or run
    with the client. One container for code serves a call; it is free beside web tools that filter with code
    (platform.claude.com, Pricing: Code execution tool)."""
    found: list[tuple[str, int | None]] = []
    filtering = False
    for tool in objects(tools):
        kind, _, date = str(tool.get("type", "")).rpartition("_20")
        if not date.isdigit() or kind in _CLIENTS_OWN:
            continue
        uses = tool.get("max_uses")
        limit = uses if type(uses) is int and uses > 0 else None
        found.append((kind, 1 if kind == "code_execution" else limit))
        filtering |= kind in ("web_search", "web_fetch") and date >= _FILTERING_SINCE
    return offered(use for use in found if not (filtering and use[0] == "code_execution"))
