"""Running code in a sandbox of one's own that speaks Piston's API (engineer-man/piston: API v2, execute)."""

from collections.abc import Mapping
from typing import Any

from broker.builtins.answers import at, picked
from broker.builtins.builtin import Builtin, Invocation
from broker.builtins.fields import bad_config, fields, secret, text
from kit.outbound import OutboundPolicy

EXECUTE = "/api/v2/execute"


async def run(call: Invocation) -> Any:
    config = call.config
    headers = {"authorization": config["authorization"]} if "authorization" in config else {}
    answer = await call.http.ask(
        "POST",
        config["url"].rstrip("/") + EXECUTE,
        json={
            "language": call.input.get("language") or config.get("language", "python"),
            "version": config.get("version", "*"),
            "files": [{"content": call.input["code"]}],
            "stdin": call.input.get("stdin", ""),
        },
        headers=headers,
        errors=("message",),
    )
    names = {"stdout": "stdout", "stderr": "stderr", "exit_code": "code", "signal": "signal"}
    outcome = picked(at(answer, "run"), **names)
    compiled = at(answer, "compile")
    if compiled is not None and at(compiled, "code") != 0:
        outcome["compile"] = picked(compiled, **names)
    return {**picked(answer, language="language", version="version"), **outcome}


def check(config: Mapping[str, Any], policy: OutboundPolicy) -> None:
    policy.check_url(config["url"], param="config.url")
    if "?" in config["url"] or "#" in config["url"]:
        raise bad_config("url", f"expected the address before {EXECUTE}, without a query")


TOOL = Builtin(
    slug="code-execution-piston",
    display_name="Code execution (own sandbox)",
    brand="Piston",
    description="Runs code in a sandbox. Returns what it printed and how it ended.",
    input_schema=fields(
        "code",
        code=text("The code", most=100_000),
        language=text("Such as python, javascript or bash; the configured one if left out", most=50),
        stdin=text("What the program reads from its input", most=100_000),
    ),
    config_schema=fields(
        "url",
        url=text("Address of the sandbox, up to /api/v2/execute", most=2_000),
        authorization={
            **secret("Value of the authorization header, if the sandbox wants one"),
            "pattern": r"^[\x20-\x7e]+$",
        },
        language=text("Language of code that names none; python if left out", most=50),
        version=text("Version of the language, if not any that is there", most=50),
    ),
    run=run,
    retry_safe=False,
    check=check,
    timeout_ms=60_000,
)
