"""Calling any HTTP endpoint as the developer described it. See ``broker.builtins.template``.

Invariant: inputs in ``lock_input_fields`` come from the session, whatever the model gave; and models are not
shown that they exist.
"""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from broker.builtins.answers import at
from broker.builtins.builtin import Answer, Builtin, Invocation
from broker.builtins.failures import BuiltinFailed
from broker.builtins.fields import PASSWORD, Schema, bad_config, fields, text
from broker.builtins.template import (
    Values,
    check_json,
    check_template,
    has_placeholder,
    in_form,
    in_header,
    in_json,
    in_text,
    in_url,
    value_of,
    without_placeholders,
)
from kit.json import NOT_JSON
from kit.outbound import OutboundPolicy

READS = frozenset({"GET", "HEAD"})
WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
CREDENTIAL_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key"})
OWN_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding"})
HEADER_NAME = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$"  # RFC 9110, section 5.6.2
SAID_BYTES = 500


async def run(call: Invocation) -> Any:
    config = call.config
    values = _values(call)
    method = config.get("method", "POST")
    headers = {
        name.lower(): in_header(name, template, values)
        for name, template in config.get("headers", {}).items()
    }
    body = _body(config, method, values, headers)
    answer = await call.http.send(
        method,
        in_url(config["url"], values),
        headers=headers,
        content=None if body is None else body.encode(),
    )
    if not 200 <= answer.status < 300:
        said = answer.body[:SAID_BYTES].decode("utf-8", "replace").strip()
        raise BuiltinFailed(
            f"The endpoint answered with status {answer.status}{f': {said}' if said else '.'}",
            status=answer.status,
        )
    return _output(answer, config.get("response_path"))


def _values(call: Invocation) -> Values:
    """What the placeholders stand for, the locked inputs in their places."""
    scope, config = call.scope, call.config
    session = Values({}, {}, scope.metadata, scope.end_user_id, scope.thread_id)
    inputs = {**call.input}
    for name, template in locked(config).items():
        inputs[name] = value_of(template, session)
    return Values(inputs, config.get("secrets", {}), scope.metadata, scope.end_user_id, scope.thread_id)


def locked(config: Mapping[str, Any]) -> dict[str, str]:
    """The templates of locked inputs. Of a list, each name stands for the session's value of that name."""
    wanted = config.get("lock_input_fields") or {}
    if isinstance(wanted, dict):
        return wanted
    own = {"end_user_id": "end_user.id", "thread_id": "thread.id"}
    return {name: "{{" + own.get(name, f"metadata.{name}") + "}}" for name in wanted}


def _body(config: Mapping[str, Any], method: str, values: Values, headers: dict[str, str]) -> str | None:
    """Without a template, methods that have a body send the inputs as JSON."""
    template = config.get("body_template")
    if template is None:
        if method not in WITH_BODY - {"DELETE"}:
            return None
        headers.setdefault("content-type", JSON)
        return msgspec.json.encode(values.input).decode()
    headers.setdefault("content-type", JSON)
    return _renderer(headers["content-type"])(template, values)


def _renderer(content_type: str) -> Callable[[str, Values], str]:
    kind = content_type.partition(";")[0].strip().lower()
    if kind == FORM:
        return in_form
    return in_json if kind == JSON or kind.endswith("+json") else in_text


def _output(answer: Answer, path: str | None) -> Any:
    if not answer.body.strip():
        return {"status": answer.status}
    try:
        output = msgspec.json.decode(answer.body)
    except NOT_JSON:
        if path:
            raise BuiltinFailed(
                "The endpoint answered with something that is not JSON.", status="not_json"
            ) from None
        return answer.body.decode("utf-8", "replace")
    if not path:
        return output
    found = at(output, path.removeprefix("$").lstrip("."))
    if found is None:
        raise BuiltinFailed(f"The endpoint's answer has nothing at {path}.", status="no_such_path")
    return found


def check(config: Mapping[str, Any], policy: OutboundPolicy) -> None:
    """Raises InvalidRequest naming the field that cannot be used."""
    secrets, url = config.get("secrets", {}), config["url"]
    check_template("url", url, secrets=secrets)
    policy.check_url(without_placeholders(url), param="config.url")
    if has_placeholder(url[: url.find("://") + 3] + urlsplit(url).netloc):
        raise bad_config("url", "placeholders may be in the path and the query, not in the host")
    for name, template in config.get("headers", {}).items():
        check_template("headers", template, secrets=secrets)
        if name.lower() in OWN_HEADERS:
            raise bad_config("headers", f"{name} is set by the protocol")
        if name.lower() in CREDENTIAL_HEADERS and "{{" not in template:
            raise bad_config(
                "headers", f"the value of {name} is a secret: put it into secrets, and {{{{secrets.…}}}} here"
            )
    for template in locked(config).values():
        check_template("lock_input_fields", template, secrets={}, session_only=True)
    if "body_template" in config:
        _check_body(config, secrets)


def _check_body(config: Mapping[str, Any], secrets: Mapping[str, Any]) -> None:
    if config.get("method") in READS:
        raise bad_config("body_template", "GET and HEAD have no body")
    check_template("body_template", config["body_template"], secrets=secrets)
    kinds = [value for name, value in config.get("headers", {}).items() if name.lower() == "content-type"]
    if _renderer(kinds[0] if kinds else JSON) is in_json:
        check_json("body_template", config["body_template"])


def shown(schema: Schema, config: Mapping[str, Any]) -> Schema:
    """Without the locked inputs."""
    hidden = locked(config)
    properties = schema.get("properties")
    if not hidden or not isinstance(properties, dict):
        return schema
    kept = {name: field for name, field in properties.items() if name not in hidden}
    required = [name for name in schema.get("required", []) if name not in hidden]
    return {**schema, "properties": kept, "required": required}


def is_read(config: Mapping[str, Any]) -> bool:
    return config.get("method", "POST") in READS


TOOL = Builtin(
    slug="http-call",
    display_name="HTTP call",
    brand=None,
    description="Calls an HTTP endpoint.",
    input_schema={"type": "object", "properties": {}},
    config_schema=fields(
        "url",
        url=text("The address, with placeholders in path and query", most=4_000),
        method={
            "type": "string",
            "enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            "default": "POST",
        },
        headers={
            "type": "object",
            "description": "Headers by name; values with placeholders",
            "propertyNames": {"pattern": HEADER_NAME},
            "additionalProperties": {"type": "string", "maxLength": 8_192, "pattern": r"^[\x20-\x7e]*$"},
            "maxProperties": 50,
        },
        body_template=text(
            "The body, with placeholders; without it the inputs are sent as JSON", most=60_000
        ),
        secrets={
            "type": "object",
            "format": PASSWORD,
            "description": "Secrets by name, for {{secrets.name}}",
            "propertyNames": {"pattern": "^[A-Za-z0-9_-]{1,64}$"},
            "additionalProperties": {"type": "string", "minLength": 1, "maxLength": 8_192},
            "maxProperties": 20,
        },
        lock_input_fields={
            "type": ["object", "array"],
            "description": "Inputs that the session decides: templates by name, or names in its metadata",
            "additionalProperties": {"type": "string", "maxLength": 1_000},
            "items": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
        },
        response_path=text("What of a JSON answer is the output, such as data.items.0", most=200),
        timeout_ms={"type": "integer", "minimum": 100, "maximum": 120_000},
    ),
    run=run,
    retry_safe=False,
    retry_safe_with=is_read,
    check=check,
    shown=shown,
    free_input=True,
)
