"""The simulated provider as a plain ASGI application."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from starlette.types import Message, Receive, Scope, Send

from gateway.sim import anthropic_answer, anthropic_request, openai_request
from gateway.sim.conversation import Conversation, Refused
from gateway.sim.directives import Directives, UnknownDirective, read_directives
from gateway.sim.exchange import ClientGone, Exchange
from gateway.sim.places import answers_at, google_call, made_at, place_of
from gateway.sim.reply import answer
from gateway.sim.translated import Translated

MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_REMEMBERED = 10_000
_KEY_HEADERS = ("x-api-key", "x-goog-api-key", "xi-api-key")


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request as it arrived, for tests that ask what a provider was sent."""

    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class SimApp:
    """The ASGI application. ``seen`` holds the newest requests if ``remember`` says how many.

    Between requests it knows only how often a ``fail-times`` conversation has met its fault.
    """

    def __init__(self, *, remember: int = 0) -> None:
        self.seen: deque[SeenRequest] = deque(maxlen=remember)
        self._failures: dict[str, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        path, stand_in = place_of(scope["path"])
        answers = answers_at(path, headers, stand_in=stand_in)
        exchange = Exchange(receive, send, answers)
        try:
            body = await _read(receive)
            if self.seen.maxlen:
                self.seen.append(SeenRequest(scope["path"], headers, body))
            _authenticate(headers, speaks_anthropic=answers is anthropic_answer)
            if not stand_in:
                await self._answer(exchange, f"{scope['method']} {path}", headers, body)
            elif isinstance(answers, Translated):
                await self._translate(exchange, answers, path, body)
            else:
                made = await made_at(path, scope["query_string"], headers, body)
                if made is not None:
                    await exchange.made(made)
                else:
                    route = f"{scope['method']} {path}"
                    await self._answer(exchange, route, headers, body, stand_in=True)
        except Refused as refused:
            await exchange.refuse(refused)
        except ClientGone:
            pass
        finally:
            exchange.close()

    async def _translate(self, exchange: Exchange, answers: Translated, path: str, body: bytes) -> None:
        if path == "/v1/responses":
            await self._complete(exchange, answers.read(_object(body)))
            return
        call = google_call(path)
        if call is None:
            raise Refused(404, f"Invalid URL ({path})")
        model, stream = call
        await self._complete(exchange, answers.read(_object(body), model=model, stream=stream))

    async def _answer(
        self,
        exchange: Exchange,
        route: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        stand_in: bool = False,
    ) -> None:
        if route == "POST /v1/messages":
            _check_version(headers)
            asked = anthropic_request.read_request(_object(body), stand_in=stand_in)
            await self._complete(exchange, asked)
        elif route == "POST /v1/chat/completions":
            asked = openai_request.read_request(_object(body), stand_in=stand_in)
            await self._complete(exchange, asked)
        elif route == "POST /v1/messages/count_tokens":
            _check_version(headers)
            conversation = anthropic_request.read_request(_object(body), counting=True, stand_in=stand_in)
            await exchange.whole(msgspec.json.encode({"input_tokens": conversation.input_tokens}))
        elif route == "GET /v1/models":
            await exchange.whole(exchange.answers.model_list())
        else:
            raise Refused(404, f"Invalid URL ({route})")

    async def _complete(self, exchange: Exchange, conversation: Conversation) -> None:
        exchange.request_id = f"req_sim{conversation.digest}"
        try:
            directives = read_directives(conversation.system, conversation.question)
        except UnknownDirective as unknown:
            raise Refused(400, str(unknown)) from None
        if directives.faulty and not self._meets_fault(conversation, directives):
            directives = directives.without_faults()
        if directives.latency_ms:
            await exchange.pause(directives.latency_ms)
        _refuse_if_asked(conversation, directives)
        if directives.garbage:
            await exchange.whole(b"<html><body>502 Bad Gateway</body></html>")
            return
        reply = answer(conversation, directives)
        if conversation.stream:
            events = exchange.answers.stream(reply, conversation, directives)
            await exchange.stream(events, directives)
        else:
            await exchange.whole(exchange.answers.whole(reply, conversation, directives), directives)

    def _meets_fault(self, conversation: Conversation, directives: Directives) -> bool:
        if directives.step is not None and directives.step != conversation.step:
            return False
        if directives.fail_times is None:
            return True
        met = self._failures.pop(conversation.digest, 0)
        if met >= directives.fail_times:
            return False
        if len(self._failures) >= MAX_REMEMBERED:
            self._failures.clear()
        self._failures[conversation.digest] = met + 1
        return True


def _refuse_if_asked(conversation: Conversation, directives: Directives) -> None:
    status = directives.status
    if status is None and directives.error_after is not None and not conversation.stream:
        status = 500
    if status is not None:
        message = "Overloaded" if status == 529 else f"Simulated error {status}"
        raise Refused(status, message, retry_after=directives.retry_after)


async def _read(receive: Receive) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > MAX_BODY_BYTES:
            raise Refused(413, "Request exceeds the maximum size")
        if not message.get("more_body"):
            return b"".join(pieces)


def _object(raw: bytes) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Refused(400, f"The request body is not valid JSON: {error}") from None
    if not isinstance(body, dict):
        raise Refused(400, "The request body is not a JSON object")
    return body


def _authenticate(headers: Mapping[str, str], *, speaks_anthropic: bool) -> None:
    """Any key will do, but there must be one."""
    bearer = headers.get("authorization", "").removeprefix("Bearer").strip()
    if bearer or any(headers.get(name, "").strip() for name in _KEY_HEADERS):
        return
    if speaks_anthropic:
        raise Refused(401, "x-api-key header is required")
    raise Refused(401, "You didn't provide an API key: expected 'Authorization: Bearer YOUR_KEY'.")


def _check_version(headers: Mapping[str, str]) -> None:
    if "anthropic-version" not in headers:
        raise Refused(400, "anthropic-version: header is required")
