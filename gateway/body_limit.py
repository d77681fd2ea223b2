"""No request body is taken in beyond a limit, whichever route reads it."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kit.errors import TooLarge


class BodyLimit:
    """Raises TooLarge in place of the application's answer."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        size = _declared(scope)
        self._check(size)
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            self._check(size)
            return message

        async def unless_too_large(message: Message) -> None:
            if size <= self._max_bytes:  # else the framework answers in its own way to what it was told
                await send(message)

        try:
            await self._app(scope, counted, unless_too_large)
        except Exception:
            self._check(size)
            raise
        self._check(size)

    def _check(self, size: int) -> None:
        if size > self._max_bytes:
            raise TooLarge(f"the body is larger than {self._max_bytes} bytes") from None


def _declared(scope: Scope) -> int:
    """The length that the head of the request announces; 0 if it announces none."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0
