"""The OpenAI Chat Completions dialect (platform.openai.com, API reference: Chat)."""

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.billing.prices import Counts, TokenUsage
from gateway.inference.dialects.anthropic.wire import BYTES_PER_TOKEN
from gateway.inference.dialects.codec import Quirks
from gateway.inference.dialects.dialect import RequestFacts
from gateway.inference.dialects.fields import optional_bool, positive_int, text_field
from gateway.inference.dialects.frames import FrameSplitter, data_lines
from gateway.inference.dialects.openai_chat.usage import decode_usage, usage_in
from gateway.inference.dialects.server_tools import dear_tier, objects, offered
from kit.errors import InvalidRequest
from kit.json import NOT_JSON

MAX_CHOICES = 128


class _Function(msgspec.Struct):
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: Any = None
    """A text, or Mistral's parts."""
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    usage: Any = None
    """Moonshot's."""


class _Groq(msgspec.Struct):
    usage: Any = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: Any = None
    x_groq: _Groq | None = None
    service_tier: str | None = None
    error: Any = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode


class OpenAIChatDialect:
    name = "openai-chat"
    counts_tools = False

    def server_tools(self, body: Mapping[str, Any]) -> Counts:
        return _server_tools(body)

    def path_of(self, model: str, *, stream: bool) -> str:  # noqa: ARG002 - the same for all
        return "/chat/completions"

    def facts(self, body: Mapping[str, Any]) -> RequestFacts:
        if not isinstance(body.get("messages"), list) or not body["messages"]:
            raise InvalidRequest("messages: expected a list with at least one message", param="messages")
        choices = positive_int(body, "n") or 1
        if choices > MAX_CHOICES:
            raise InvalidRequest(f"n: expected at most {MAX_CHOICES}", param="n")
        options = body.get("stream_options")
        return RequestFacts(
            model=text_field(body, "model"),
            stream=optional_bool(body, "stream"),
            max_tokens=positive_int(body, "max_completion_tokens") or positive_int(body, "max_tokens"),
            choices=choices,
            tier=dear_tier(body),
            wants_usage=isinstance(options, dict) and options.get("include_usage") is True,
        )

    def patch(
        self,
        body: Mapping[str, Any],
        facts: RequestFacts,
        *,
        model: str,
        max_tokens: int | None,
        quirks: Quirks,
    ) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        if facts.model != model:
            changes["model"] = model
        limits = [name for name in ("max_tokens", "max_completion_tokens") if name in body]
        if quirks.max_tokens_field == "max_tokens" and "max_completion_tokens" in limits:
            # A provider that does not know the newer name would answer without any limit.
            changes |= {"max_completion_tokens": msgspec.UNSET, "max_tokens": facts.max_tokens}
            limits = ["max_tokens"]
        if max_tokens is not None:
            changes |= dict.fromkeys(limits or [quirks.max_tokens_field], max_tokens)
        if not quirks.stream_usage_option and "stream_options" in body:
            changes["stream_options"] = msgspec.UNSET
        elif quirks.stream_usage_option and facts.stream and not facts.wants_usage:
            options = body.get("stream_options")
            changes["stream_options"] = {
                **(options if isinstance(options, dict) else {}),
                "include_usage": True,
            }
        return changes

    def request_headers(self, api_key: str | None, client_headers: Mapping[str, str]) -> dict[str, str]:
        headers = {"content-type": "application/json"}
        if "openai-beta" in client_headers:
            headers["openai-beta"] = client_headers["openai-beta"]
        if api_key:
            headers["authorization"] = f"Bearer {api_key}"
        return headers

    def response_usage(self, body: Mapping[str, Any]) -> TokenUsage | None:
        return decode_usage(usage_in(body), tier=body.get("service_tier"))

    def tap(self, facts: RequestFacts) -> "OpenAIChatTap":
        return OpenAIChatTap(hide_usage=not facts.wants_usage)


