"""A thousand turns at once over two hundred threads, with tools that take their time, clients that leave and
turns that are cancelled: every one of them ends, and nothing of any is left."""

import asyncio
import json
import random
from collections import Counter

import aiohttp
from sqlmodel import col, func, select
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.billing.models import UsageEvent
from gateway.loopback import served
from tests.serving import Served
from tests.threads.waiting.rig import ENDED, leaves_nothing
from threads.models import Message, PendingAction, ToolCallRow, Turn

THREADS, PER_THREAD = 200, 5
TURNS = THREADS * PER_THREAD
SEED = 20261121
ASKED = ("[sim: words=20] hello", 'use slow {"n":1}', 'use slow {"n":1} and slow {"n":2} then slow {"n":3}')


class SlowTool:
    def __init__(self, source: random.Random) -> None:
        self._random = source
        self.calls: Counter[str] = Counter()

    async def answer(self, request: Request) -> Response:
        call = json.loads(await request.body())
        self.calls[call["tool_use_id"] + call["turn_id"]] += 1
        await asyncio.sleep(self._random.random() * 0.3)
        return JSONResponse({"output": call["input"]})


class Crowd:
    """Clients that start turns, listen to some of them for a while, and cancel some."""

    def __init__(self, client: aiohttp.ClientSession, source: random.Random) -> None:
        self._client = client
        self._random = source
        self.begun: Counter[str] = Counter()

    async def turn(self, thread_id: str) -> None:
        path = f"/v1/threads/{thread_id}"
        how = self._random.choice(("whole", "stream", "leaves", "background", "cancelled"))
        body = {
            "model": "sim-small",
            "max_tokens": 60,
            "content": self._random.choice(ASKED),
            "tools": ["slow"],
            "on_busy": "queue",
            "stream": how in {"stream", "leaves"},
            "background": how in {"background", "cancelled"},
        }
        self.begun[how] += 1
        async with self._client.post(f"{path}/messages", json=body) as answer:
            assert answer.status in {200, 202}, await answer.text()
            if how == "leaves":
                for _ in range(self._random.randrange(40)):
                    await answer.content.readline()
                answer.close()
                return
            text = await answer.read()
        if how == "stream":
            assert b"event: qlaud.done\n" in text
        elif how == "cancelled":
            turn_id = json.loads(text)["id"]
            await asyncio.sleep(self._random.random())
            async with self._client.post(f"{path}/turns/{turn_id}/cancel") as answer:
                assert (await answer.json())["status"] in ENDED


async def test_a_thousand_turns_at_once(sqlite_heddle: Served) -> None:
    source = random.Random(SEED)
    tool = SlowTool(source)
    hook = Starlette(routes=[Route("/", tool.answer, methods=["POST"])])
    user, minted = await sqlite_heddle.mint()
    admin = await sqlite_heddle.client()
    async with served(lambda _: hook) as url:
        slow = {"name": "slow", "description": "Slow", "webhook_url": f"{url}/"}
        (await admin.post("/v1/tools", json=slow)).raise_for_status()
        threads = [(await user.post("/v1/threads")).json()["id"] for _ in range(THREADS)]
        connector = aiohttp.TCPConnector(limit=TURNS)
        patience = aiohttp.ClientTimeout(total=300)
        async with aiohttp.ClientSession(
            sqlite_heddle.url,
            connector=connector,
            timeout=patience,
            headers={"x-api-key": minted["secret"]},
        ) as client:
            crowd = Crowd(client, source)
            await asyncio.gather(*(crowd.turn(thread) for thread in threads * PER_THREAD))
        await all_ended(sqlite_heddle)
        await leaves_nothing(sqlite_heddle)
    assert len(crowd.begun) == 5 and crowd.begun.total() == TURNS
    assert max(tool.calls.values()) == 1, "no call is made twice"
    await the_books_are_right(sqlite_heddle)


async def all_ended(running: Served) -> None:
    """Those whose clients have left go on by themselves."""
    left = select(func.count()).select_from(Turn).where(col(Turn.status).not_in(ENDED))
    async with asyncio.timeout(240):
        while True:
            async with running.app.db.session() as session:
                if (await session.exec(left)).one() == 0:
                    return
            await asyncio.sleep(0.2)


async def the_books_are_right(running: Served) -> None:
    async with running.app.db.session() as session:
        turns = (await session.exec(select(Turn))).all()
        calls = (await session.exec(select(ToolCallRow))).all()
        messages = (await session.exec(select(Message).order_by(Message.thread_id, col(Message.seq)))).all()
        actions = (await session.exec(select(func.count()).select_from(PendingAction))).one()
        paid: dict[str, int] = {}
        for turn_id, nanos in (await session.exec(select(UsageEvent.turn_id, UsageEvent.cost_nanos))).all():
            paid[str(turn_id)] = paid.get(str(turn_id), 0) + nanos
    assert len(turns) == TURNS and actions == 0
    assert Counter(turn.status for turn in turns)["failed"] == 0, [turn.error for turn in turns if turn.error]
    completed = {turn.id for turn in turns if turn.status == "completed"}
    assert {call.status for call in calls if call.turn_id in completed} == {"done"}
    seqs: dict[str, list[int]] = {}
    for message in messages:
        seqs.setdefault(message.thread_id, []).append(message.seq)
    assert all(found == list(range(1, len(found) + 1)) for found in seqs.values())
    assert {turn.id: turn.cost_nanos for turn in turns if turn.cost_nanos} == {
        turn_id: nanos for turn_id, nanos in paid.items() if nanos
    }
