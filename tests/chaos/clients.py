"""The clients: they call, remember what they got to the end, and try again when a process is gone."""

import asyncio
import random
import time
from collections import Counter
from typing import Any

import httpx

from tests.chaos.fleet import Fleet
from tests.crash.test_calls import KINDS
from tests.e2e.processes import ADMIN_KEY

CLIENTS = 20
KEYS = 4
PATIENCE_S = 20.0


class Clients:
    """``complete``: the request ids of answers that ended properly, with what each must cost."""

    def __init__(self, fleet: Fleet, dice: random.Random) -> None:
        self._fleet = fleet
        self._dice = dice
        self._keys: list[str] = []
        self.complete: dict[str, int] = {}
        self.statuses: Counter[str] = Counter()

    async def mint(self) -> None:
        async with httpx.AsyncClient(base_url=self._fleet.url(), headers={"x-api-key": ADMIN_KEY}) as admin:
            for number in range(KEYS):
                name = f"user-{number}"
                budget = {"budget_usd": 300, "budget_period": "lifetime"}
                (await admin.put(f"/v1/end-users/{name}", json=budget)).raise_for_status()
                key = {"name": name, "end_user_id": name, "max_spend_usd": 200}
                minted = await admin.post("/v1/keys", json=key)
                self._keys.append(minted.raise_for_status().json()["secret"])

    async def call_until(self, end: float) -> None:
        while time.monotonic() < end:
            headers = {"x-api-key": self._dice.choice(self._keys)}
            url = self._fleet.url()
            try:
                async with httpx.AsyncClient(base_url=url, headers=headers, timeout=PATIENCE_S) as client:
                    await self._one(client)
            except httpx.TransportError as error:
                self.statuses[type(error).__name__] += 1
                await asyncio.sleep(0.2)

    async def _one(self, client: httpx.AsyncClient) -> None:
        if self._dice.random() < 0.3:
            await self._turn(client)
            return
        kind = KINDS[self._dice.choice(sorted(KINDS))]
        async with client.stream("POST", kind.path, json=kind.body) as answer:
            await answer.aread()
        self.statuses[str(answer.status_code)] += 1
        if answer.status_code == 200:
            self.complete[answer.headers["x-request-id"]] = kind.nanos

    async def _turn(self, client: httpx.AsyncClient) -> None:
        thread = await client.post("/v1/threads", json={})
        if thread.status_code != 201:
            self.statuses[str(thread.status_code)] += 1
            return
        body: dict[str, Any] = {"model": "chat", "content": "weave", "stream": True, "max_tokens": 100}
        path = f"/v1/threads/{thread.json()['id']}/messages"
        async with client.stream("POST", path, json=body) as answer:
            await answer.aread()
        self.statuses[f"turn {answer.status_code}"] += 1
