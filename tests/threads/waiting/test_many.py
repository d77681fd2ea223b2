"""Two hundred turns that wait for everything, answered at random, cancelled, left to expire, and restarted in
the middle: each comes to an end, and nothing of it is left."""

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
from sqlmodel import col, select

from gateway.demo.oauth_mcp import NotebookVendor
from gateway.loopback import served
from tests.serving import Served, heddle
from tests.threads.waiting.rig import ENDED, PICK, Tools, leaves_nothing, new_thread, webhooks
from threads.models import Message, PendingAction, ToolCallRow, Turn
from threads.schemas import render_action

PER_THREAD = 5
TURNS = {"sqlite": 200, "postgresql": 80}
"""In five for each thread; on PostgreSQL between two processes."""
SEED = 20261121
KINDS = ("client_tool", "approval", "webhook", "connect", "funds", "several", "none")
ASKED = {
    "client_tool": 'use pick {"n":1} then pick {"n":2}',
    "approval": 'use note {"a":1}',
    "webhook": "use later {}",
    "connect": "use list_notes {}",
    "funds": "use note {}",
    "several": 'use pick {"n":1} and note {"a":1} and later {} and list_notes {}',
    "none": "[sim: pace=5ms words=20] hello",
}


class Crowd:
    """Those who start turns and answer what they wait for, by way of any of the running Heddles."""

    def __init__(self, tools: Tools) -> None:
        self.random = random.Random(SEED)
        self.tools = tools
        self.rich: list[httpx.AsyncClient] = []
        self.poor: list[httpx.AsyncClient] = []
        self.admin: list[httpx.AsyncClient] = []
        self.paths: dict[str, str] = {}
        self.seen: Counter[str] = Counter()

    def one_of(self, clients: list[httpx.AsyncClient]) -> httpx.AsyncClient:
        return self.random.choice(clients)

    async def start(self, thread: str, kind: str) -> None:
        body: dict[str, Any] = {
            "model": "sim-small",
            "max_tokens": 60,
            "content": ASKED[kind],
            "background": True,
            "on_busy": self.random.choice(["queue", "queue", "queue", "interrupt"]),
            "tools": ["note", "later", *(["notebook"] if kind in {"connect", "several"} else [])],
            "client_tools": [PICK],
            "tool_approval": {"note": "always"} if kind in {"approval", "several"} else "never",
            "action_timeout_ms": self.random.choice([1000, 3000, 60_000]),
        }
        client = self.one_of(self.poor if kind == "funds" else self.rich)
        answer = await client.post(f"{thread}/messages", json=body)
        assert answer.status_code == 202, answer.text
        turn_id = answer.json()["id"]
        self.paths[turn_id] = f"{thread}/turns/{turn_id}"

    async def see_to_all(self, running: list[Served], *, rounds: int | None = None) -> None:
        """Round after round answer some of what turns wait for, until all have ended, or for so many."""
        while rounds is None or rounds > 0:
            rounds = None if rounds is None else rounds - 1
            async with self.random.choice(running).app.db.session() as session:
                going = (await session.exec(select(Turn.id).where(col(Turn.status).not_in(ENDED)))).all()
                query = select(PendingAction, Turn.thread_id).join(Turn)
                waiting = (await session.exec(query.where(PendingAction.status == "open"))).all()
            if not going:
                return
            async with asyncio.TaskGroup() as group:
                for action, thread_id in waiting:
                    path = f"/v1/threads/{thread_id}/turns/{action.turn_id}"
                    group.create_task(self._answer(path, render_action(action)))
                if self.random.random() < 0.3:
                    gone = self.random.choice(going)
                    group.create_task(self.one_of(self.rich).post(f"{self.paths[gone]}/cancel"))
            await asyncio.sleep(0.2)

    async def _answer(self, path: str, action: dict[str, Any]) -> None:
        luck = self.random.random()
        self.seen[action["kind"]] += 1
        client = self.one_of(self.rich)
        if luck < 0.3:
            return
        if action["kind"] == "client_tool" and luck < 0.7:
            thread = path.partition("/turns/")[0]
            answer = await client.post(
                f"{thread}/tool-results/{action['tool_use_id']}", json={"output": [1, 2]}
            )
            assert answer.status_code in {200, 404}, answer.text
        elif action["kind"] == "webhook" and luck < 0.8:
            late = {"output": "late", "turn_id": path.rpartition("/")[2]}
            results = f"/v1/tools/{self.tools.ids['later']}/results/{action['tool_use_id']}"
            assert (await self.one_of(self.admin).post(results, json=late)).status_code == 200
        else:
            yes = {"connect": "deny", "approval": "approve", "client_tool": "deny", "funds": "funds"}
            kind = yes.get(action["kind"], "deny") if luck < 0.9 else "deny"
            body: dict[str, Any] = {"actions": [{"id": action["id"], "type": kind}]}
            answers = await asyncio.gather(*(client.post(f"{path}/actions", json=body) for _ in range(2)))
            assert {answer.status_code for answer in answers} == {200}, [one.text for one in answers]


