"""What goes into the broker and what comes out: scopes, selections, calls, results."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import mcp_types
import msgspec

from broker.elicitation import Question
from kit.json import storable
from kit.trace_context import TraceContext

MAX_RESULT_CHARS = 100_000
"""Of a result's text that a model is shown."""
MAX_OUTPUT_BYTES = 1024 * 1024
"""Of the JSON that events and reads of a turn show as a call's output."""
MAX_FULL_BYTES = 8 * 1024 * 1024
"""Of an answer: more is refused, and so much is kept for whoever asks for the whole of it."""
UNTRUSTED = "untrusted"
"""In a call's record, and on its result in a thread: what it gave came from outside, and is marked as data in
what models are sent."""
CUT_MARK = "\n[… {cut} characters left out …]\n"


class Ask(Protocol):
    """Puts a question before the end user while its call is under way."""

    @property
    def patience_s(self) -> float:
        """How long it waits for the answer, at most."""
        ...

    async def __call__(self, question: Question) -> dict[str, Any]:
        """What the server is answered: ``{action, content?}``; a ``cancel`` if nobody answered in time."""
        ...


class Sample(Protocol):
    """Calls a model for a server, at the cost of whoever pays for the call."""

    async def __call__(self, body: dict[str, Any]) -> dict[str, Any]:
        """``body`` is an Anthropic Messages request without a model; returns the message. Raises
        HeddleError."""
        ...


class Progress(Protocol):
    """Told how far a call is, where its server says so."""

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None: ...


@dataclass(frozen=True)
class ToolScope:
    """On whose behalf tools are resolved and called. ``connections``: which of an end user's accounts is
    used, labels by connector; elsewhere it is the one with ``connection_label``. ``trace``: of the request
    that they are called for."""

    account_id: str
    end_user_id: str | None = None
    thread_id: str | None = None
    turn_id: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    connection_label: str = ""
    connections: Mapping[str, str] = field(default_factory=dict)
    trace: TraceContext | None = None

    def label_at(self, connector: str) -> str:
        """Which of the end user's accounts at a connector is used."""
        return self.connections.get(connector, self.connection_label)


@dataclass(frozen=True)
class ToolSelection:
    """Which tools a turn may use: none, those named (ids or names), all of the account's, or what it finds
    (``dynamic``) among everything, or those named. ``for_models`` is false where a client calls: there are
    tools that only user interfaces call (MCP Apps)."""

    mode: Literal["none", "explicit", "tenant", "dynamic"]
    tools: tuple[str, ...] = ()
    for_models: bool = True


@dataclass(frozen=True)
class ToolCall:
    """A call as the model made it; ``name`` is the model-safe name."""

    tool_use_id: str
    name: str
    input: dict[str, Any]
    created_at: int
    """Unix milliseconds."""
    iteration: int = 1


@dataclass(frozen=True)
class ToolResult:
    """What a call came to: ``output`` for the client's event, ``content`` (Anthropic ``tool_result``
    blocks) for the model, ``record`` for the developer (target, status, latency_ms, bytes; no secrets).
    ``answered``: the tool itself gave it, be it to say that it failed. ``full``: the whole output as JSON,
    where ``output`` is not all of it. ``for_client``: what its event has besides, and no model sees.
    ``given``: what an MCP server answered, as it came, for those who speak MCP themselves; it is not kept."""

    output: Any
    content: list[dict[str, Any]]
    is_error: bool = False
    record: dict[str, Any] = field(default_factory=dict)
    answered: bool = False
    full: bytes | None = field(default=None, repr=False)
    for_client: dict[str, Any] | None = None
    given: mcp_types.CallToolResult | None = field(default=None, repr=False, compare=False)

    @property
    def whole_output(self) -> Any:
        """The output, nothing of it left out; to be encoded as JSON."""
        return self.output if self.full is None else msgspec.Raw(self.full)


@dataclass(frozen=True)
class NeedsConnection:
    """The call cannot be made before the end user has connected an account."""

    connector: str
    display_name: str
    connect_url: str = field(repr=False)
    expires_at: int = 0
    label: str = ""


@dataclass(frozen=True)
class AnswersLater:
    """A webhook took the call, and will bring its output to us when it has it."""

    tool_id: str
    tool_name: str
    record: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class NeedsInput:
    """Its server wants to know something before it answers. ``state`` belongs to this call: it is made again
    with it and the answers (``Resume``), by any process; nobody else is shown it."""

    server: str
    questions: tuple[Question, ...]
    state: dict[str, Any] = field(repr=False)
    record: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TaskUnderWay:
    """Its server works on it for longer, as a task, and is asked for it (``Broker.poll_task``) with
    ``state``, not before ``poll_after_ms``. ``questions`` are those that it has not asked before."""

    server: str
    state: dict[str, Any] = field(repr=False)
    poll_after_ms: int = 0
    message: str | None = None
    questions: tuple[Question, ...] = ()
    record: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Resume:
    """With what a call goes on: the ``state`` that it had come to, the answers by the questions' keys."""

    state: dict[str, Any] = field(repr=False)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)


Outcome = ToolResult | NeedsConnection | AnswersLater | NeedsInput | TaskUnderWay
"""What a dispatched call can come to."""


def error_result(message: str, record: dict[str, Any] | None = None) -> ToolResult:
    """A failure that the model is told of, in words it can act on."""
    return ToolResult(
        output={"error": message},
        content=[{"type": "text", "text": message}],
        is_error=True,
        record=record or {},
    )


def json_result(output: Any, *, is_error: bool, record: dict[str, Any]) -> ToolResult:
    """A JSON output: a text goes to the model as it is, anything else as JSON text."""
    output = storable(output)
    text = output if isinstance(output, str) else msgspec.json.encode(output).decode()
    return ToolResult(output, [text_block(text)], is_error, _cut(text, record), answered=True)


def large_json_result(raw: bytes, *, is_error: bool, record: dict[str, Any]) -> ToolResult:
    """The same for an output that is too large to be shown whole, given as JSON (valid, UTF-8)."""
    text = msgspec.json.decode(raw, type=str) if raw.startswith(b'"') else raw.decode()
    shown = text_block(storable(text))
    return ToolResult(shown["text"], [shown], is_error, _cut(text, record), answered=True, full=raw)


def _cut(text: str, record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "cut": True} if len(text) > MAX_RESULT_CHARS else record


def text_block(text: str) -> dict[str, Any]:
    """A text for the model; never empty, which the model APIs refuse."""
    return {"type": "text", "text": shorten(text) if text.strip() else "(no output)"}


def shorten(text: str, limit: int = MAX_RESULT_CHARS) -> str:
    """Keep head and tail of an oversize text, with a mark where it was cut."""
    if len(text) <= limit:
        return text
    keep = limit // 2
    return text[:keep] + CUT_MARK.format(cut=len(text) - 2 * keep) + text[len(text) - keep :]
