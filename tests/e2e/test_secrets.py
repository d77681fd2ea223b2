"""No secret that ever entered is to be found in what the system wrote: database files while it runs and
after, a dump of every table, output, metrics, answers, event streams, exports, a process's arguments and
environment.

By design there in clear: nothing that is written. The environment holds what the operator put there himself:
the first admin key, the metrics token, the provider's key. Keys of ours are stored as hashes.
"""

import base64
import json
import re
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest
from mcp.server.mcpserver import MCPServer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from gateway.demo.oauth_mcp import NotebookVendor
from gateway.demo.story import CSRF
from gateway.loopback import served
from tests.broker.token_peers import TokenServer, guarded, token_server
from tests.e2e.canaries import data_folder, dumped, files_with, found_in, listening, of_process
from tests.e2e.processes import ADMIN_KEY, HeddleProcess

TENANT_CANARY = "canary-tenant-header-6f1d2c3b4a59"
PASTED_CANARY = "canary-pasted-key-0a9b8c7d6e5f"
CLIENT_CANARY = "canary-client-secret-2b3c4d5e6f7a"
ROTATED_CANARY = "canary-rotated-secret-8a9b0c1d2e3f"
BUILTIN_CANARY = "canary-builtin-secret-7e6f5d4c3b2a"
PROMPT_CANARY = "canary-prompt-3e2d1c0b9a8f"
PROVIDER_CANARY = "canary-provider-key-5d4c3b2a1f0e"
METRICS_CANARY = "canary-metrics-token-9f8e7d6c5b4a"
OPERATORS_OWN = {ADMIN_KEY, METRICS_CANARY, PROVIDER_CANARY}


async def echo(request: Request) -> Response:
    """A vendor that repeats what it was sent."""
    return JSONResponse({"headers": dict(request.headers), "url": str(request.url)})


async def refuse(request: Request) -> Response:
    """A provider that does not know our key."""
    assert request.headers["x-api-key"] == PROVIDER_CANARY
    return JSONResponse({"type": "error", "error": {"type": "authentication_error", "message": "no"}}, 401)


def test_the_search_would_find_them() -> None:
    for before in range(4):
        for after in range(4):
            text = b"-" * before + ADMIN_KEY.encode() + b"+" * after
            for hidden in (text, text.hex().encode(), base64.b64encode(text), base64.urlsafe_b64encode(text)):
                assert found_in({"there": b"x" + hidden}, [ADMIN_KEY]) != []
    assert found_in({"there": base64.b64encode(b"another text of this length, at least")}, [ADMIN_KEY]) == []


