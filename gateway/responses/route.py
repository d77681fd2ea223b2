"""``POST /v1/responses``: a call that passes, or a stored response. Plain ASGI, because this is the hot
path."""

from functools import partial
from typing import Any

import msgspec
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from gateway.inference.answering import header_value
from gateway.inference.route import InferenceRoute, caller_of, read_body
from gateway.responses.asked import is_stored, read_request
from gateway.responses.stored import Begun, StoredResponses
from gateway.responses.streaming import response_events
from kit.caller import Caller
from kit.json import NOT_JSON
from kit.money import micros

_MAY_BE_STORED = (b'"store"', b'"background"', b'"conversation"', b'"previous_response_id"')
SSE_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}


class ResponsesRoute:
    """``passing`` answers what is not stored. ``by_default``: whether a response is stored whose request does
    not say."""

    def __init__(
        self, stored: StoredResponses, passing: InferenceRoute, *, max_request_bytes: int, by_default: bool
    ) -> None:
        self._stored = stored
        self._passing = passing
        self._max_request_bytes = max_request_bytes
        self._by_default = by_default

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = caller_of(scope)
        raw = await read_body(receive, self._max_request_bytes)
        body = self._asks_to_store(raw)
        if body is None:
            await self._passing.carry_out(raw, scope, receive, send)
            return
        asked = read_request(body)
        begun = await self._stored.begin(caller, asked, scope.get("once"))
        answer = await self._answer(caller, begun, stream=asked.stream, background=asked.background)
        await answer(scope, receive, send)

    def _asks_to_store(self, raw: bytes) -> dict[str, Any] | None:
        """The request's body, if it is for a stored response. Raises InvalidRequest."""
        if not self._by_default and not any(name in raw for name in _MAY_BE_STORED):
            return None
        try:
            body = msgspec.json.decode(raw)
        except NOT_JSON:  # who passes it on says what is wrong with it
            return None
        if not isinstance(body, dict) or not is_stored(body, by_default=self._by_default):
            return None
        return body

    async def _answer(self, caller: Caller, begun: Begun, *, stream: bool, background: bool) -> Response:
        headers = {"x-qlaud-thread-id": begun.row.thread_id, "x-heddle-turn-id": begun.turn.id}
        if begun.dropped:
            headers["x-heddle-dropped"] = header_value(begun.dropped).decode()
        if stream:
            return stream_of(self._stored, caller, begun, headers)
        if background:
            return json_of(await self._stored.now(begun.row, begun.turn), headers)
        response, nanos = await self._stored.whole(caller, begun)
        headers["x-heddle-cost-micros"] = str(micros(nanos))
        return json_of(response, headers)


def json_of(body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(body), headers=headers, media_type="application/json")


def stream_of(
    stored: StoredResponses, caller: Caller, begun: Begun, headers: dict[str, str], *, after: int = -1
) -> Response:
    """The events of a response from its beginning, or those with numbers above ``after``."""
    frames = stored.engine.hub.subscribe(begun.turn.id, 0)
    events = response_events(
        begun.row,
        stored.begun_form(begun),
        frames,
        partial(stored.get, caller, begun.row.id),
        after=after,
    )
    return StreamingResponse(events, media_type="text/event-stream", headers={**SSE_HEADERS, **headers})
