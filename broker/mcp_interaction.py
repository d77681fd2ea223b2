"""What a server asks for between a tool's call and its result.

- Revision 2026-07-28: a call may come to ``input_required`` or to a task instead of its result. The SDK
  would answer by itself, which needs the process that asked; here the call ends, and what it came to
  is handed on as ``Suspended``, so that any process may go on with it, at any later time.
- Handshake revisions: the server sends a request of its own while the call is under way, and waits.
"""

import functools
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import mcp_types
from mcp.client import Client, ClientSession
from mcp.client.extension import advertise
from mcp.client.session import ClientRequestContext

from broker.calls import Ask, Sample
from broker.elicitation import UnusableQuestion, read_question
from broker.mcp_era import initialize_as_named
from broker.mcp_tasks import Suspended, TasksExtension
from broker.sampling import REJECTED, sampled
from broker.stopwatch import Stopwatch

MAX_ROUNDS = 10
"""How often one call may ask: what most SDKs allow."""
MAX_QUESTIONS = 10
"""At once."""
CLIENT_INFO = mcp_types.Implementation(name="heddle", version="0.1.0")
CLIENT_CREDENTIALS = "io.modelcontextprotocol/oauth-client-credentials"
USER_INTERFACES = "io.modelcontextprotocol/ui"
UI_SETTINGS = {"mimeTypes": ["text/html;profile=mcp-app"]}


@dataclass(eq=False)
class CallUnderWay:
    """A call whose server may ask. Its time stands still while it waits for an answer."""

    ask: Ask | None
    sample: Sample | None
    stopwatch: Stopwatch
    asked: int = 0


UNDER_WAY: ContextVar[CallUnderWay | None] = ContextVar("mcp_call_under_way", default=None)
"""The call that sent the request being handled: the SDK carries its context from a request to what comes in
on its answer."""


@dataclass
class InteractiveClient(Client):
    """The SDK's client, but for what it does with a call that has not come to its result."""

    under_way: set[CallUnderWay] = field(init=False, default_factory=set)

    async def _drive_input_required(self, first: Any, retry: Any) -> Any:  # noqa: ARG002
        if isinstance(first, mcp_types.InputRequiredResult):
            raise Suspended(first)
        return first

    async def _build_session(self, exit_stack: AsyncExitStack) -> ClientSession:
        """The handshake is made again at a revision that the server names."""
        session = await super()._build_session(exit_stack)
        session.initialize = functools.partial(initialize_as_named, session)  # type: ignore[method-assign]
        return session

    async def __aenter__(self) -> "InteractiveClient":
        await super().__aenter__()
        return self

    @contextmanager
    def asking(self, call: CallUnderWay) -> Iterator[None]:
        """What the server asks meanwhile, on this call's answer, is asked of ``call``."""
        self.under_way.add(call)
        token = UNDER_WAY.set(call)
        try:
            yield
        finally:
            UNDER_WAY.reset(token)
            self.under_way.discard(call)

    async def elicit(
        self, params: mcp_types.ElicitRequestParams
    ) -> mcp_types.ElicitResult | mcp_types.ErrorData:
        """Answer a request of the server's. Over stdio nothing says which call it belongs to: it is taken for
        the only one there is, and nobody is asked where there are several."""
        call = self._asking()
        if call is None or call.ask is None:
            return mcp_types.ElicitResult(action="cancel")
        try:
            question = read_question("", params)
        except UnusableQuestion as problem:
            return mcp_types.ErrorData(code=mcp_types.INVALID_PARAMS, message=str(problem))
        with call.stopwatch.stopped():
            answer = await call.ask(question)
        return mcp_types.ElicitResult.model_validate(answer)

    async def sample(
        self, params: mcp_types.CreateMessageRequestParams
    ) -> mcp_types.CreateMessageResult | mcp_types.ErrorData:
        """The same for a request that a model answers."""
        call = self._asking()
        if call is None or call.sample is None:
            return mcp_types.ErrorData(code=REJECTED, message="Nobody pays for this here")
        with call.stopwatch.stopped():
            return await sampled(call.sample, params)

    def _asking(self) -> CallUnderWay | None:
        """The call that a request belongs to, if it may ask yet another time."""
        call = UNDER_WAY.get()
        if call not in self.under_way:
            call = next(iter(self.under_way)) if len(self.under_way) == 1 else None
        if call is None or call.asked >= MAX_ROUNDS:
            return None
        call.asked += 1
        return call


def interactive_client(
    server: Any, *, tasks: bool, sampling: bool = False, **options: Any
) -> InteractiveClient:
    """``tasks``: whether calls may become tasks, which have to be found again by other processes;
    ``sampling``: whether the server may have models called; ``options`` are the SDK's client's."""

    async def sample(
        context: ClientRequestContext,  # noqa: ARG001
        params: mcp_types.CreateMessageRequestParams,
    ) -> mcp_types.CreateMessageResult | mcp_types.ErrorData:
        return await client.sample(params)

    async def elicit(
        context: ClientRequestContext,  # noqa: ARG001
        params: mcp_types.ElicitRequestParams,
    ) -> mcp_types.ElicitResult | mcp_types.ErrorData:
        return await client.elicit(params)

    of_http = [TasksExtension(), advertise(CLIENT_CREDENTIALS)] if tasks else []
    extensions = [advertise(USER_INTERFACES, UI_SETTINGS), *of_http]
    client = InteractiveClient(
        server,
        client_info=CLIENT_INFO,
        cache=None,
        elicitation_callback=elicit,
        sampling_callback=sample if sampling else None,
        extensions=extensions,
        **options,
    )
    return client