@pytest.mark.timeout(240)
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_secrets_are_nowhere_in_the_clear(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    database: dict[str, str] = {}
    if engine == "postgresql":
        database["HEDDLE_DATABASE_URL"] = request.getfixturevalue("postgres_url")
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
    heard: list[str] = []

    def build(base_url: str) -> ASGIApp:
        return listening(vendor.build(base_url), heard)

    answers: list[str] = []
    secrets: list[str] = [*OPERATORS_OWN, TENANT_CANARY, PASTED_CANARY, BUILTIN_CANARY]
    secrets += [CLIENT_CANARY, ROTATED_CANARY]
    written: dict[str, bytes] = {}
    async with AsyncExitStack() as stack:
        api_routes = [Route("/echo", echo), Route("/v1/messages", refuse, methods=["POST"])]
        vendor_api = await stack.enter_async_context(served(lambda _: Starlette(routes=api_routes)))
        provider = {"dialect": "anthropic", "base_url": vendor_api, "api_key": PROVIDER_CANARY}
        prices = {"provider": "canary", "input_usd_per_mtok": "1", "output_usd_per_mtok": "5"}
        heddle = HeddleProcess.as_users_do(
            tmp_path,
            HEDDLE_CATALOG_DIR=str(catalogue),
            HEDDLE_LOG_LEVEL="debug",
            HEDDLE_SIM="on",
            HEDDLE_METRICS_TOKEN=METRICS_CANARY,
            HEDDLE_PROVIDERS=json.dumps({"canary": provider}),
            HEDDLE_MODELS=json.dumps({"refused": {**prices, "max_output_tokens": 1_000}}),
            **database,
        )
        stack.callback(heddle.close)
        heddle.start()
        async with (
            served(build) as notebook,
            served(lambda _: MCPServer("plain", log_level="ERROR").streamable_http_app()) as plain,
            token_server(TokenServer(clients={"robot": CLIENT_CANARY})) as issuer,
            guarded(issuer) as mcp,
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
            auth = {"type": "client_credentials", "client_id": "robot", "client_secret": CLIENT_CANARY}
            robots = {"name": "robots", "server_url": mcp.url, "auth": auth}
            server = await call("POST", "/v1/mcp-servers", robots)
            issuer.clients["robot"] = ROTATED_CANARY
            issuer.good.clear()
            add = {"name": "robots/add", "input": {"a": 1, "b": 1}}
            assert "invalid_client" in str((await call("POST", "/v1/tools/call", add))["output"])
            change = {"auth": {**auth, "client_secret": ROTATED_CANARY}}
            assert "auth" in await call("PATCH", f"/v1/mcp-servers/{server['id']}", change)
            assert (await call("POST", "/v1/tools/call", add))["is_error"] is False
            secrets += issuer.given
            assert len(issuer.given) == 2
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
            refused = {"model": "refused", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
            await call("POST", "/v1/messages", refused)
            connections = await call("GET", "/v1/connections?connector=notebook")
            found = connections["data"]
            assert isinstance(found, list)
            await call("POST", f"/v1/connections/{found[0]['id']}/refresh")
            secrets += [*vendor.access, *vendor.refreshing, *vendor.spent]
            for path in ("export", "turns", "messages", f"turns/{turn['turn_id']}/events"):
                answers.append((await client.get(f"/v1/threads/{thread['id']}/{path}", headers=admin)).text)
            answers.append((await client.get("/v1/usage.csv", headers=admin)).text)
            metrics = await client.get("/metrics", headers={"authorization": f"Bearer {METRICS_CANARY}"})
            written["metrics"] = metrics.raise_for_status().content
            seen = of_process(heddle.pid)
            assert b"gateway.cli" in seen["cmdline"] and ADMIN_KEY.encode() in seen["environ"]
            assert found_in({"environ": seen["environ"]}, {*secrets, *heard} - OPERATORS_OWN) == []
            written["cmdline"] = seen["cmdline"]
            written |= {f"{file.name} meanwhile": file.read_bytes() for file in data_files(tmp_path)}
            await call("DELETE", f"/v1/connections/{found[0]['id']}")
        heddle.stop()
    assert len(set(heard) & set(secrets)) >= 4, "the code, two refresh tokens, the client's secret"
    assert len(set(heard) - set(secrets)) >= 1, "the verifier"
    secrets += heard
    secrets.append((tmp_path / "data" / "vault.key").read_text().strip().partition(":")[2])
    written |= {"output": heddle.output.read_bytes(), "answers": "\n".join(answers).encode()}
    written |= {file.name: file.read_bytes() for file in data_files(tmp_path)}
    if engine == "postgresql":
        url = database["HEDDLE_DATABASE_URL"]
        written |= dumped(url)
        folder = data_folder(url)
        assert files_with(folder, [str(thread["id"])], tmp_path / "needles") != [], "it can be found at all"
        assert files_with(folder, set(secrets), tmp_path / "needles") == []
    assert sum(map(len, written.values())) > 50_000
    assert "heddle.db-wal meanwhile" in written or engine == "postgresql"
    assert len(set(secrets)) >= 20
    written["answers"] = written["answers"].replace(f"model {ADMIN_KEY}".encode(), b"")
    assert found_in(written, set(secrets)) == []


def data_files(folder: Path) -> list[Path]:
    return [file for file in (folder / "data").iterdir() if file.name != "vault.key"]


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
