"""The operator's own look at what tools give: a function in this process, or a service asked over HTTP."""

import asyncio
import importlib
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import httpx
import msgspec

MAX_VERDICT_BYTES = 1024 * 1024


class BadPolicy(ValueError):
    """The setting does not name a policy; the message is fit for a terminal."""


@dataclass(frozen=True)
class ToolOutcome:
    """What a policy is shown: whose call it was, and what it came to. ``content`` is what the model would be
    shown (Anthropic blocks), ``output`` all of it, as JSON."""

    account_id: str
    end_user_id: str | None
    thread_id: str | None
    turn_id: str | None
    tool_use_id: str
    tool: str
    is_error: bool
    content: list[dict[str, Any]]
    output: bytes


class Verdict(msgspec.Struct, frozen=True):
    """``replace`` puts ``content`` in the result's place, ``refuse`` an error; ``reason`` is for the
    developer's record, and of a refusal also for the model."""

    action: Literal["pass", "replace", "refuse"]
    content: str = ""
    reason: str | None = None


class ResultPolicy(Protocol):
    async def review(self, outcome: ToolOutcome) -> Verdict:
        """May raise anything: then the setting decides what becomes of the result."""
        ...

    async def close(self) -> None: ...


PolicyFunction = Callable[[ToolOutcome], Verdict | Awaitable[Verdict | None] | None]
"""Nothing means ``pass``. One that is not a coroutine function is called in a thread."""


def policy_named(setting: str) -> ResultPolicy:
    """``module:function``, or the URL of a service. Raises BadPolicy."""
    if setting.startswith(("https://", "http://")):
        return _Service(setting)
    module, colon, name = setting.partition(":")
    if not colon:
        raise BadPolicy(f"expected module:function or an https URL, got {setting!r}")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise BadPolicy(f"{setting} cannot be loaded: {error}") from None
    if not callable(function):
        raise BadPolicy(f"{setting} is not a function")
    return _Function(function)


class _Function:
    def __init__(self, function: PolicyFunction) -> None:
        self._function = function

    async def review(self, outcome: ToolOutcome) -> Verdict:
        if inspect.iscoroutinefunction(self._function):
            verdict = await self._function(outcome)
        else:
            verdict = await asyncio.to_thread(self._function, outcome)
        if verdict is None:
            return Verdict("pass")
        if not isinstance(verdict, Verdict):
            raise TypeError(f"expected a Verdict, got {type(verdict).__name__}")
        return verdict

    async def close(self) -> None:
        """It holds nothing."""


class _Service:
    """Asked with the outcome's fields as JSON, ``output`` as the value that it is; answers 200 with a
    verdict's. The operator chose the address, so it may be anywhere."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=None)  # noqa: S113

    async def review(self, outcome: ToolOutcome) -> Verdict:
        """The caller bounds the time."""
        asked = {**vars(outcome), "output": msgspec.Raw(outcome.output)}
        headers = {"content-type": "application/json", "accept-encoding": "identity"}
        async with self._client.stream(
            "POST", self._url, content=msgspec.json.encode(asked), headers=headers
        ) as response:
            response.raise_for_status()
            body = b""
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_VERDICT_BYTES:
                    raise ValueError(f"a verdict of more than {MAX_VERDICT_BYTES} bytes")
        return msgspec.json.decode(body, type=Verdict)

    async def close(self) -> None:
        await self._client.aclose()
