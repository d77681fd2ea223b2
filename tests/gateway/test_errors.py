"""Errors in the form the route's clients expect, whatever goes wrong."""

from pathlib import Path

import pytest

from tests.gateway.serving import serving


async def test_a_fault_of_ours_is_json_and_tells_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as heddle:

        async def broken(*_arguments: object, **_options: object) -> None:
            raise RuntimeError("the secret plan")

        monkeypatch.setattr(heddle.app.keys, "page", broken)
        monkeypatch.setattr(heddle.app.billing, "admit", broken)
        body = {"model": "sim-small", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
        for answer in (
            await heddle.http.get("/v1/keys"),
            await heddle.http.post("/v1/messages", json=body),
            await heddle.http.post("/v1/chat/completions", json=body),
        ):
            assert answer.status_code == 500
            error = answer.json()["error"]
            assert (error["type"], error["code"]) == ("api_error", "internal_error")
            assert "secret plan" not in answer.text
            assert answer.headers["x-request-id"]


async def test_routes_that_are_not_there(tmp_path: Path) -> None:
    async with serving(tmp_path) as heddle:
        missing = await heddle.http.get("/v1/nothing")
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "no_such_route")
        wrong = await heddle.http.get("/v1/messages")
        assert wrong.status_code in {404, 405}
        assert wrong.json()["type"] == "error"
        other = await heddle.http.get("/v1/chat/completions")
        assert set(other.json()) == {"error"}
        unauthenticated = await heddle.http.get("/v1/nothing", headers={"x-api-key": ""})
        assert unauthenticated.status_code == 401


async def test_a_browser_may_call_from_anywhere_and_read_the_cost(tmp_path: Path) -> None:
    async with serving(tmp_path) as heddle:
        preflight = await heddle.http.options(
            "/v1/messages",
            headers={
                "origin": "https://app.example",
                "access-control-request-method": "POST",
                "access-control-request-headers": "x-api-key, anthropic-version",
            },
        )
        assert preflight.status_code == 200
        assert "x-api-key" in preflight.headers["access-control-allow-headers"]
        refused = await heddle.http.get(
            "/v1/keys", headers={"origin": "https://app.example", "x-api-key": "wrong"}
        )
        assert refused.headers["access-control-allow-origin"] == "*"
        assert "x-heddle-cost-micros" in refused.headers["access-control-expose-headers"]
