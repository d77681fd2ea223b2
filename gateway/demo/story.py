"""The demo's story: real servers on loopback ports, and one conversation played through them."""

import asyncio
import json
import logging
import re
import secrets
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from textwrap import indent
from typing import Any
from urllib.parse import urljoin

import httpx
from rich.console import Console
from sqlmodel import Session

from gateway.billing.ledger import verify_account
from gateway.data_dir import prepare_data_dir
from gateway.demo.oauth_mcp import NotebookVendor
from gateway.demo.webhook import WeatherHook, build_weather_hook
from gateway.loopback import served
from gateway.serve import Serving, configure_logging, serve
from gateway.settings import load_settings

QUESTION = 'use get_weather {"city": "Oslo"} and add_note {"text": "Oslo: take a coat"} then list_notes {}'
END_USER = "user_ada"
CSRF = re.compile(r'name="csrf" value="([^"]+)"')


class DemoFailed(RuntimeError):
    """The story did not go as it must; the message says where."""


class Narrator:
    """Prints the story with the time since it began."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._began = time.monotonic()

    def chapter(self, title: str) -> None:
        elapsed = time.monotonic() - self._began
        self._console.print(f"\n[bold cyan]{elapsed:5.1f} s  {title}[/]")

    def line(self, text: str) -> None:
        self._console.print(indent(text, " " * 9), markup=False)


def run_demo(*, port: int, data_dir: Path | None, stay: bool) -> None:
    """Play the story; with ``stay`` the servers run on until Ctrl-C. Raises BadSettings, DemoFailed."""
    configure_logging("error")
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    with suppress(KeyboardInterrupt):
        asyncio.run(_demo(port, data_dir, stay))


async def _demo(port: int, data_dir: Path | None, stay: bool) -> None:
    tell = Narrator()
    async with AsyncExitStack() as stack:
        if data_dir is None:
            data_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="heddle-demo-")))
        tell.chapter("Starting the servers")
        hook = WeatherHook()
        weather_url = await stack.enter_async_context(served(lambda _: build_weather_hook(hook)))
        vendor = NotebookVendor("")
        notebook_url = await stack.enter_async_context(served(vendor.build))
        admin_key = "ak_live_" + secrets.token_hex(32)
        serving, server = await stack.enter_async_context(_heddle(port, data_dir, admin_key))
        tell.line(f"Heddle                    {serving.url} (model provider: {', '.join(serving.providers)})")
        tell.line(f"the vendor's MCP server   {notebook_url}/mcp, with its own OAuth")
        tell.line(f"the developer's webhook   {weather_url}/weather")
        async with httpx.AsyncClient(base_url=serving.url, timeout=30) as client:
            story = _Story(client, tell, admin_key, hook)
            playing = story.tell(serving, f"{weather_url}/weather", f"{notebook_url}/mcp")
            telling = asyncio.create_task(playing)
            await asyncio.wait({telling, server}, return_when=asyncio.FIRST_COMPLETED)
            if not telling.done():  # Ctrl-C ended the server
                telling.cancel()
                await asyncio.wait({telling})
                return
            telling.result()
        if not stay:
            return
        tell.chapter("The servers keep running; Ctrl-C ends them")
        tell.line(f"Heddle     {serving.url}/v1/threads   (x-api-key: {admin_key})")
        tell.line(f"MCP server {notebook_url}/mcp")
        tell.line(f"webhook    {weather_url}/weather")
        tell.line(f"a fresh connect page to click: {await _fresh_link(serving, admin_key)}")
        await server


@asynccontextmanager
async def _heddle(
    port: int, data_dir: Path, admin_key: str
) -> AsyncIterator[tuple[Serving, asyncio.Task[None]]]:
    """The very server that ``heddle serve`` runs, as a task; it ends on Ctrl-C."""
    settings = load_settings(
        overrides={
            "port": port,
            "data_dir": data_dir,
            "bootstrap_admin_key": admin_key,
            "allow_private_targets": "loopback",
            "log_level": "error",
            "sim": "on",
        }
    )
    prepare_data_dir(settings)
    ready: asyncio.Future[Serving] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(settings, on_ready=ready.set_result))
    ended: list[asyncio.Future[Any]] = [task, ready]
    await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
        raise DemoFailed("the server ended before it listened")
    try:
        yield ready.result(), task
    finally:
        ready.result().stop()
        await task


class _Story:
    def __init__(self, client: httpx.AsyncClient, tell: Narrator, admin_key: str, hook: WeatherHook) -> None:
        self._client = client
        self._say = tell
        self._admin = {"x-api-key": admin_key}
        self._hook = hook

    async def tell(self, serving: Serving, weather_url: str, notebook_url: str) -> None:
        await self._forget_earlier()
        await self._play(weather_url, notebook_url)
        await self._settle_up(serving)

    async def _forget_earlier(self) -> None:
        """Remove what an earlier demo registered in the same data folder: its ports are gone."""
        for tool in (await self._get("/v1/tools?limit=100"))["data"]:
            if tool["name"] == "get_weather":
                await self._client.delete(f"/v1/tools/{tool['id']}", headers=self._admin)
        for server in (await self._get("/v1/mcp-servers?limit=100"))["data"]:
            if server["name"] == "notebook":
                await self._client.delete(f"/v1/mcp-servers/{server['id']}", headers=self._admin)

    async def _play(self, weather_url: str, notebook_url: str) -> None:
        tell = self._say
        tell.chapter("The developer mints a key for one end user, capped at 1 USD")
        key = await self._post(
            "/v1/keys",
            {"name": "Ada's app", "scope": "standard", "max_spend_usd": 1, "end_user_id": END_USER},
        )
        tell.line(f"{key['prefix']}…  scope {key['scope']}, bound to {key['end_user_id']}, cap 1 USD")
        user = {"x-api-key": key["secret"]}

        tell.chapter("The developer registers two tools")
        schema = {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        }
        tool = await self._post(
            "/v1/tools",
            {
                "name": "get_weather",
                "description": "The weather in a city",
                "input_schema": schema,
                "webhook_url": weather_url,
                "idempotent": True,
            },
        )
        self._hook.secret = tool["secret"]
        tell.line(f"get_weather   a signed webhook ({tool['id']})")
        server = await self._post(
            "/v1/mcp-servers", {"name": "notebook", "server_url": notebook_url, "auth_mode": "per_user"}
        )
        tell.line(f"notebook/*    an MCP server, used with each end user's own account ({server['id']})")

        tell.chapter("The app opens a thread and posts a message")
        thread = await self._post("/v1/threads", {"metadata": {"app": "demo"}}, user)
        tell.line(f"thread {thread['id']}")
        tell.line(f"“{QUESTION}”")
        body = {
            "model": "sim-small",
            "content": QUESTION,
            "tools": [tool["id"], "notebook"],
            "stream": True,
        }
        path = f"/v1/threads/{thread['id']}/messages"
        async with self._client.stream("POST", path, json=body, headers=user) as response:
            events = [event async for event in _events(response)]
        waiting = next((event for event in events if event["type"].endswith("requires_action")), None)
        if waiting is None:
            raise DemoFailed(f"the turn did not ask for a connection: {events}")
        tell.chapter("The turn parks: a tool needs the end user's account")
        action = waiting["actions"][0]
        tell.line(f"{action['kind']} {action['connector']}: {action['connect_url'][:60]}…")

        tell.chapter("Ada opens the link and allows it")
        watching = asyncio.create_task(self._watch(thread["id"], waiting["turn_id"], user, len(events)))
        where = await approve_in_browser(action["connect_url"], user="ada")
        tell.line(f"back at {where}: connected")

        tell.chapter("The turn goes on by itself")
        answer = await asyncio.wait_for(watching, 30)
        if "ada has 1 notes: Oslo: take a coat" not in answer:
            raise DemoFailed(f"the answer is not what the tools said: {answer}")
        tell.line(f"“{answer}”")
        tell.line(
            f"the webhook saw {len(self._hook.seen)} genuine call, for {self._hook.seen[0]['end_user_id']}"
        )

    async def _settle_up(self, serving: Serving) -> None:
        tell = self._say
        tell.chapter("What it cost")
        usage = await self._get("/v1/usage")
        for row in usage["by_key"]:
            tell.line(f"{row['key_name']}: {row['request_count']} model calls, {row['cost_micros']} µUSD")
        ledger = (await self._get("/v1/billing/ledger?limit=100"))["data"]
        for entry in reversed(ledger):
            tell.line(
                f"ledger {entry['seq']}  {entry['kind']:<7} {entry['amount_usd']:>14} USD"
                f"  {entry['reference']}"
            )
        balance = await self._get("/v1/billing/balance")
        total = sum(round(float(entry["amount_usd"]) * 1e9) for entry in ledger)
        if total != round(float(balance["balance_usd"]) * 1e9):
            raise DemoFailed(f"the ledger sums to {total} nano-USD, the balance is {balance}")
        tell.line(f"balance {balance['balance_usd']} USD = the ledger's sum; held {balance['held_usd']} USD")

        def verify(session: Session) -> list[str]:
            return [fault.problem for fault in verify_account(session, serving.account_id)]

        faults = await serving.app.db.write(verify)
        if faults:
            raise DemoFailed(f"the ledger's hash chain is broken: {faults}")
        tell.line("the ledger's hash chain is sound")

    async def _watch(self, thread_id: str, turn_id: str, user: dict[str, str], seen: int) -> str:
        """Follow the parked turn's events until it is done; returns the answer's text."""
        text: list[str] = []
        last_id = seen
        while True:
            path = f"/v1/threads/{thread_id}/turns/{turn_id}/events"
            headers = {**user, "last-event-id": str(last_id)}
            async with self._client.stream("GET", path, headers=headers) as response:
                async for event in _events(response):
                    last_id = event.get("__id", last_id)
                    self._show(event, text)
                    if event["type"].endswith(".done") and not event.get("incomplete"):
                        return "".join(text)
            await asyncio.sleep(0.05)

    def _show(self, event: dict[str, Any], text: list[str]) -> None:
        kind = event["type"].rpartition(".")[2]
        if kind == "tool_dispatch_start":
            self._say.line(f"→ {event['name']}")
        elif kind == "tool_dispatch_done":
            self._say.line(f"← {event['name']}: {json.dumps(event['output'], ensure_ascii=False)}")
        elif kind == "message_start":
            text.clear()
        elif kind == "content_block_delta":
            text.append(event["delta"].get("text", ""))

    async def _post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> dict[str, Any]:
        return _checked(await self._client.post(path, json=body, headers=headers or self._admin))

    async def _get(self, path: str) -> dict[str, Any]:
        return _checked(await self._client.get(path, headers=self._admin))


async def approve_in_browser(connect_url: str, *, user: str) -> str:
    """Do what a person does: open the link, continue, sign in at the vendor, approve. Returns where it
    ended. Raises DemoFailed."""
    async with httpx.AsyncClient(timeout=30) as browser:
        page = await browser.get(connect_url)
        csrf = CSRF.search(page.text)
        if csrf is None:
            raise DemoFailed(f"the connect page has no form (status {page.status_code})")
        form = {"csrf": csrf.group(1), "action": "continue"}
        answer = await browser.post(connect_url, data=form)
        url = connect_url
        while answer.is_redirect:
            url = urljoin(url, answer.headers["location"])
            answer = await browser.get(url)
            if "/consent" in url and answer.status_code == 200:
                answer = await browser.post(url, data={"user": user, "action": "approve"})
        if answer.status_code != 200:
            raise DemoFailed(f"{url} answered {answer.status_code}: {answer.text[:300]}")
        return url.partition("?")[0]


async def _fresh_link(serving: Serving, admin_key: str) -> str:
    async with httpx.AsyncClient(base_url=serving.url) as client:
        body = {"connector": "notebook", "end_user_id": "user_bob"}
        answer = await client.post("/v1/connections/sessions", json=body, headers={"x-api-key": admin_key})
        return str(_checked(answer)["connect_url"])


async def _events(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    if response.status_code != 200:
        raise DemoFailed(f"{response.url} answered {response.status_code}: {await response.aread()!r}")
    event_id: int | None = None
    async for line in response.aiter_lines():
        if line.startswith("id: "):
            event_id = int(line[4:])
        elif line.startswith("data: "):
            event = json.loads(line[6:])
            if event_id is not None:
                event["__id"] = event_id
            yield event


def _checked(response: httpx.Response) -> dict[str, Any]:
    if response.status_code >= 400:
        raise DemoFailed(f"{response.request.url} answered {response.status_code}: {response.text[:500]}")
    body: dict[str, Any] = response.json()
    return body
