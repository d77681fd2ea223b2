"""No secret is left behind by device flows, clients of an account's own, refused exchanges, verifications,
webhook deliveries or the operator's stdio servers; nor shown by any route that can be read.

As in ``test_secrets``: by design in clear is what the operator put into the environment, and what of it he
gave to a stdio server, in that server's environment.
"""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.loopback import served
from tests.e2e.canaries import data_folder, dumped, files_with, found_in, of_process
from tests.e2e.indiscreet import FILE, Indiscreet, new_secret
from tests.e2e.processes import ADMIN_KEY, HeddleProcess

ROGUE = Path(__file__).parents[1] / "broker" / "stdio_rogue.py"
STDIO, STRIPE, STRIPE_HOOK = "canary-stdio-env-4b3c2d1e", "sk_test_canary5d4c3b2a1f", "whsec_canary9e8d7c6b"
METRICS, OPERATOR = "canary-metrics-token-7b6a5f4e", "canary-operator-token-2c1b0a9f"
OPERATORS_OWN = {ADMIN_KEY, STDIO, STRIPE, STRIPE_HOOK, METRICS, OPERATOR}
WRONG_KEY = "ak_live_" + "bad0" * 16
PARAMETER = re.compile(r"\{(\w+)\}")


@dataclass
class Visit:
    """What was said to the server under test, and what it answered."""

    client: httpx.AsyncClient
    vendor: Indiscreet
    answers: list[str] = field(default_factory=list)
    secrets: set[str] = field(default_factory=lambda: {WRONG_KEY, *OPERATORS_OWN})
    ids: dict[str, str] = field(default_factory=dict)

    async def call(self, method: str, path: str, body: object = None, *, tells: str = "") -> Any:
        """``tells``: the field of the answer that is a secret, and rightly told here."""
        headers = {"x-api-key": ADMIN_KEY, **({"idempotency-key": new_secret("try")} if body else {})}
        answer = await self.client.request(method, path, json=body, headers=headers)
        told = answer.json()[tells] if tells else ""
        self.answers.append(answer.text.replace(told, "") if tells else answer.text)
        self.secrets |= {told} - {""}
        return answer.json() if answer.headers["content-type"] == "application/json" else answer.text


@asynccontextmanager
async def visiting(folder: Path, database: dict[str, str]) -> AsyncIterator[tuple[Visit, HeddleProcess]]:
    vendor = Indiscreet()
    async with served(vendor.build):
        catalogue = folder / "catalogue"
        catalogue.mkdir()
        for slug, method in (("indiscreet", "client_secret_post"), ("basic", "client_secret_basic")):
            text = FILE.format(slug=slug, url=vendor.url, token_auth=method)
            (catalogue / f"{slug}.toml").write_text(text)
        stdio = {"command": sys.executable, "args": [str(ROGUE), "plain"], "env": {"TOKEN": STDIO}}
        heddle = HeddleProcess.as_users_do(
            folder,
            HEDDLE_CATALOG_DIR=str(catalogue),
            HEDDLE_LOG_LEVEL="debug",
            HEDDLE_SIM="on",
            HEDDLE_METRICS_TOKEN=METRICS,
            HEDDLE_OPERATOR_TOKEN=OPERATOR,
            HEDDLE_STRIPE_SECRET_KEY=STRIPE,
            HEDDLE_STRIPE_WEBHOOK_SECRET=STRIPE_HOOK,
            HEDDLE_MCP_SERVERS=json.dumps({"rogue": stdio}),
            **database,
        )
        try:
            heddle.start()
            async with httpx.AsyncClient(base_url=heddle.url, timeout=30) as client:
                yield Visit(client, vendor), heddle
        finally:
            heddle.close()


async def connect_by_device(visit: Visit) -> None:
    begun = await visit.call(
        "POST",
        "/v1/connections/sessions",
        {"connector": "indiscreet", "end_user_id": "ada", "flow": "device"},
        tells="user_code",
    )
    for _ in range(100):
        session = await visit.call("GET", f"/v1/connections/sessions/{begun['id']}")
        if session["status"] == "done":
            break
        await asyncio.sleep(0.2)
    visit.ids |= {"session_id": begun["id"], "connection_id": session["connection_id"]}
    refused = await visit.call("POST", f"/v1/connections/{session['connection_id']}/refresh")
    assert "error" in refused and visit.vendor.polls == 2


