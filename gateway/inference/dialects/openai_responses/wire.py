"""The OpenAI Responses dialect byte for byte (developers.openai.com, API reference: Responses)."""

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.billing.prices import Counts, TokenUsage
from gateway.inference.dialects.anthropic.wire import BYTES_PER_TOKEN
from gateway.inference.dialects.codec import Quirks
from gateway.inference.dialects.dialect import RequestFacts
from gateway.inference.dialects.events import Failed
from gateway.inference.dialects.fields import optional_bool, positive_int, text_field
from gateway.inference.dialects.frames import FrameSplitter, data_lines
from gateway.inference.dialects.openai_responses.failure import never_started, tell_failure
from gateway.inference.dialects.openai_responses.reading import NAME
from gateway.inference.dialects.openai_responses.stream_writers import Frames
from gateway.inference.dialects.openai_responses.tools import is_web_search
from gateway.inference.dialects.openai_responses.usage import decode_usage
from gateway.inference.dialects.server_tools import dear_tier, objects, offered
from kit.errors import InvalidRequest, Unsupported
from kit.json import NOT_JSON

_UNPRICED = ("background", "conversation", "previous_response_id", "prompt")
"""Fields whose input or usage the request's and the answer's bytes do not show."""

_FIRST = "response.created"
_LAST = {"response.completed", "response.incomplete", "response.failed"}
_WITH_RESPONSE = {_FIRST, *_LAST}
_MOST_EVENTS = 2**53


class _Event(msgspec.Struct):
    type: str = ""
    delta: Any = None
    sequence_number: Any = None
    response: msgspec.Raw = msgspec.Raw(b"null")


_decode_event = msgspec.json.Decoder(_Event).decode


class OpenAIResponsesDialect:
    name = NAME
    counts_tools = True

    def server_tools(self, body: Mapping[str, Any]) -> Counts:
        return _server_tools(body)

    def path_of(self, model: str, *, stream: bool) -> str:  # noqa: ARG002 - the same for all
        return "/responses"

    def facts(self, body: Mapping[str, Any]) -> RequestFacts:
        if not isinstance(body.get("input"), str | list) or not body["input"]:
            raise InvalidRequest("input: expected a text or a list of items", param="input")
        for name in _UNPRICED:
            if body.get(name):
                raise Unsupported(f"{name}: what it costs cannot be known from the request", param=name)
        positive_int(body, "max_tool_calls")
        return RequestFacts(
            model=text_field(body, "model"),
            stream=optional_bool(body, "stream"),
            max_tokens=positive_int(body, "max_output_tokens"),
            tier=dear_tier(body),
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
            changes["max_output_tokens"] = max_tokens
        return changes

    def request_headers(self, api_key: str | None, client_headers: Mapping[str, str]) -> dict[str, str]:
        headers = {"content-type": "application/json"}
        if "openai-beta" in client_headers:
            headers["openai-beta"] = client_headers["openai-beta"]
        if api_key:
            headers["authorization"] = f"Bearer {api_key}"
        return headers

    def response_usage(self, body: Mapping[str, Any]) -> TokenUsage | None:
        return decode_usage(body)

    def tap(self, facts: RequestFacts) -> "OpenAIResponsesTap":
        return OpenAIResponsesTap(facts.model)


class OpenAIResponsesTap:
    """Reads the usage of the final response; bytes pass unchanged."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._created: dict[str, Any] | None = None
        """The response as it began."""
        self._next_number = 0
        self.complete = False
        self.failed = False
        self._frames = FrameSplitter()
        self._usage: TokenUsage | None = None
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
        if self._usage is not None:
            return self._usage
        return TokenUsage(
            input_tokens=input_estimate,
            output_tokens=-(-self._delivered // BYTES_PER_TOKEN),
            estimated=True,
        )

    def error_frames(self, message: str, code: str) -> bytes:
        """The response fails as it began: what it holds by now was told item by item."""
        frames = Frames(self._next_number)
        response = self._created
        if response is None:
            response = never_started(self._model)
            frames.emit("response.created", {"response": response})
        tell_failure(frames, response, Failed(message=message, code=code))
        return frames.take()

    def _see(self, data: bytes) -> None:
        try:
            event = _decode_event(data)
            if event.type in _WITH_RESPONSE:
                self._see_response(event.type, msgspec.json.decode(event.response))
        except NOT_JSON:
            return
        if isinstance(event.delta, str):
            self._delivered += len(event.delta)
        if isinstance(event.sequence_number, int) and 0 <= event.sequence_number < _MOST_EVENTS:
            self._next_number = event.sequence_number + 1
        self.complete |= event.type in _LAST
        self.failed |= event.type in ("response.failed", "error")

    def _see_response(self, kind: str, response: Any) -> None:
        known = response if isinstance(response, dict) else None
        if kind == _FIRST:
            self._created = known
        else:
            self._usage = None if known is None else decode_usage(known)


_FREE = frozenset(
    {"function", "custom", "namespace", "mcp", "tool_search", "local_shell", "apply_patch", "computer"}
)
"""Tools that the client runs, or that cost nothing but their tokens."""


def _server_tools(body: Mapping[str, Any]) -> Counts:
    """The tools that cost money beside their tokens (developers.openai.com, Pricing: Built-in tools).
    ``max_tool_calls`` bounds all tools of the server together; one container for code serves a call."""
    limit = positive_int(body, "max_tool_calls")
    names = {name for tool in objects(body.get("tools")) if (name := _priced_name(tool)) is not None}
    return offered((name, 1 if name.startswith("code_execution") else limit) for name in sorted(names))


def _priced_name(tool: Mapping[str, Any]) -> str | None:
    kind = str(tool.get("type", ""))
    if kind in _FREE or kind.startswith("computer_use"):
        return None
    if is_web_search(kind):
        return "web_search_preview" if kind.startswith("web_search_preview") else "web_search"
    if kind in ("code_interpreter", "shell"):
        place = tool.get("container" if kind == "code_interpreter" else "environment")
        settings = place if isinstance(place, dict) else {}
        if settings.get("type") == "local" or (kind == "shell" and not settings):
            return None
        memory = settings.get("memory_limit")
        return "code_execution" if memory in (None, "1g") else f"code_execution_{memory}"
    return kind