class OpenAIChatTap:
    """Reads the usage chunk, and keeps it from a client that did not ask for it."""

    def __init__(self, *, hide_usage: bool) -> None:
        self.complete = False
        self.failed = False
        self._hide_usage = hide_usage
        self._frames = FrameSplitter()
        self._usage: Any = None
        self._tier: str | None = None
        self._delivered = 0

    def feed(self, chunk: bytes) -> bytes:
        shown = [frame for frame in self._frames.feed(chunk) if not (self._see(frame) and self._hide_usage)]
        return b"".join(shown) if self._hide_usage else chunk

    def end(self) -> bytes:
        rest = self._frames.rest()
        hidden = self._see(rest) if rest.strip() else False
        return rest if self._hide_usage and not hidden else b""

    def usage(self, input_estimate: int) -> TokenUsage:
        usage = decode_usage(self._usage, tier=self._tier)
        if usage is not None:
            return usage
        return TokenUsage(
            input_tokens=input_estimate,
            output_tokens=-(-self._delivered // BYTES_PER_TOKEN),
            estimated=True,
        )

    def error_frames(self, message: str, code: str) -> bytes:
        return error_frame(message, code)

    def _see(self, frame: bytes) -> bool:
        """Take note of a frame; True if it is the chunk that only carries usage."""
        usage_only = False
        for data in data_lines(frame):
            if data.strip() == b"[DONE]":
                self.complete = True
                continue
            try:
                chunk = _decode_chunk(data)
            except NOT_JSON:
                continue
            if chunk.usage is not None:
                self._usage = chunk.usage
                usage_only = not chunk.choices
            elif chunk.x_groq is not None and chunk.x_groq.usage is not None:
                self._usage = chunk.x_groq.usage
            self._tier = chunk.service_tier or self._tier
            if chunk.error is not None:
                self.failed = True
            for choice in chunk.choices:
                if choice.usage is not None:
                    self._usage = choice.usage
                if choice.delta is not None:
                    self._delivered += _length(choice.delta)
        return usage_only


def error_frame(message: str, code: str) -> bytes:
    """What tells a client of OpenAI's that its stream broke."""
    error = {"error": {"message": message, "type": "server_error", "code": code, "param": None}}
    return b"data: " + msgspec.json.encode(error) + b"\n\n"


def _length(delta: _Delta) -> int:
    total = _text_length(delta.content) + len(delta.reasoning_content or "") + len(delta.refusal or "")
    for call in delta.tool_calls or ():
        total += len((call.function and call.function.arguments) or "")
    return total


def _server_tools(body: Mapping[str, Any]) -> Counts:
    """Whatever in ``tools`` is no function of the client, OpenRouter's plug-ins, OpenAI's web search."""
    names = {name for tool in objects(body.get("tools")) if (name := _priced_name(tool)) is not None}
    for plugin in objects(body.get("plugins")):
        name = str(plugin.get("id", ""))
        names.add("web_search" if name == "web" else name)
    if body.get("web_search_options") is not None:
        names.add("web_search")
    return offered((name, None) for name in sorted(names))


def _priced_name(tool: Mapping[str, Any]) -> str | None:
    kind = str(tool.get("type", "function"))
    if kind in ("function", "custom"):
        return None
    if kind == "builtin_function":  # Moonshot's: {"function": {"name": "$web_search"}}
        function = tool.get("function")
        kind = str(function.get("name")) if isinstance(function, dict) else kind
    return kind.removeprefix("openrouter:").removeprefix("$")


def _text_length(content: Any) -> int:
    if isinstance(content, str):
        return len(content)
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    thoughts = [part["thinking"] for part in parts if isinstance(part.get("thinking"), list)]
    texts = [part for thought in thoughts for part in thought if isinstance(part, dict)]
    return sum(len(part["text"]) for part in parts + texts if isinstance(part.get("text"), str))
