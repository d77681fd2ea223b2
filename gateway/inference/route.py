"""``POST /v1/messages``, ``/v1/chat/completions`` and ``/v1/responses``: plain ASGI, because this is the hot
path."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext

from starlette.types import Message, Receive, Scope, Send

from gateway.billing.operations import Payer
from gateway.inference.departure import ClientGone, Departure
from gateway.inference.dialects.registry import ClientDialect
from gateway.inference.inference import Inference
from gateway.inference.open_call import OpenCall
from gateway.inference.plan import CallPlan
from gateway.inference.upstream import ProviderRefused
from kit.caller import Caller
from kit.errors import AuthenticationFailed, InvalidRequest, TooLarge
from kit.money import micros

MAX_HEADER_CHARS = 4_000
_FORWARDED_REQUEST_HEADERS = frozenset({b"anthropic-version", b"anthropic-beta", b"openai-beta"})


class InferenceRoute:
    """The endpoint of one dialect. Errors are raised as domain errors; the front door renders them."""

    def __init__(self, inference: Inference, dialect: ClientDialect, *, max_request_bytes: int) -> None:
        self._inference = inference
        self._dialect = dialect
        self._max_request_bytes = max_request_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = scope.get("caller")
        if not isinstance(caller, Caller):
            raise AuthenticationFailed("an API key is needed", code="missing_key")
        raw = await read_body(receive, self._max_request_bytes)
        plan = self._inference.plan(self._dialect, raw, allowed_models=caller.models)
        payer = Payer(caller.account_id, caller.key_id, caller.end_user_id)
        try:
            with nullcontext() if caller.drains else Departure(receive):
                await self._call(plan, payer, scope, send)
        except ClientGone:
            return

    async def _call(self, plan: CallPlan, payer: Payer, scope: Scope, send: Send) -> None:
        try:
            call = await self._inference.open(plan, scope["request_id"], payer, forwarded(scope))
        except ProviderRefused as refusal:
            if not refusal.body:
                raise
            await respond(send, refusal.status, refusal.body, _headers("application/json"))
            return
        if plan.facts.stream:
            await _stream(call, send)
            return
        body, settled = await call.read()
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
    await call.settle_stream()
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _forward(call: OpenCall, send: Send) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [*_call_headers(call, call.content_type), (b"cache-control", b"no-cache")],
        }
    )
    async for chunk in call.stream():
        await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def read_body(receive: Receive, limit: int) -> bytes:
    """The whole request body. Raises TooLarge beyond ``limit`` bytes, InvalidRequest if it is cut off."""
    pieces: list[bytes] = []
    size = 0
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("the request ended before its body was complete")
        piece = message.get("body", b"")
        size += len(piece)
        if size > limit:
            raise TooLarge(f"the body is larger than {limit} bytes")
        pieces.append(piece)
        if not message.get("more_body", False):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


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
