"""``http-call``: values stay values wherever a template puts them; locked inputs come from the session."""

import json
from typing import Any

import httpx
import pytest
import respx

from broker.calls import ToolResult, ToolScope, ToolSelection
from kit.errors import InvalidRequest
from tests.broker.rig import ACME, Rig

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "count": {"type": "integer"}, "user_id": {"type": "string"}},
    "required": ["user_id"],
}
ADA = ToolScope(ACME, "ada", "thread-1", "turn-1", {"plan": "pro", "tenant": 'a"/../b'})
HOSTILE = 'x", "admin": true, "y": "\r\nx-evil: 1/../..?a=b&c={{secrets.key}}'


async def call(
    rig: Rig,
    config: dict[str, Any],
    given: dict[str, Any] | None = None,
    *,
    answer: httpx.Response | None = None,
    scope: ToolScope = ADA,
) -> tuple[ToolResult, httpx.Request | None]:
    await rig.broker.builtins.create(
        ACME, "qlaud-builtin/http-call", {"name": "tool", "input_schema": SCHEMA}, config=config
    )
    with respx.mock(assert_all_called=False) as server:
        route = server.route().mock(return_value=answer or httpx.Response(200, json={"ok": True}))
        result = await rig.call("tool", {"user_id": "model's own", **(given or {})}, scope)
    return result, route.calls.last.request if route.calls else None


async def test_the_template_is_filled_from_input_secrets_and_session(rig: Rig) -> None:
    config = {
        "url": "https://api.acme.example/{{input.name}}/orders?plan={{metadata.plan}}&key={{secrets.key}}",
        "method": "PUT",
        "headers": '{"authorization": "Bearer {{secrets.key}}", "x-user": "{{end_user.id}}"}',
        "secrets": '{"key": "s3cret-key-0123"}',
        "body_template": '{"who": "{{end_user.id}} in {{thread.id}}", "count": {{input.count}}, '
        '"all": {{metadata}}, "none": {{input.nothing}}}'.replace("{{metadata}}", "{{metadata.plan}}"),
    }
    result, request = await call(rig, config, {"name": "Zoë & co", "count": 3})
    assert not result.is_error and request is not None, result
    assert str(request.url) == (
        "https://api.acme.example/Zo%C3%AB%20%26%20co/orders?plan=pro&key=s3cret-key-0123"
    )
    assert request.headers["authorization"] == "Bearer s3cret-key-0123"
    assert request.headers["x-user"] == "ada"
    assert json.loads(request.content) == {
        "who": "ada in thread-1",
        "count": 3,
        "all": "pro",
        "none": None,
    }


async def test_a_value_never_changes_what_surrounds_it(rig: Rig) -> None:
    config = {
        "url": "https://api.acme.example/search?q={{input.name}}",
        "body_template": '{"text": "said {{input.name}}", "raw": {{input.name}}}',
        "secrets": {"key": "s3cret-key-0123"},
    }
    result, request = await call(rig, config, {"name": HOSTILE})
    assert not result.is_error and request is not None
    assert request.url.host == "api.acme.example" and request.url.path == "/search"
    assert dict(request.url.params) == {"q": HOSTILE}
    assert json.loads(request.content) == {"text": f"said {HOSTILE}", "raw": HOSTILE}
    assert "x-evil" not in request.headers and b"s3cret" not in request.content


@pytest.mark.parametrize(
    ("config", "name", "told"),
    [
        ({"headers": {"x-name": "{{input.name}}"}}, "a\r\nx-evil: 1", "printable ASCII"),
        ({"headers": {"x-name": "{{input.name}}"}}, "Zoë", "printable ASCII"),
        ({"url": "https://a.example/users/{{input.name}}"}, "..", "cannot be parts of the address"),
        ({"url": "https://a.example/users/{{input.name}}", "method": "DELETE"}, "", "input.name is missing"),
    ],
)
async def test_a_value_that_has_no_place_is_refused(
    rig: Rig, config: dict[str, Any], name: str, told: str
) -> None:
    result, request = await call(rig, {"url": "https://a.example/", **config}, {"name": name})
    assert result.is_error and told in result.output["error"] and request is None


@pytest.mark.parametrize(
    ("locks", "sent"),
    [
        ({"user_id": "{{end_user.id}}"}, "ada"),
        ('{"user_id": "u-{{metadata.plan}}"}', "u-pro"),
        (["user_id"], None),
    ],
)
async def test_locked_inputs_come_from_the_session_and_are_not_shown_to_the_model(
    rig: Rig, locks: Any, sent: str | None
) -> None:
    result, request = await call(rig, {"url": "https://a.example/", "lock_input_fields": locks})
    assert not result.is_error and request is not None
    assert json.loads(request.content) == {"user_id": sent}
    toolset = await rig.broker.toolset(ADA, ToolSelection("explicit", ("tool",)))
    (definition,) = toolset.definitions
    assert set(definition["input_schema"]["properties"]) == {"name", "count"}
    assert definition["input_schema"]["required"] == []


async def test_a_list_of_locks_takes_the_sessions_own_values(rig: Rig) -> None:
    config = {"url": "https://a.example/", "lock_input_fields": '["end_user_id", "plan"]'}
    _, request = await call(rig, config, {"plan": "free", "end_user_id": "mallory"})
    assert request is not None
    assert json.loads(request.content) == {"user_id": "model's own", "plan": "pro", "end_user_id": "ada"}


async def test_without_an_end_user_what_needs_one_is_not_sent(rig: Rig) -> None:
    config = {"url": "https://a.example/{{end_user.id}}"}
    result, request = await call(rig, config, scope=ToolScope(ACME))
    assert result.is_error and "end user" in result.output["error"] and request is None
    assert result.record["status"] == "end_user_required"


