"""Running code in a sandbox of E2B (E2B API: create, kill a sandbox; code interpreter: POST /execute, which
answers with a JSON object a line). Each call has a sandbox of its own, which ends with it."""

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from broker.builtins.answers import at
from broker.builtins.builtin import Builtin, Invocation
from broker.builtins.failures import BuiltinFailed
from broker.builtins.fields import fields, secret, text
from kit.json import NOT_JSON
from kit.to_its_end import to_its_end

API = "https://api.e2b.app/sandboxes"
EXECUTE = "https://49999-{sandbox}.e2b.app/execute"
TEMPLATE = "code-interpreter-v1"
LIFETIME_S = 120
_SANDBOX = re.compile("[a-z0-9-]{1,64}")
_SHOWN = ("text", "markdown", "html", "json", "latex")
_PICTURES = ("png", "jpeg", "svg", "pdf")


async def run(call: Invocation) -> Any:
    access = {"x-api-key": call.config["api_key"]}
    made = await call.http.ask(
        "POST",
        API,
        json={"templateID": call.config.get("template", TEMPLATE), "timeout": LIFETIME_S},
        headers=access,
        errors=("message",),
    )
    sandbox = str(at(made, "sandboxID"))
    if not _SANDBOX.fullmatch(sandbox):
        raise BuiltinFailed("E2B did not say which sandbox it made.", status="not_understood")
    try:
        return await _execute(call, sandbox, made)
    finally:
        await to_its_end(_kill(call, sandbox, access))


async def _execute(call: Invocation, sandbox: str, made: Any) -> dict[str, Any]:
    headers = {"content-type": "application/json"}
    for name, place in (
        ("x-access-token", "envdAccessToken"),
        ("e2b-traffic-access-token", "trafficAccessToken"),
    ):
        if isinstance(at(made, place), str):
            headers[name] = at(made, place)
    body = {"code": call.input["code"], "language": call.input.get("language", "python")}
    answer = await call.http.send(
        "POST", EXECUTE.format(sandbox=sandbox), headers=headers, content=msgspec.json.encode(body)
    )
    if answer.status != 200:
        raise BuiltinFailed(f"The sandbox failed with status {answer.status}.", status=answer.status)
    return _outcome(answer.body)


async def _kill(call: Invocation, sandbox: str, access: Mapping[str, str]) -> None:
    """It ends by itself a little later, should this fail."""
    with suppress(BuiltinFailed, TimeoutError):
        async with asyncio.timeout(5):
            await call.http.ask("DELETE", f"{API}/{sandbox}", headers=access)


def _outcome(body: bytes) -> dict[str, Any]:
    """What the lines say."""
    outcome: dict[str, Any] = {"stdout": "", "stderr": "", "results": []}
    for line in filter(None, body.split(b"\n")):
        try:
            said = msgspec.json.decode(line)
        except NOT_JSON:
            raise BuiltinFailed(
                "The sandbox said something that cannot be read.", status="not_json"
            ) from None
        kind = at(said, "type")
        if kind in {"stdout", "stderr"}:
            outcome[kind] += str(at(said, "text") or "")
        elif kind == "result":
            result = {name: said[name] for name in _SHOWN if said.get(name) is not None}
            pictures = [name for name in _PICTURES if said.get(name)]
            outcome["results"].append({**result, **({"pictures": pictures} if pictures else {})})
        elif kind == "error":
            outcome["error"] = {name: at(said, name) for name in ("name", "value", "traceback")}
    return outcome


TOOL = Builtin(
    slug="code-execution",
    aliases=("code-execution-e2b",),
    display_name="Code execution (E2B)",
    brand="E2B",
    description="Runs code in a fresh sandbox. Returns what it printed, its last value and its error.",
    input_schema=fields(
        "code",
        code=text("The code", most=100_000),
        language={
            "type": "string",
            "enum": ["python", "javascript", "typescript", "r", "java", "bash"],
            "description": "python if left out",
        },
    ),
    config_schema=fields(
        "api_key",
        api_key=secret("API key of E2B"),
        template=text("Template of the sandbox, if not E2B's code interpreter", most=100),
    ),
    run=run,
    retry_safe=False,
    timeout_ms=90_000,
)
