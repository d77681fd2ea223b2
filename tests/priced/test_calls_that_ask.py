"""A tool that costs money and asks the end user first: only the call that is answered is paid, once."""

import asyncio
from pathlib import Path
from typing import Any

from tests.priced.rig import PRICE, shop
from tests.threads.waiting.rig import PATIENCE_S, act, ended
from tests.threads.waiting.test_elicitation import said


async def test_what_asks_first_is_paid_when_it_has_answered(sqlite_url: str, tmp_path: Path) -> None:
    prices = {"search/*": "0.01", "search/wait": "0"}
    async with shop(sqlite_url, tmp_path, prices=prices, asks=True) as open_shop:
        user, _ = await open_shop.heddle.mint()
        parked = (await open_shop.turn(user, "use search__query {}")).raise_for_status().json()
        path = f"/v1/threads/{parked['thread_id']}/turns/{parked['turn_id']}"
        assert await open_shop.paid() == []
        await act(user, path, said(parked["actions"][0], "accept", where="attic"))
        turn = await ended(user, path)
        assert turn["tool_calls"][0]["output"] == {"result": "looked in {'where': 'attic'}"}
        assert turn["tool_calls"][0]["cost_micros"] == PRICE // 1000
        assert await open_shop.paid() == [PRICE]

        asked = 'use search__query {} and search__wait {"seconds":3}'
        turn = (await open_shop.turn(user, asked, background=True)).raise_for_status().json()
        path = f"/v1/threads/{turn['thread_id']}/turns/{turn['id']}"
        action: dict[str, Any] = {}
        async with asyncio.timeout(PATIENCE_S):
            while not action:  # the turn does not park: its other call is under way
                found = (await user.get(path)).json()["actions"]
                action = found[0] if found else {}
                await asyncio.sleep(0.05)
        await act(user, path, said(action, "accept", where="cellar"))
        turn = await ended(user, path)
        assert "cellar" in str(turn["tool_calls"][0]["output"])
        assert await open_shop.paid() == [PRICE, PRICE]
