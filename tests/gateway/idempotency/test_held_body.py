"""A request is known by what it says, however it is cut into pieces and wherever it is kept meanwhile."""

from collections.abc import Sequence
from typing import Any

import pytest
from starlette.types import Message

from gateway.idempotency.held_body import IN_MEMORY_BYTES, Fingerprint, HeldBody
from kit.errors import InvalidRequest, TooLarge

GONE: Message = {"type": "http.disconnect"}


def scope(content_type: str = "application/json", **changes: Any) -> dict[str, Any]:
    headers = [(b"content-type", content_type.encode())]
    return {"method": "POST", "path": "/v1/x", "query_string": b"", "headers": headers, **changes}


class Connection:
    """The receiving half of a connection: the body in these pieces, then the client is gone."""

    def __init__(self, pieces: Sequence[bytes], *, cut_off: bool = False) -> None:
        self._messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        if not cut_off:
            self._messages[-1]["more_body"] = False

    async def receive(self) -> Message:
        return self._messages.pop(0) if self._messages else GONE


async def held(pieces: Sequence[bytes], asked: dict[str, Any], *, limit: int = 10**8) -> tuple[str, bytes]:
    """The fingerprint, and the body as it comes out again."""
    body, fingerprint, connection = HeldBody(), Fingerprint(asked), Connection(pieces)
    try:
        await body.receive(connection.receive, fingerprint, limit=limit)
        receive, out = body.again(connection.receive), b""
        while (message := await receive())["more_body"]:
            out += message["body"]
        out += message["body"]
        assert await receive() == GONE
    finally:
        body.close()
    return fingerprint.hexdigest(), out


@pytest.mark.parametrize("size", [0, 10, IN_MEMORY_BYTES, 3 * IN_MEMORY_BYTES + 1])
async def test_a_body_comes_out_as_it_came_in(size: int) -> None:
    body = bytes(number % 251 for number in range(size))
    in_one, _ = await held([body], scope())
    pieces = [body[at : at + 100_003] for at in range(0, size, 100_003)] or [b""]
    assert await held([*pieces, b""], scope()) == (in_one, body)


async def test_requests_differ_by_path_query_and_body() -> None:
    asked = [
        (b"a", scope()),
        (b"b", scope()),
        (b"a", scope(path="/v1/y")),
        (b"a", scope(query_string=b"q=1")),
    ]
    assert len({(await held([body], one))[0] for body, one in asked}) == len(asked)


async def test_a_form_is_the_same_whatever_its_boundary() -> None:
    def form(boundary: str, text: str) -> tuple[bytes, dict[str, Any]]:
        body = f'--{boundary}\r\ncontent-disposition: form-data; name="x"\r\n\r\n{text}\r\n--{boundary}--\r\n'
        return body.encode(), scope(f"multipart/form-data; boundary={boundary}")

    seen = set()
    for boundary in ("4f3c2b1a", "a-much-longer-boundary"):
        body, asked = form(boundary, "warp")
        for size in (1, 7, len(body)):
            seen.add((await held([body[at : at + size] for at in range(0, len(body), size)], asked))[0])
    assert len(seen) == 1
    other, asked = form("4f3c2b1a", "weft")
    assert (await held([other], asked))[0] not in seen


async def test_a_body_that_is_too_large_or_cut_off_is_refused() -> None:
    with pytest.raises(TooLarge, match="larger than 10 bytes"):
        await held([b"x" * 6, b"x" * 6], scope(), limit=10)
    body, connection = HeldBody(), Connection([b"half"], cut_off=True)
    with pytest.raises(InvalidRequest, match="before its body was complete"):
        await body.receive(connection.receive, Fingerprint(scope()), limit=10)