async def fail_to_connect(visit: Visit, connector: str) -> None:
    """A browser's way to the vendor and back, to a code that the vendor then refuses."""
    link = await visit.call(
        "POST",
        "/v1/connections/sessions",
        {"connector": connector, "end_user_id": "ada"},
        tells="connect_url",
    )
    visit.secrets = {secret.rpartition("/connect/")[2] for secret in visit.secrets}
    async with httpx.AsyncClient(timeout=30, follow_redirects=True) as browser:
        page = await browser.get(link["connect_url"])
        csrf = re.search(r'name="csrf" value="([^"]+)"', page.text)
        assert csrf is not None
        visit.secrets.add(csrf[1])
        done = await browser.post(link["connect_url"], data={"csrf": csrf[1], "action": "continue"})
    assert done.status_code == 502 and "invalid_request" in done.text
    visit.answers.append(done.text)


async def verify(visit: Visit) -> None:
    """The site that vouches for end users, its secret, and a challenge that nobody answers."""
    site = {"verify_url": f"{visit.vendor.url}/me"}
    await visit.call("PUT", "/v1/connect-verification", site, tells="secret")
    link = await visit.call(
        "POST", "/v1/connections/sessions", {"connector": "basic", "end_user_id": "ada"}, tells="connect_url"
    )
    visit.secrets = {secret.rpartition("/connect/")[2] for secret in visit.secrets}
    async with httpx.AsyncClient(timeout=30) as browser:
        sent = await browser.get(link["connect_url"])
        assert sent.status_code == 303 and "challenge=" in sent.headers["location"]
        visit.secrets |= {value for _name, value in browser.cookies.items()}
    await visit.call("DELETE", "/v1/connect-verification")


async def use_tools(visit: Visit) -> None:
    """A webhook whose secret is rotated, a stdio server, and a streamed turn that uses both."""
    hook = {"name": "hook", "webhook_url": f"{visit.vendor.url}/hook"}
    tool = await visit.call("POST", "/v1/tools", hook, tells="secret")
    await visit.call("POST", f"/v1/tools/{tool['id']}/rotate-secret", {"overlap_s": 60}, tells="secret")
    for name in ("hook", "rogue/go"):
        result = await visit.call("POST", "/v1/tools/call", {"name": name, "input": {}, "end_user_id": "ada"})
        assert not result.get("is_error") and "error" not in result, result
    assert len(visit.vendor.deliveries) > 1
    key = await visit.call("POST", "/v1/keys", {"name": "k", "end_user_id": "ada"}, tells="secret")
    thread = await visit.call("POST", "/v1/threads", {"end_user_id": "ada"})
    said = {
        "model": "sim-small",
        "max_tokens": 99,
        "content": "use hook {}",
        "tools": ["hook"],
        "stream": True,
    }
    stream = await visit.call("POST", f"/v1/threads/{thread['id']}/messages", said)
    assert "turn_" in stream
    turns = await visit.call("GET", f"/v1/threads/{thread['id']}/turns")
    visit.ids |= {"tool_id": tool["id"], "key_id": key["id"], "thread_id": thread["id"]}
    visit.ids |= {"turn_id": turns["data"][0]["id"], "end_user_id": "ada", "connector": "indiscreet"}


async def be_refused(visit: Visit) -> None:
    """Requests that go wrong with a secret in them."""
    for headers in ({"x-api-key": WRONG_KEY}, {"authorization": f"Bearer {WRONG_KEY}"}):
        answer = await visit.client.get("/v1/keys", headers=headers)
        assert answer.status_code == 401
        visit.answers.append(answer.text)
    event = {"stripe-signature": f"t=1,v1={STRIPE_HOOK.encode().hex()}"}
    answer = await visit.client.post("/v1/billing/stripe-webhook", headers=event, json={})
    assert answer.status_code == 400
    visit.answers.append(answer.text)


