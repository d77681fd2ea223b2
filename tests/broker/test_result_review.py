"""The policy that looks at results: what it is asked, what it may decide, and what happens if it cannot."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from broker.calls import ToolResult, ToolScope, error_result, json_result
from broker.result_policy import ToolOutcome, Verdict, policy_named
from broker.result_review import ResultReview
from gateway.loopback import served

SCOPE = ToolScope("acc_1", "ada", "thread-1", "turn_1")
SEEN: list[ToolOutcome] = []


def plain(outcome: ToolOutcome) -> Verdict | None:
    SEEN.append(outcome)
    return None


async def slow(_: ToolOutcome) -> Verdict:
    await asyncio.sleep(60)
    raise AssertionError("not waited for")


async def broken(_: ToolOutcome) -> Verdict:
    raise RuntimeError("whsec_canary")


async def nonsense(_: ToolOutcome) -> Any:
    return "refuse"


def found(output: Any = "rain", *, is_error: bool = False) -> ToolResult:
    return json_result(output, is_error=is_error, record={"status": 200})


async def reviewed(review: ResultReview, result: ToolResult, *, trusted: bool = False) -> ToolResult:
    return await review.reviewed(SCOPE, "toolu_1", "say", result, trusted=trusted)


async def test_what_came_from_outside_is_flagged_and_our_own_words_are_not() -> None:
    review = ResultReview()
    assert (await reviewed(review, found())).record == {"status": 200, "untrusted": True}
    assert (await reviewed(review, found(is_error=True))).record["untrusted"] is True
    quoting = error_result("its server says: obey", {"status": "rpc_error"})
    assert (await reviewed(review, quoting)).record["untrusted"] is True
    ours = error_result("did not answer within 5 seconds", {"status": "timeout"})
    assert await reviewed(review, ours) is ours
    assert "untrusted" not in (await reviewed(review, found(), trusted=True)).record
    assert "untrusted" not in (await reviewed(ResultReview(marks=False), found())).record


def test_the_operator_trusts_tools_or_whole_servers() -> None:
    review = ResultReview(trusted=("time/*", "box/add"))
    assert [review.trusts(name) for name in ("time/now", "box/add", "box/sub", "times/now")] == [
        True, True, False, False,
    ]  # fmt: skip


async def test_a_function_is_shown_the_whole_of_it() -> None:
    SEEN.clear()
    review = ResultReview(policy_named(f"{__name__}:plain"))
    large = ToolResult("cut", [{"type": "text", "text": "cut"}], answered=True, full=b'["all of it"]')
    assert (await reviewed(review, large)).full == b'["all of it"]'
    await reviewed(review, found({"n": 1}))
    assert [outcome.output for outcome in SEEN] == [b'["all of it"]', b'{"n":1}']
    assert (SEEN[0].account_id, SEEN[0].end_user_id, SEEN[0].tool_use_id) == ("acc_1", "ada", "toolu_1")


@pytest.mark.parametrize("name", ["slow", "broken", "nonsense"])
async def test_a_policy_that_fails_refuses_or_passes_as_was_set(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    policy = policy_named(f"{__name__}:{name}")
    strict = await reviewed(ResultReview(policy, timeout_s=0.1), found("the result"))
    assert strict.is_error and "could not be checked" in strict.output["error"] and strict.answered
    assert strict.record["policy"] == "failed" and "the result" not in f"{strict}"
    lenient = await reviewed(ResultReview(policy, timeout_s=0.1, on_failure="pass"), found("the result"))
    assert lenient.output == "the result" and lenient.record["policy"] == "failed, passed"
    assert lenient.record["untrusted"] is True
    assert "canary" not in caplog.text


Answer = Callable[[dict[str, Any]], Awaitable[Response]]


@pytest.fixture
async def service() -> AsyncIterator[tuple[ResultReview, list[dict[str, Any]], list[Response]]]:
    """A policy over HTTP, what it was asked, and what it answers next."""
    asked: list[dict[str, Any]] = []
    answers: list[Response] = []

    async def policy(request: Request) -> Response:
        asked.append(json.loads(await request.body()))
        return answers.pop(0)

    app = Starlette(routes=[Route("/", policy, methods=["POST"])])
    async with served(lambda _: app) as url:
        review = ResultReview(policy_named(f"{url}/"), timeout_s=10)
        yield review, asked, answers
        await review.close()


async def test_a_service_is_asked_and_decides(
    service: tuple[ResultReview, list[dict[str, Any]], list[Response]],
) -> None:
    review, asked, answers = service
    answers += [
        JSONResponse({"action": "pass"}),
        JSONResponse({"action": "replace", "content": "[a name]", "reason": "names"}),
        JSONResponse({"action": "refuse", "reason": "no fruit\x00"}),
    ]
    assert (await reviewed(review, found({"n": 1}))).output == {"n": 1}
    assert asked[0]["output"] == {"n": 1} and asked[0]["content"][0]["text"] == '{"n":1}'
    replaced = await reviewed(review, found("Ada"))
    assert replaced.output == replaced.content[0]["text"] == "[a name]"
    assert (replaced.record["policy"], replaced.record["policy_reason"]) == ("replaced", "names")
    assert replaced.record["untrusted"] is True and "Ada" not in f"{replaced}"
    refused = await reviewed(review, found("apple"))
    assert refused.is_error and "no fruit\ufffd" in refused.output["error"] and "apple" not in f"{refused}"


@pytest.mark.parametrize(
    "answer",
    [
        Response(status_code=500),
        Response(status_code=302, headers={"location": "/"}),
        Response(b"yes"),
        JSONResponse({"action": "shrug"}),
        JSONResponse({"action": "replace", "content": 7}),
        Response(b'{"action": "pass", "reason": "' + b"x" * 2_000_000 + b'"}'),
    ],
)
async def test_a_service_that_makes_no_sense_has_failed(
    service: tuple[ResultReview, list[dict[str, Any]], list[Response]], answer: Response
) -> None:
    review, _, answers = service
    answers.append(answer)
    assert (await reviewed(review, found())).record["policy"] == "failed"
