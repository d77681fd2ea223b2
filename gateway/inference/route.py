"""``POST /v1/messages``, ``/v1/chat/completions`` and ``/v1/responses``: plain ASGI, because this is the hot
path."""

from starlette.types import Message, Receive, Scope, Send

from gateway.inference.answering import answer
from gateway.inference.dialects.registry import ClientDialect
from gateway.inference.inference import Inference
from kit.caller import Caller
from kit.errors import AuthenticationFailed, InvalidRequest, TooLarge


class InferenceRoute:
    """The endpoint of one dialect. Errors are raised as domain errors; the front door renders them."""

    def __init__(self, inference: Inference, dialect: ClientDialect, *, max_request_bytes: int) -> None:
        self._inference = inference
        self._dialect = dialect
        self._max_request_bytes = max_request_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller_of(scope)
        await self.carry_out(await read_body(receive, self._max_request_bytes), scope, receive, send)

    async def carry_out(self, raw: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request whose body has been read."""
        caller = caller_of(scope)
        plan = await self._inference.plan(self._dialect, raw, caller.account_id, allowed_models=caller.models)
        await answer(self._inference, plan, caller, scope, receive, send)


def caller_of(scope: Scope) -> Caller:
    """Who the front door found to be calling. Raises AuthenticationFailed."""
    caller = scope.get("caller")
    if not isinstance(caller, Caller):
        raise AuthenticationFailed("an API key is needed", code="missing_key")
    return caller


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
