"""Opening a planned call and handing its answer to the client, whole or streamed."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext

from starlette.types import Receive, Scope, Send

from gateway.billing.operations import Payer
from gateway.inference.departure import ClientGone, Departure
from gateway.inference.inference import Inference
from gateway.inference.open_call import OpenCall
from gateway.inference.plan import CallPlan
from gateway.inference.upstream import ProviderRefused
from kit.caller import Caller
from kit.crash_points import reach
from kit.money import micros

MAX_HEADER_CHARS = 4_000
_FORWARDED_REQUEST_HEADERS = frozenset({b"anthropic-version", b"anthropic-beta", b"openai-beta"})


async def answer(
    inference: Inference, plan: CallPlan, caller: Caller, scope: Scope, receive: Receive, send: Send
) -> None:
    """Take the hold, ask the provider, answer, settle. Errors before the first byte are raised. A client that
    goes away ends the call, unless its key has calls run to their end."""
    payer = Payer(caller.account_id, caller.key_id, caller.end_user_id)
    try:
        with nullcontext() if caller.drains else Departure(receive):
            await _answer(inference, plan, payer, scope, send)
    except ClientGone:
        return


async def _answer(inference: Inference, plan: CallPlan, payer: Payer, scope: Scope, send: Send) -> None:
    try:
        call = await inference.open(
            plan, scope["request_id"], payer, forwarded(scope), keeper=scope.get("keeper")
        )
    except ProviderRefused as refusal:
        if not refusal.body:
            raise
        await respond(send, refusal.status, refusal.body, _headers("application/json"))
        return
    if plan.facts.stream:
        await _stream(call, send)
        return
    body, settled = await call.read()
    reach("call.whole.settled")
    headers = _call_headers(call, call.content_type)
    headers.append((b"x-heddle-cost-micros", str(micros(settled.charged)).encode()))
    await respond(send, 200, body, headers)


async def _stream(call: OpenCall, send: Send) -> None:
    """Forward chunks until either side ends; the call is settled whichever it was."""
    try:
        await _forward(call, send)
    except BaseException as error:
        await call.settle_stream(client_gone=True)
        if isinstance(error, OSError):  # the server may tell so that the client has gone
            return
        raise
    reach("call.stream.ended")
    await call.settle_stream()
    reach("call.stream.settled")
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
    started = call.passage.tells_errors
    if started:
        await send(head)
    async for chunk in call.stream():
        if not started:
            await send(head)
            started = True
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
        reach("call.stream.delivered")


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
    if call.admitted.rates is not None:
        headers += [(name.encode(), told.encode()) for name, told in call.admitted.rates.headers().items()]
    dropped = call.passage.dropped
    if dropped:
        headers.append((b"x-heddle-dropped", header_value(dropped)))
    return headers


def header_value(names: Sequence[str]) -> bytes:
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
