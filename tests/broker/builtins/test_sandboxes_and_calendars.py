"""Built-ins that take several requests: E2B's sandboxes, Google's tokens and events."""

import json
from typing import Any

import httpx
import respx

from broker.calls import ToolResult
from tests.broker.rig import ACME, Rig

E2B = "https://api.e2b.app/sandboxes"
CALENDAR = "https://www.googleapis.com/calendar/v3/calendars/primary/events"
TOKENS = "https://oauth2.googleapis.com/token"
EVENT = {"summary": "Demo", "start": "2026-03-01T14:00:00", "end": "2026-03-01T15:00:00", "time_zone": "CET"}
GOOGLE = {"client_id": "id", "client_secret": "google-secret-1", "refresh_token": "1//refresh-secret"}


async def run_code(rig: Rig, lines: list[dict[str, Any]] | None, status: int = 200) -> ToolResult:
    await rig.broker.builtins.create(
        ACME, "code-execution", {"name": "run"}, config={"api_key": "e2b_secret_0123"}
    )
    body = b"\n".join(json.dumps(line).encode() for line in lines or [])
    with respx.mock() as e2b:
        made = {"sandboxID": "i1a2b3", "envdAccessToken": "envd-token", "domain": "e2b.app"}
        create = e2b.post(E2B).mock(return_value=httpx.Response(201, json=made))
        execute = e2b.post("https://49999-i1a2b3.e2b.app/execute").mock(
            return_value=httpx.Response(status, content=body)
        )
        kill = e2b.delete(f"{E2B}/i1a2b3").mock(return_value=httpx.Response(204))
        result = await rig.call("run", {"code": "1 + 1", "language": "python"})
    assert kill.called, "the sandbox must not outlive the call"
    assert create.calls.last.request.headers["x-api-key"] == "e2b_secret_0123"
    assert json.loads(create.calls.last.request.content) == {
        "templateID": "code-interpreter-v1",
        "timeout": 120,
    }
    assert execute.calls.last.request.headers["x-access-token"] == "envd-token"
    assert "x-api-key" not in execute.calls.last.request.headers
    assert json.loads(execute.calls.last.request.content) == {"code": "1 + 1", "language": "python"}
    return result


async def test_code_runs_in_a_sandbox_of_its_own(rig: Rig) -> None:
    result = await run_code(
        rig,
        [
            {"type": "stdout", "text": "a\n", "timestamp": 1},
            {"type": "stdout", "text": "b\n", "timestamp": 2},
            {"type": "result", "text": "2", "png": "iVBOR", "is_main_result": True},
            {"type": "number_of_executions", "execution_count": 1},
        ],
    )
    assert not result.is_error
    assert result.output == {
        "stdout": "a\nb\n",
        "stderr": "",
        "results": [{"text": "2", "pictures": ["png"]}],
    }


async def test_an_error_of_the_code_is_its_output(rig: Rig) -> None:
    error = {"name": "ZeroDivisionError", "value": "division by zero", "traceback": "…"}
    result = await run_code(rig, [{"type": "error", **error}])
    assert not result.is_error and result.output["error"] == error


async def test_a_sandbox_that_fails_is_ended_too(rig: Rig) -> None:
    result = await run_code(rig, None, status=502)
    assert result.is_error and "status 502" in result.output["error"]


async def test_e2b_may_name_only_a_sandbox_of_its_own(rig: Rig) -> None:
    config = {"api_key": "e2b_secret_0123"}
    await rig.broker.builtins.create(ACME, "code-execution", {"name": "run"}, config=config)
    with respx.mock() as e2b:
        e2b.post(E2B).mock(return_value=httpx.Response(201, json={"sandboxID": "x.evil.example/"}))
        result = await rig.call("run", {"code": "1"})
        assert len(e2b.calls) == 1
    assert result.is_error


async def add_event(rig: Rig, answers: list[httpx.Response]) -> tuple[ToolResult, respx.Route]:
    await rig.broker.builtins.create(ACME, "google-calendar-event", {"name": "event"}, config=GOOGLE)
    with respx.mock() as google:
        token = google.post(TOKENS).mock(
            return_value=httpx.Response(200, json={"access_token": "ya29.fresh", "expires_in": 3599})
        )
        route = google.route(url__startswith=CALENDAR).mock(side_effect=answers)
        result = await rig.call("event", {**EVENT, "attendees": ["ada@example.com"], "invite": True})
    form = dict(httpx.QueryParams(token.calls.last.request.content.decode()))
    assert form == {"grant_type": "refresh_token", **GOOGLE}
    return result, route


async def test_an_event_with_a_fresh_token(rig: Rig) -> None:
    made = {"id": "e1", "htmlLink": "https://calendar.google.com/e1", "status": "confirmed"}
    result, route = await add_event(rig, [httpx.Response(200, json=made)])
    assert result.output == {"id": "e1", "url": "https://calendar.google.com/e1", "status": "confirmed"}
    request = route.calls.last.request
    assert (request.method, dict(request.url.params)) == ("POST", {"sendUpdates": "all"})
    assert request.headers["authorization"] == "Bearer ya29.fresh"
    sent = json.loads(request.content)
    assert len(sent.pop("id")) == 64
    assert sent == {
        "summary": "Demo",
        "start": {"dateTime": EVENT["start"], "timeZone": "CET"},
        "end": {"dateTime": EVENT["end"], "timeZone": "CET"},
        "attendees": [{"email": "ada@example.com"}],
    }


async def test_an_event_that_is_there_already_was_made_by_this_call(rig: Rig) -> None:
    """The first answer was lost: the second request meets the event that the first one made."""
    result, route = await add_event(
        rig,
        [
            httpx.Response(503),
            httpx.Response(409, json={"error": {"message": "The requested identifier already exists."}}),
            httpx.Response(200, json={"id": "e1", "status": "confirmed"}),
        ],
    )
    assert result.output == {"id": "e1", "status": "confirmed"}
    ids = [json.loads(call.request.content)["id"] for call in route.calls[:2]]
    assert ids[0] == ids[1] and str(route.calls[2].request.url) == f"{CALENDAR}/{ids[0]}"


async def test_a_refresh_token_that_was_withdrawn(rig: Rig) -> None:
    await rig.broker.builtins.create(ACME, "google-calendar-event", {"name": "event"}, config=GOOGLE)
    with respx.mock() as google:
        google.post(TOKENS).mock(return_value=httpx.Response(400, json={"error": "invalid_grant"}))
        result = await rig.call("event", EVENT)
    assert result.is_error and "invalid_grant" in result.output["error"] and result.record["status"] == 400
