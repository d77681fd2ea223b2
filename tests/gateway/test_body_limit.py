"""No route takes in a larger body than is set, whether its length is announced or not."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.gateway.serving import serving

LIMIT = 4096
PATHS = ("/v1/keys", "/v1/threads", "/v1/tools", "/v1/connections/sessions", "/v1/threads/x/messages")


async def _chunks(size: int) -> AsyncIterator[bytes]:
    yield b'{"name": "chunked", "more": "'
    for _ in range(size // 512):
        yield b"x" * 512
    yield b'"}'


@pytest.mark.parametrize("headers", [{}, {"idempotency-key": "k"}], ids=["plain", "keyed"])
async def test_a_larger_body_is_refused_in_the_routes_own_form(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    async with serving(tmp_path, max_request_bytes=LIMIT) as heddle:
        for path in PATHS:
            for body in (b'{"name": "' + b"x" * LIMIT + b'"}', _chunks(2 * LIMIT)):
                answer = await heddle.http.post(path, content=body, headers=headers)
                assert answer.status_code == 413, path
                error = answer.json()
                assert (error["type"], error["error"]["code"]) == ("error", "too_large")
                assert f"larger than {LIMIT} bytes" in error["error"]["message"]
                assert error["request_id"] == answer.headers["x-request-id"]
        chat = await heddle.http.post("/v1/chat/completions", content=_chunks(2 * LIMIT), headers=headers)
        assert (chat.status_code, set(chat.json()), chat.json()["error"]["code"]) == (
            413,
            {"error"},
            "too_large",
        )
        small = await heddle.http.post("/v1/keys", content=b'{"name": "small"}')
        assert small.status_code == 201
        chunked = await heddle.http.post("/v1/keys", content=_chunks(1024), headers=headers)
        assert chunked.status_code == 201
        page = await heddle.http.post("/connect/nobody", content=_chunks(2 * LIMIT))
        assert page.status_code in {404, 413}  # an unknown link is refused before its form is read
