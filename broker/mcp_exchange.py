"""One tool's call at an MCP server, over all the round trips that it takes.

Source: MCP specification 2026-07-28, basic/patterns/mrtr; for ``URL_ELICITATION_REQUIRED``, revision
2025-11-25, client/elicitation. A server's ``requestState`` is kept and sent back as it came, only to the
server that gave it, only for the call that it was given for, and is shown to nobody.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mcp_types
from mcp import MCPError
from pydantic import TypeAdapter, ValidationError

from broker.calls import NeedsInput, TaskUnderWay
from broker.elicitation import Question, UnusableQuestion, read_question
from broker.mcp_interaction import MAX_QUESTIONS, MAX_ROUNDS, CallUnderWay, InteractiveClient
from broker.mcp_listing import mirror_parameters
from broker.mcp_tasks import Suspended, TaskCreated, poll_after_ms, status_message
from broker.sampling import sampled
from broker.stopwatch import Stopwatch
from broker.tool import CallContext
from kit.json import unstorable_place

MAX_STATE_CHARS = 256 * 1024
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 5.0
"""Between rounds that ask nothing: the server is waiting for something itself."""
INPUT, URL, TASK = "input", "url", "task"
"""What a suspended call waits for: answers that go with it, a URL's visit before it, the end of a task."""

_REQUESTS: TypeAdapter[dict[str, mcp_types.InputRequest]] = TypeAdapter(dict[str, mcp_types.InputRequest])


class CannotGoOn(Exception):
    """A call whose server wants what it cannot have; the message is fit for a model and a developer."""


@dataclass(frozen=True)
class UrlRequired:
    """The server wants URLs to be visited before the call can be made at all."""

    urls: list[mcp_types.ElicitRequestURLParams]


@dataclass(frozen=True)
class McpToolCall:
    """A tool of a server, what it is called with, and within what time. ``whole``: whether the client gets
    the server's result as it is, besides what the model is told; ``input_schema``: as it was listed, since
    some servers want arguments repeated in headers; ``trace``: W3C Trace Context, as ``_meta`` has it."""

    server: str
    tool: str
    arguments: dict[str, Any]
    retry_safe: bool
    timeout_s: float | None = None
    whole: bool = False
    input_schema: Mapping[str, Any] | None = None
    trace: Mapping[str, str] | None = None


