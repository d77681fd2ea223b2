"""Opening a planned call and handing its answer to the client, whole or streamed."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

from starlette.types import Receive, Scope, Send

from gateway.billing.operations import Payer
from gateway.inference.inference import Inference
from gateway.inference.open_call import OpenCall
from gateway.inference.plan import CallPlan
from gateway.inference.upstream import ProviderRefused
from kit.caller import Caller
from kit.money import micros

MAX_HEADER_CHARS = 4_000
_FORWARDED_REQUEST_HEADERS = frozenset({b"anthropic-version", b"anthropic-beta", b"openai-beta"})


async def answer(
    inference: Inference, plan: CallPlan, caller: Caller, scope: Scope, receive: Receive, send: Send
) -> None:
    """Take the hold, ask the provider, answer, settle. Errors before the first byte are raised."""
    payer = Payer(caller.account_id, caller.key_id, caller.end_user_id)
    try:
        call = await inference.open(plan, scope["request_id"], payer, forwarded(scope))
    except ProviderRefused as refusal:
        if not refusal.body:
            raise
        await respond(send, refusal.status, refusal.body, _headers("application/json"))
        return
    if plan.facts.stream:
        await _stream(call, receive, send)
        return
    body, settled = await call.read()
    headers = _call_headers(call, call.content_type)
    headers.append((b"x-heddle-cost-micros", str(micros(settled.charged)).encode()))
    await respond(send, 200, body, headers)


async def _stream(call: OpenCall, receive: Receive, send: Send) -> None:
    """Forward chunks until either side ends; the call is settled whichever it was."""
    gone = asyncio.create_task(_client_gone(receive))
    sending = asyncio.create_task(_forward(call, send))
    try:
        await asyncio.wait({gone, sending}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        finished = sending.done()
        for task in (gone, sending):
            task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await sending
        await call.settle_stream(client_gone=not finished or sending.cancelled())
    cut_off = call.cut_off
    if cut_off is None:
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    elif not call.delivered:
        raise cut_off
    # else the answer is left without its end: the server drops the connection, the client sees it broken


async def _forward(call: OpenCall, send: Send) -> None:
    """Send the head, with the first chunk where a broken stream could not tell its client so: until then it
    can still be an error with a status."""
    head = {
        "type": "http.response.start",
        "status": 200,
        "headers": [*_call_headers(call, call.content_type), (b"cache-control", b"no-cache")],
    }
    started = call.tells_errors
    if started:
        await send(head)
    async for chunk in call.stream():
        if not started:
            await send(head)
            started = True
        await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _client_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def respond(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    """Send a whole answer; its length is added to the headers."""
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _headers(content_type: str) -> list[tuple[bytes, bytes]]:
    return [(b"content-type", content_type.encode())]


def _call_headers(call: OpenCall, content_type: str) -> list[tuple[bytes, bytes]]:
    headers = _headers(content_type)
    lowered = call.lowered_max_tokens
    if lowered is not None:
        headers.append((b"x-heddle-max-tokens", str(lowered).encode()))
    dropped = call.passage.dropped
    if dropped:
        headers.append((b"x-heddle-dropped", _header_value(dropped)))
    return headers


def _header_value(names: Sequence[str]) -> bytes:
    """A list for a header (RFC 9110, 5.6.1), ASCII only, cut where it would be too long."""
    text = ", ".join(name.encode("ascii", "replace").decode() for name in names)
    return (text if len(text) <= MAX_HEADER_CHARS else text[:MAX_HEADER_CHARS] + "...").encode()


def forwarded(scope: Scope) -> Mapping[str, str]:
    """The client's headers that a provider of its dialect may see."""
    return {
        name.decode(): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in _FORWARDED_REQUEST_HEADERS
    }
