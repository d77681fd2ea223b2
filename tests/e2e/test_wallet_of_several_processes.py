"""Four processes, one wallet: real servers on one PostgreSQL, and money for five hundred calls."""

import asyncio
import base64
from collections import Counter
from pathlib import Path

import httpx

from gateway.loopback import served
from tests.e2e.processes import ADMIN_KEY, HeddleProcess
from tests.gateway.billing.test_wallet_races import AFFORDED, BODY, CONNECTIONS, MESSAGE, REQUESTS
from tests.gateway.inference.upstream import Upstream, whole

SETTINGS = """
markup = "0"
starter_credit_usd = "5"

[providers.fake]
dialect = "anthropic"
base_url = "{url}"

[models.flat]
provider = "fake"
input_usd_per_mtok = "0"
output_usd_per_mtok = "0"
unit_usd = {{request = "0.01"}}
"""
PROCESSES = 4
VAULT_KEYS = "1:" + base64.b64encode(bytes(32)).decode()


async def test_together_they_never_overdraw_it(postgres_url: str, tmp_path: Path) -> None:
    async with served(lambda _: Upstream(whole(MESSAGE))) as url:
        processes = []
        for number in range(PROCESSES):
            folder = tmp_path / str(number)
            folder.mkdir()
            (folder / "heddle.toml").write_text(SETTINGS.format(url=url))
            processes.append(
                HeddleProcess(folder, HEDDLE_DATABASE_URL=postgres_url, HEDDLE_VAULT_KEYS=VAULT_KEYS)
            )
        try:
            for process in processes:
                await asyncio.to_thread(process.start)
            statuses = await _race([process.url for process in processes])
            with processes[0].client() as client:
                balance = client.get("/v1/billing/balance").json()
                usage = client.get("/v1/usage").json()
                entries = _ledger(client)
        finally:
            for process in processes:
                process.close()
    assert statuses == {200: AFFORDED, 402: REQUESTS - AFFORDED}
    assert (balance["balance_micros"], balance["held_micros"]) == (0, 0)
    assert (usage["request_count"], usage["total_cost_micros"]) == (AFFORDED, 5_000_000)
    assert sum(entry["amount_micros"] for entry in entries) == 0
    assert [entry["seq"] for entry in reversed(entries)] == list(range(1, AFFORDED + 2))


async def _race(urls: list[str]) -> Counter[int]:
    statuses: Counter[int] = Counter()
    left = iter(range(REQUESTS))
    async with httpx.AsyncClient(headers={"x-api-key": ADMIN_KEY}, timeout=120) as client:

        async def connection() -> None:
            for number in left:
                answer = await client.post(f"{urls[number % len(urls)]}/v1/messages", json=BODY)
                statuses[answer.status_code] += 1

        await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    return statuses


def _ledger(client: httpx.Client) -> list[dict[str, int]]:
    """All entries, newest first."""
    entries: list[dict[str, int]] = []
    cursor = None
    while True:
        params = {"limit": 100, **({"cursor": cursor} if cursor else {})}
        answer = client.get("/v1/billing/ledger", params=params).raise_for_status().json()
        entries += answer["data"]
        cursor = answer["next_cursor"]
        if not answer["has_more"]:
            return entries