async def test_the_response_path_picks_the_output(rig: Rig) -> None:
    answer = httpx.Response(200, json={"data": {"items": [{"name": "first"}]}})
    config = {"url": "https://a.example/", "response_path": "$.data.items.0.name"}
    result, _ = await call(rig, config, answer=answer)
    assert result.output == "first"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (httpx.Response(200, json={"data": []}), "nothing at data.items"),
        (httpx.Response(200, text="<html>"), "not JSON"),
        (httpx.Response(404, text="no such order"), "status 404: no such order"),
        (httpx.Response(302, headers={"location": "http://169.254.169.254/"}), "status 302"),
        (httpx.Response(200, content=b"x" * 3_000_000), "more than 2097152 bytes"),
        (httpx.Response(200, content=b"x", headers={"content-encoding": "br"}), "compressed"),
    ],
)
async def test_an_answer_that_is_no_output_is_told(rig: Rig, answer: httpx.Response, told: str) -> None:
    config = {"url": "https://a.example/", "response_path": "data.items"}
    result, _ = await call(rig, config, answer=answer)
    assert result.is_error and told in result.output["error"], result


async def test_secrets_that_come_back_are_taken_out(rig: Rig) -> None:
    secret = "s3cret/key+0123"
    echo = {"seen": f"Bearer {secret}", secret: [secret, "s3cret%2Fkey%2B0123", "czNjcmV0L2tleSswMTIz"]}
    config = {
        "url": "https://a.example/?k={{secrets.key}}",
        "headers": {"authorization": "Bearer {{secrets.key}}"},
        "secrets": {"key": secret},
    }
    result, request = await call(rig, config, answer=httpx.Response(200, json=echo))
    assert request is not None and request.headers["authorization"] == f"Bearer {secret}"
    assert result.output == {"seen": "Bearer [secret]", "[secret]": ["[secret]"] * 3}
    assert "czNjcmV0" not in repr(result) and "s3cret" not in repr(result)


@pytest.mark.parametrize(
    ("config", "param", "told"),
    [
        ({}, "config", "url"),
        ({"url": "http://a.example/"}, "config.url", "https"),
        ({"url": "https://10.0.0.1/"}, "config.url", "private"),
        ({"url": "https://{{input.host}}/"}, "config.url", "not in the host"),
        ({"url": "https://a.example{{input.x}}/"}, "config.url", "not in the host"),
        ({"url": "{{input.url}}"}, "config.url", "https"),
        ({"url": "https://a.example/{{secrets.k}}"}, "config.url", "no secret k"),
        ({"url": "https://a.example/{{env.PATH}}"}, "config.url", "stands for nothing"),
        ({"url": "https://a.example/{{input.x"}, "config.url", "not closed"),
        ({"headers": {"x": "a\r\nb"}}, "config.headers.x", "match"),
        ({"headers": {"a b": "c"}}, "config.headers", "a b"),
        ({"headers": {"Host": "c"}}, "config.headers", "set by the protocol"),
        ({"headers": {"Authorization": "Bearer sk-1"}}, "config.headers", "put it into secrets"),
        ({"headers": "{"}, "config.headers", "as JSON or as its text"),
        ({"body_template": '{"a": {{input.a}}'}, "config.body_template", "not JSON"),
        ({"body_template": "{}", "method": "GET"}, "config.body_template", "no body"),
        ({"lock_input_fields": {"a": "{{input.b}}"}}, "config.lock_input_fields", "stands for nothing"),
        ({"lock_input_fields": {"a": "{{secrets.b}}"}}, "config.lock_input_fields", "stands for nothing"),
        ({"secrets": {"k": 1}}, "config.secrets.k", "string"),
        ({"verify": False}, "config", "verify"),
    ],
)
async def test_a_configuration_that_cannot_be_used_is_refused(
    rig: Rig, config: dict[str, Any], param: str, told: str
) -> None:
    url = {} if not config else {"url": "https://a.example/"}
    with pytest.raises(InvalidRequest) as refusal:
        await rig.broker.builtins.create(
            ACME, "qlaud-builtin/http-call", {"name": "tool"}, config={**url, **config}
        )
    assert refusal.value.param == param and told in refusal.value.message, refusal.value.message


@pytest.mark.parametrize(("method", "safe"), [("GET", True), ("POST", False)])
async def test_only_reads_are_safe_to_repeat(rig: Rig, method: str, safe: bool) -> None:
    config = {"url": "https://a.example/", "method": method, "timeout_ms": 1234}
    row = await rig.broker.builtins.create(ACME, "http-call", {"name": "tool"}, config=config)
    toolset = await rig.broker.toolset(ADA, ToolSelection("explicit", (row.id,)))
    assert [tool.retry_safe for tool in toolset.tools.values()] == [safe]
    assert row.timeout_ms == 1234


@pytest.mark.parametrize(
    ("kind", "template", "body"),
    [
        ("application/x-www-form-urlencoded", "a={{input.name}}&b=1", "a=x%26b%3D2&b=1"),
        ("text/plain", "said {{input.name}}", "said x&b=2"),
        ("application/vnd.acme+json; charset=utf-8", '["{{input.name}}"]', '["x&b=2"]'),
    ],
)
async def test_bodies_of_other_types(rig: Rig, kind: str, template: str, body: str) -> None:
    config = {"url": "https://a.example/", "headers": {"Content-Type": kind}, "body_template": template}
    _, request = await call(rig, config, {"name": "x&b=2"})
    assert request is not None and request.content.decode() == body
    assert request.headers["content-type"] == kind
