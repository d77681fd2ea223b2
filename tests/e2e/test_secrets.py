"""No secret that ever entered is to be found in what the system wrote: database files, logs, answers."""

import base64
import json
import re
from pathlib import Path
from urllib.parse import urljoin

import httpx
from mcp.server.mcpserver import MCPServer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.demo.oauth_mcp import NotebookVendor, build_notebook
from gateway.demo.story import CSRF
from gateway.loopback import served
from tests.e2e.processes import ADMIN_KEY, HeddleProcess

TENANT_CANARY = "canary-tenant-header-6f1d2c3b4a59"
PASTED_CANARY = "canary-pasted-key-0a9b8c7d6e5f"
BUILTIN_CANARY = "canary-builtin-secret-7e6f5d4c3b2a"
PROMPT_CANARY = "canary-prompt-3e2d1c0b9a8f"


def encodings(secret: str) -> list[bytes]:
    raw = secret.encode()
    whole = base64.b64encode(raw).rstrip(b"=")
    return [raw, raw.hex().encode(), whole[: len(whole) - len(whole) % 4]]


async def echo(request: Request) -> Response:
    """A vendor that repeats what it was sent."""
    return JSONResponse({"headers": dict(request.headers), "url": str(request.url)})


async def test_secrets_are_nowhere_in_the_clear(tmp_path: Path) -> None:
    catalogue = tmp_path / "catalogue"
    catalogue.mkdir()
    (catalogue / "pasted.toml").write_text(
        'slug = "pasted"\ndisplay_name = "Pasted"\ncategory = "other"\nauth = "api_key"\n'
        'server_url = "http://127.0.0.1:9/mcp"\ndocs_url = "https://example.com"\nsource = "the test"\n'
        '[headers]\nauthorization = "Bearer {key}"\n'
        '[config_schema]\ntype = "object"\nrequired = ["key"]\n'
        '[config_schema.properties.key]\ntype = "string"\nformat = "password"\n'
    )
    vendor = NotebookVendor("")

    def build(base_url: str):  # type: ignore[no-untyped-def]
        vendor.base_url = base_url
        return build_notebook(vendor)

    heddle = HeddleProcess(tmp_path, HEDDLE_CATALOG_DIR=str(catalogue), HEDDLE_LOG_LEVEL="debug")
    heddle.start()
    answers: list[str] = []
    secrets: list[str] = [ADMIN_KEY, TENANT_CANARY, PASTED_CANARY, BUILTIN_CANARY]
    try:
        async with (
            served(build) as notebook,
            served(lambda _: MCPServer("plain", log_level="ERROR").streamable_http_app()) as plain,
            served(lambda _: Starlette(routes=[Route("/echo", echo)])) as vendor_api,
            httpx.AsyncClient(base_url=heddle.url, timeout=30) as client,
        ):
            admin = {"x-api-key": ADMIN_KEY}

            async def call(method: str, path: str, body: object = None) -> dict[str, object]:
                kept = {**admin, "idempotency-key": f"{len(answers)}"}  # answers are stored, too
                answer = await client.request(method, path, json=body, headers=kept)
                answers.append(answer.text)
                parsed: dict[str, object] = answer.json()
                return parsed

            key = await call("POST", "/v1/keys", {"name": "k", "end_user_id": "ada"})
            tool = await call("POST", "/v1/tools", {"name": "t", "webhook_url": "http://127.0.0.1:9/"})
            secrets += [str(key["secret"]), str(tool["secret"])]
            answers = [
                text.replace(str(key["secret"]), "").replace(str(tool["secret"]), "") for text in answers
            ]
            per_user = {"name": "notebook", "server_url": f"{notebook}/mcp", "auth_mode": "per_user"}
            await call("POST", "/v1/mcp-servers", per_user)
            tenant = {
                "name": "tenant",
                "server_url": f"{plain}/mcp",
                "auth_headers": {"authorization": f"Bearer {TENANT_CANARY}"},
            }
            assert (await call("POST", "/v1/mcp-servers", tenant))["auth_mode"] == "tenant"
            leaky = {
                "name": "leaky",
                "provider": "qlaud-builtin/http-call",
                "config": {
                    "url": f"{vendor_api}/echo?key={{{{secrets.key}}}}",
                    "method": "GET",
                    "headers": {"authorization": "Bearer {{secrets.key}}"},
                    "secrets": {"key": BUILTIN_CANARY},
                },
            }
            assert (await call("POST", "/v1/tools", leaky))["secret_config"] == ["secrets"]
            thread = await call("POST", "/v1/threads", {})
            told = {"model": "sim-small", "max_tokens": 99, "content": "use leaky {}", "tools": ["leaky"]}
            turn = await call("POST", f"/v1/threads/{thread['id']}/messages", told)
            assert "[secret]" in str(turn["tool_calls"]), "the vendor has had it, and repeated it"
            secrets += await connect(client, "notebook", admin)
            await paste(client, "pasted", admin)
            for name, arguments in (
                ("notebook/add_note", {"text": "x"}),
                ("notebook/list_notes", {}),
                ("t", {}),
                ("leaky", {}),
            ):
                body = {"name": name, "input": arguments, "end_user_id": "ada"}
                await call("POST", "/v1/tools/call", body)
            vendor.expire_access()
            await call("POST", "/v1/tools/call", {"name": "notebook/list_notes", "end_user_id": "ada"})
            assert vendor.refreshes == 1
            secrets += [*vendor.access, *vendor.refreshing]
            secrets += [client.client_secret for client in vendor.clients.values() if client.client_secret]
            for path in ("/v1/tools", "/v1/mcp-servers", "/v1/connections", "/v1/keys", "/v1/usage/events"):
                await call("GET", path)
            await call("POST", "/v1/messages", {"model": ADMIN_KEY})
            said = [{"role": "user", "content": PROMPT_CANARY}]
            echoed = await call(
                "POST", "/v1/messages", {"model": "sim-small", "max_tokens": 99, "messages": said}
            )
            assert PROMPT_CANARY in str(echoed)
            answers.pop()
            secrets.append(PROMPT_CANARY)
    finally:
        heddle.stop()
    secrets.append((tmp_path / "data" / "vault.key").read_text().strip().partition(":")[2])
    written = {"output": heddle.output.read_bytes(), "answers": "\n".join(answers).encode()}
    for file in (tmp_path / "data").iterdir():
        if file.name != "vault.key":
            written[file.name] = file.read_bytes()
    assert len(written["heddle.db"]) > 10_000
    assert len(secrets) >= 12
    written["answers"] = written["answers"].replace(f"model {ADMIN_KEY}".encode(), b"")
    found = [
        (place, secret[:12])
        for secret in secrets
        for needle in encodings(secret)
        for place, content in written.items()
        if needle in content
    ]
    assert found == []