async def test_every_turn_comes_to_an_end(database_url: str, tmp_path: Path) -> None:
    engine = database_url.partition(":")[0]
    processes, count = (2 if engine == "postgresql" else 1), TURNS[engine]
    vendor = NotebookVendor("")

    async with webhooks() as tools, served(vendor.build) as notebook, AsyncExitStack() as stack:
        crowd = Crowd(tools)
        first = await _open(stack, database_url, tmp_path, processes)
        await tools.register(first[0])
        admin = await first[0].client()
        server = {"name": "notebook", "server_url": f"{notebook}/mcp", "auth_mode": "per_user"}
        (await admin.post("/v1/mcp-servers", json=server)).raise_for_status()
        _, rich = await first[0].mint()
        _, poor = await first[0].mint(max_spend_usd=0)
        await _know(crowd, first, rich["secret"], poor["secret"])
        threads = [await new_thread(crowd.rich[0], end_user_id=f"u{n}") for n in range(count // PER_THREAD)]

        async def talk(thread: str) -> None:
            for _ in range(PER_THREAD):
                await crowd.start(thread, crowd.random.choice(KINDS))

        async with asyncio.TaskGroup() as group:
            for thread in threads:
                group.create_task(talk(thread))
            group.create_task(crowd.see_to_all(first, rounds=10))
        await stack.aclose()

        second = await _open(stack, database_url, tmp_path, processes)
        await _know(crowd, second, rich["secret"], poor["secret"])
        admin = crowd.admin[0]
        (await admin.patch(f"/v1/keys/{poor['id']}", json={"max_spend_usd": 0.01})).raise_for_status()
        async with asyncio.timeout(240):
            await crowd.see_to_all(second)
        for running in second:
            await leaves_nothing(running)
        await _is_settled(second[0])
        assert len(crowd.paths) == count
        assert set(crowd.seen) == {"client_tool", "approval", "webhook", "connect", "funds"}


async def _open(stack: AsyncExitStack, url: str, folder: Path, processes: int) -> list[Served]:
    return [await stack.enter_async_context(heddle(url, folder)) for _ in range(processes)]


async def _know(crowd: Crowd, running: list[Served], rich: str, poor: str) -> None:
    crowd.rich = [await one.client(rich) for one in running]
    crowd.poor = [await one.client(poor) for one in running]
    crowd.admin = [await one.client() for one in running]


async def _is_settled(running: Served) -> None:
    """Every turn has ended, nothing waits, and every thread is a conversation with dense numbers."""
    async with running.app.db.session() as session:
        turns = (await session.exec(select(Turn))).all()
        assert {turn.status for turn in turns} <= ENDED
        waiting = select(PendingAction).where(PendingAction.status == "open")
        assert (await session.exec(waiting)).all() == []
        ids = [turn.id for turn in turns if turn.status == "completed"]
        calls = (await session.exec(select(ToolCallRow).where(col(ToolCallRow.turn_id).in_(ids)))).all()
        assert {call.status for call in calls} == {"done"}
        messages = (await session.exec(select(Message).order_by(Message.thread_id, col(Message.seq)))).all()
    seqs: dict[str, list[int]] = {}
    for message in messages:
        seqs.setdefault(message.thread_id, []).append(message.seq)
    assert all(found == list(range(1, len(found) + 1)) for found in seqs.values())
    spent = sum(turn.cost_nanos for turn in turns)
    admin = await running.client()
    usage = (await admin.get("/v1/usage")).json()["total_cost_micros"]
    assert abs(spent / 1000 - usage) <= 1
    assert (await admin.get("/v1/billing/balance")).json()["held_micros"] == 0