class ToolExchange:
    """Raises CannotGoOn if what the call is to go on with is another server's or another tool's."""

    def __init__(self, server_id: str, call: McpToolCall, context: CallContext) -> None:
        self._server_id, self._server_name = server_id, call.server
        self._tool = call.tool
        self._call = call
        self._context = context
        self.stopwatch = Stopwatch()
        self._round = 0
        self._request_state: str | None = None
        self._responses: dict[str, Any] | None = None
        resume = context.resume
        if resume is not None:
            if (resume.state["server_id"], resume.state["tool"]) != (self._server_id, call.tool):
                raise CannotGoOn("the server that asked is not the one that this tool belongs to any more")
            self._round = resume.state["round"]
            self._go_on(resume.state, resume.answers)

    async def send(self, client: InteractiveClient, timeout_s: float) -> mcp_types.Result | UrlRequired:
        """One round: the result, or what the call has come to instead. Raises as ``Client.call_tool``."""
        ask = self._context.ask
        patience_s = ask.patience_s * MAX_ROUNDS if ask is not None else 0
        mirror_parameters(client, self._tool, self._call.input_schema)
        meta: Any = None if self._call.trace is None else dict(self._call.trace)
        with client.asking(CallUnderWay(ask, self._context.sample, self.stopwatch)):
            try:
                return await client.call_tool(
                    self._tool,
                    self._call.arguments,
                    read_timeout_seconds=timeout_s + patience_s,
                    progress_callback=self._context.on_progress,
                    input_responses=self._responses,
                    request_state=self._request_state,
                    meta=meta,
                )
            except Suspended as suspended:
                return suspended.result
            except MCPError as error:
                required = _url_required(error)
                if required is None:
                    raise
                return required

    async def next_round(self, result: mcp_types.InputRequiredResult, *, sampling: bool) -> bool:
        """Get ready to go on at once with a round that asked nothing, or only models; False if the end user
        is asked. ``sampling``: whether models may be. Raises CannotGoOn."""
        requests = result.input_requests or {}
        wanted = {
            key: one.params
            for key, one in requests.items()
            if isinstance(one, mcp_types.CreateMessageRequest)
        }
        sample = self._context.sample if sampling else None
        if len(wanted) < len(requests) or (wanted and sample is None):
            return False
        self._next(result.request_state)
        self._request_state, self._responses = result.request_state, None
        if sample is None or not wanted:
            await asyncio.sleep(min(FIRST_PAUSE_S * 2**self._round, LONGEST_PAUSE_S))
            return True
        self._responses = {}
        for key, params in list(wanted.items())[:MAX_QUESTIONS]:
            answer = await sampled(sample, params)
            if isinstance(answer, mcp_types.ErrorData):
                raise CannotGoOn(f"its server wanted a model to be called: {answer.message}")
            self._responses[key] = answer
        return True

    def needs_input(self, result: mcp_types.InputRequiredResult, record: dict[str, Any]) -> NeedsInput:
        """Raises CannotGoOn."""
        self._next(result.request_state)
        found = questions(result.input_requests or {})
        state = self._state(INPUT, request_state=result.request_state, keys=[one.key for one in found])
        return NeedsInput(self._server_name, found, state, record)

    def needs_url(self, required: UrlRequired, record: dict[str, Any]) -> NeedsInput:
        """Raises CannotGoOn."""
        self._next(None)
        asked = [(str(number), params) for number, params in enumerate(required.urls[:MAX_QUESTIONS])]
        try:
            found = tuple(read_question(key, params) for key, params in asked)
        except UnusableQuestion as problem:
            raise CannotGoOn(f"its server asks for something that nobody can be asked: {problem}") from None
        return NeedsInput(self._server_name, found, self._state(URL, keys=[key for key, _ in asked]), record)

    def task(self, created: TaskCreated, record: dict[str, Any], *, whole: bool) -> TaskUnderWay:
        """Raises CannotGoOn."""
        if unstorable_place(created.task_id) is not None:
            raise CannotGoOn("its server gave its task a name that cannot be kept")
        state = self._state(TASK, task_id=created.task_id, asked=[], whole=whole)
        wait_ms = poll_after_ms(created.poll_interval_ms)
        return TaskUnderWay(self._server_name, state, wait_ms, status_message(created), (), record)

    def _next(self, request_state: str | None) -> None:
        self._round += 1
        if self._round > MAX_ROUNDS:
            raise CannotGoOn(f"its server asked for more than {MAX_ROUNDS} times, and was not asked on")
        if request_state is not None and (
            len(request_state) > MAX_STATE_CHARS or unstorable_place(request_state) is not None
        ):
            raise CannotGoOn("its server gave a state that cannot be kept")

    def _go_on(self, state: Mapping[str, Any], answers: Mapping[str, Any]) -> None:
        if state["kind"] == URL:
            if any(answers.get(key, {}).get("action") != "accept" for key in state["keys"]):
                raise CannotGoOn("the end user did not open the page that its server asked for")
            return
        self._request_state = state.get("request_state")
        self._responses = {
            key: mcp_types.ElicitResult.model_validate(answers.get(key, {"action": "cancel"}))
            for key in state["keys"]
        }

    def _state(self, kind: str, **more: Any) -> dict[str, Any]:
        own = {"kind": kind, "server_id": self._server_id, "tool": self._tool, "round": self._round}
        return {**own, "server": self._server_name, **more}


def questions(requests: Mapping[str, Any]) -> tuple[Question, ...]:
    """A server's requests as questions to the end user. Raises CannotGoOn for what nobody can be asked."""
    if len(requests) > MAX_QUESTIONS:
        raise CannotGoOn(f"its server asks more than {MAX_QUESTIONS} questions at once")
    found = []
    try:
        for key, request in _REQUESTS.validate_python(dict(requests), by_name=False).items():
            if not isinstance(request, mcp_types.ElicitRequest):
                raise CannotGoOn(f"its server asks for {request.method}, which it has not been offered")
            if len(key) > 200 or unstorable_place(key) is not None:
                raise CannotGoOn("its server asks under a name that cannot be kept")
            found.append(read_question(key, request.params))
    except UnusableQuestion as problem:
        raise CannotGoOn(f"its server asks for something that nobody can be asked: {problem}") from None
    except ValidationError as error:
        raise CannotGoOn(
            f"its server asks in a form that the protocol does not know ({error.error_count()} problems)"
        ) from None
    return tuple(found)


def _url_required(error: MCPError) -> UrlRequired | None:
    """The URLs that an error names, if it is the one that means so."""
    if error.code != mcp_types.URL_ELICITATION_REQUIRED:
        return None
    try:
        data = mcp_types.ElicitationRequiredErrorData.model_validate(error.error.data, by_name=False)
    except ValidationError:
        return None
    return UrlRequired(data.elicitations) if data.elicitations else None