async def connect(client: httpx.AsyncClient, connector: str, admin: dict[str, str]) -> list[str]:
    """Drive the OAuth flow; returns the link's token, the cookie, the state and the code it went through."""
    link = await client.post(
        "/v1/connections/sessions",
        json={"connector": connector, "end_user_id": "ada"},
        headers={**admin, "idempotency-key": connector},
    )
    url = link.json()["connect_url"]
    seen = [url.rpartition("/")[2]]
    async with httpx.AsyncClient(timeout=30) as browser:
        page = await browser.get(url)
        csrf = CSRF.search(page.text)
        assert csrf is not None
        seen.append(csrf.group(1))
        answer = await browser.post(url, data={"csrf": csrf.group(1), "action": "continue"})
        where = url
        while answer.is_redirect:
            where = urljoin(where, answer.headers["location"])
            seen += re.findall(r"[?&](?:state|code)=([^&]+)", where)
            answer = await browser.get(where)
            if "/consent" in where:
                answer = await browser.post(where, data={"user": "ada", "action": "approve"})
        assert answer.status_code == 200, answer.text
    return seen


async def paste(client: httpx.AsyncClient, connector: str, admin: dict[str, str]) -> None:
    link = await client.post(
        "/v1/connections/sessions",
        json={"connector": connector, "end_user_id": "ada"},
        headers={**admin, "idempotency-key": connector},
    )
    url = link.json()["connect_url"]
    async with httpx.AsyncClient(timeout=30) as browser:
        page = await browser.get(url)
        csrf = CSRF.search(page.text)
        assert csrf is not None
        form = {"csrf": csrf.group(1), "action": "continue", "key": PASTED_CANARY}
        done = await browser.post(url, data=form)
        assert done.status_code == 200, done.text
        assert json.dumps(PASTED_CANARY)[1:-1] not in done.text