async def watch(visit: Visit) -> None:
    """The live stream of a thread, from the beginning, until it has nothing more to tell."""
    url, headers = f"/v1/threads/{visit.ids['thread_id']}/events", {"x-api-key": ADMIN_KEY}
    seen = ""
    with suppress(httpx.ReadTimeout):
        async with visit.client.stream(
            "GET", url, params={"after": 0}, headers=headers, timeout=httpx.Timeout(30, read=2)
        ) as stream:
            assert stream.status_code == 200
            async for text in stream.aiter_text():
                seen += text
    assert visit.ids["turn_id"] in seen, seen
    visit.answers.append(seen)


async def read_everything(visit: Visit) -> int:
    """Every route that can be read, with what there is; how many had something to tell."""
    metrics = await visit.client.get("/metrics", headers={"authorization": f"Bearer {METRICS}"})
    visit.answers.append(metrics.raise_for_status().text)
    paths = (await visit.client.get("/openapi.json", headers={"x-api-key": ADMIN_KEY})).json()["paths"]
    told = 0
    for path in sorted(path for path, methods in paths.items() if "get" in methods):
        if path == "/v1/threads/{thread_id}/events" or not set(PARAMETER.findall(path)) <= visit.ids.keys():
            continue  # one never ends, others are of what this test has not made
        url = PARAMETER.sub(lambda found: visit.ids[found[1]], path)
        answer = await visit.client.get(url, headers={"x-api-key": ADMIN_KEY})
        visit.answers.append(answer.text)
        told += answer.status_code == 200
    return told


def children_of(pid: int) -> Iterator[int]:
    """The processes that a process has started, and those that they have."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield int(child)
            yield from children_of(int(child))


def seen_of_children(pid: int) -> dict[str, bytes]:
    seen = {
        f"{name} of {child}": content
        for child in children_of(pid)
        for name, content in of_process(child).items()
    }
    assert any(b"stdio_rogue" in content for content in seen.values()), "the stdio server runs"
    environments = b"".join(content for place, content in seen.items() if "environ" in place)
    assert STDIO.encode() in environments, "it can be found at all"
    return {
        place: content.replace(STDIO.encode(), b"") if "environ" in place else content
        for place, content in seen.items()
    }


@pytest.mark.timeout(240)
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_flows_leave_no_secret_behind(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    database: dict[str, str] = {}
    if engine == "postgresql":
        database["HEDDLE_DATABASE_URL"] = request.getfixturevalue("postgres_url")
    async with visiting(tmp_path, database) as (visit, heddle):
        for connector in ("indiscreet", "basic"):
            secret = new_secret("client-secret")
            await visit.call(
                "PUT", f"/v1/oauth-clients/{connector}", {"client_id": "app", "client_secret": secret}
            )
            visit.secrets.add(secret)
        await connect_by_device(visit)
        await fail_to_connect(visit, "indiscreet")
        await fail_to_connect(visit, "basic")
        await verify(visit)
        await use_tools(visit)
        await be_refused(visit)
        await watch(visit)
        assert await read_everything(visit) >= 30
        written = seen_of_children(heddle.pid)
        written |= {"cmdline": of_process(heddle.pid)["cmdline"]}
        written |= {f"{file.name} meanwhile": file.read_bytes() for file in files_of(tmp_path)}
        await visit.call("DELETE", f"/v1/connections/{visit.ids['connection_id']}")
        heddle.stop()
    secrets = visit.secrets | visit.vendor.told
    assert len(secrets) >= 30
    assert {secret.split("-")[1] for secret in secrets if secret.startswith("canary-")} >= {
        *("device_code", "user_code", "code", "access_token", "refresh_token", "client", "stdio")
    }
    written |= {"answers": "\n".join(visit.answers).encode(), "output": heddle.output.read_bytes()}
    written |= {"deliveries": b"\n".join(visit.vendor.deliveries)}
    written |= {file.name: file.read_bytes() for file in files_of(tmp_path)}
    if engine == "postgresql":
        written |= dumped(database["HEDDLE_DATABASE_URL"])
        folder = data_folder(database["HEDDLE_DATABASE_URL"])
        assert files_with(folder, secrets, tmp_path / "needles") == []
    assert found_in(written, secrets) == []


def files_of(folder: Path) -> list[Path]:
    return [file for file in (folder / "data").iterdir() if file.name != "vault.key"]
