"""Retries, fallbacks, keys, circuit and concurrency: what the caller sees, and what it pays, each time."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Send

from gateway.inference import routing
from gateway.inference.providers import Limits, Provider
from gateway.loopback import served
from gateway.settings import AliasSettings, AliasTarget, ModelSettings
from kit.breaker import FAILURES_TO_OPEN
from tests.gateway.inference.upstream import Answer, Upstream, stream, whole
from tests.gateway.inference.wire import anthropic as wire
from tests.gateway.inference.wire.reply import Reply
from tests.gateway.serving import Serving, serving

REPLY = Reply("From the loom.", input_tokens=100, output_tokens=40)
GOOD = whole(wire.whole(REPLY, "m", "1"))
COST_NANOS = (100 * 1000 + 40 * 5000) * 107 // 100
PRICES: dict[str, Any] = {"input_usd_per_mtok": Decimal(1), "output_usd_per_mtok": Decimal(5)}
DEAR: dict[str, Any] = {"input_usd_per_mtok": Decimal(10), "output_usd_per_mtok": Decimal(50)}
BODY = {"model": "smart", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]}


def failing(status: int, **headers: str) -> Answer:
    body = b'{"type":"error","error":{"type":"api_error","message":"no"}}'
    return whole(body, status, headers={name.replace("_", "-"): value for name, value in headers.items()})


def in_turn(*answers: Answer) -> Answer:
    """Each answer once; the last one from then on."""
    left = list(answers)

    async def answer(send: Send) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(send)

    return answer


@dataclass
class Pair:
    """Heddle before two providers; ``smart`` falls back from the first to the second."""

    heddle: Serving
    first: Upstream = field(default_factory=Upstream)
    second: Upstream = field(default_factory=Upstream)

    @property
    def asked(self) -> tuple[int, int]:
        return len(self.first.heard), len(self.second.heard)

    async def post(self, **more: Any) -> Any:
        return await self.heddle.http.post("/v1/messages", json={**BODY, **more})


@asynccontextmanager
async def pair(
    data_dir: Path,
    *,
    keys: tuple[str, ...] = ("k",),
    limits: Limits | None = None,
    weights: tuple[float | None, float | None] = (None, None),
    **settings: Any,
) -> AsyncIterator[Pair]:
    first, second = Upstream(GOOD), Upstream(GOOD)
    async with served(lambda _: first) as one, served(lambda _: second) as two:
        providers = {
            "one": Provider("one", {"anthropic": one}, keys, limits=limits or Limits()),
            "two": Provider("two", {"anthropic": two}, ("k2",)),
        }
        models = {
            "m1": ModelSettings(provider="one", max_output_tokens=1000, **PRICES),
            "m2": ModelSettings(provider="two", max_output_tokens=1000, **DEAR),
        }
        targets = tuple(
            AliasTarget(model=model, weight=weight)
            for model, weight in zip(("m1", "m2"), weights, strict=True)
        )
        aliases = {"smart": AliasSettings(targets=targets)}
        async with serving(data_dir, providers, models=models, aliases=aliases, **settings) as heddle:
            yield Pair(heddle, first, second)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "FIRST_PAUSE_S", 0.01)


# --- retries --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 529])
async def test_a_passing_failure_is_tried_again_and_billed_once(tmp_path: Path, status: int) -> None:
    async with pair(tmp_path) as both:
        both.first.answer = in_turn(failing(status, retry_after="0"), failing(status, retry_after="0"), GOOD)
        answer = await both.post(model="m1")
        assert answer.status_code == 200, answer.text
        assert both.asked == (3, 0)
        event = await both.heddle.only_event()
        assert (event.status, event.cost_nanos, event.provider) == ("ok", COST_NANOS, "one")


async def test_tries_end_and_the_last_failure_is_told(tmp_path: Path) -> None:
    async with pair(tmp_path) as both:
        both.first.answer = failing(500)
        answer = await both.post(model="m1")
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_error")
        assert both.asked == (3, 0)
        event = await both.heddle.only_event()
        assert (event.status, event.cost_nanos, event.error_code) == ("error", 0, "upstream_error")


async def test_the_number_of_tries_is_a_setting(tmp_path: Path) -> None:
    async with pair(tmp_path, max_tries=1) as both:
        both.first.answer = failing(500)
        assert (await both.post(model="m1")).status_code == 502
        assert both.asked == (1, 0)


@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_a_fault_of_the_request_is_not_tried_again_anywhere(tmp_path: Path, status: int) -> None:
    async with pair(tmp_path) as both:
        both.first.answer = failing(status)
        assert (await both.post()).status_code == status
        assert both.asked == (1, 0)


async def test_a_pause_that_was_asked_for_is_kept(tmp_path: Path) -> None:
    async with pair(tmp_path) as both:
        both.first.answer = in_turn(failing(503, retry_after="1"), GOOD)
        started = time.monotonic()
        assert (await both.post(model="m1")).status_code == 200
        assert time.monotonic() - started >= 1


async def test_a_long_pause_is_left_to_the_caller(tmp_path: Path) -> None:
    async with pair(tmp_path) as both:
        both.first.answer = failing(429, retry_after="60")
        answer = await both.post(model="m1")
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "60")
        assert both.asked == (1, 0)


async def test_a_request_that_may_still_run_is_not_repeated(tmp_path: Path) -> None:
    async def silent(_send: Send) -> None:
        await asyncio.sleep(20)

    async with pair(tmp_path, limits=Limits(first_byte_timeout_s=0.3)) as both:
        both.first.answer = silent
        answer = await both.post(model="m1")
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")
        assert both.asked == (1, 0)


async def test_nothing_runs_twice_after_the_first_byte(tmp_path: Path) -> None:
    frames = list(wire.stream(REPLY, "m", "1"))
    async with pair(tmp_path) as both:
        both.first.answer = stream(*frames[:3], break_off=True)
        async with both.heddle.http.stream("POST", "/v1/messages", json={**BODY, "stream": True}) as answer:
            raw = await answer.aread()
        assert answer.status_code == 200
        assert b"upstream_broke_off" in raw
        assert both.asked == (1, 0)


# --- fallbacks ------------------------------------------------------------------------------------


async def test_the_next_model_answers_when_the_first_cannot(tmp_path: Path) -> None:
    async with pair(tmp_path) as both:
        both.first.answer = failing(500)
        answer = await both.post()
        assert answer.status_code == 200
        assert both.asked == (3, 1)
        event = await both.heddle.only_event()
        assert (event.provider, event.model, event.cost_nanos) == ("two", "m2", COST_NANOS * 10)


async def test_a_silent_model_is_not_asked_again_but_the_next_one_is(tmp_path: Path) -> None:
    async def silent(_send: Send) -> None:
        await asyncio.sleep(20)

    async with pair(tmp_path, limits=Limits(first_byte_timeout_s=0.3)) as both:
        both.first.answer = silent
        assert (await both.post()).status_code == 200
        assert both.asked == (1, 1)


async def test_the_hold_covers_the_dearest_candidate(tmp_path: Path) -> None:
    async with pair(tmp_path) as both:
        release = asyncio.Event()

        async def slow(send: Send) -> None:
            await release.wait()
            await GOOD(send)

        both.first.answer = slow
        posted = asyncio.create_task(both.post())
        while not both.first.heard:
            await asyncio.sleep(0.01)
        (hold,) = await both.heddle.holds()
        assert hold.amount_nanos > 50 * 50_000  # 50 tokens at the dear model's output price
        release.set()
        assert (await posted).status_code == 200
        await both.heddle.only_event()


async def test_an_unknown_target_of_an_alias_is_passed_over(tmp_path: Path) -> None:
    async with pair(tmp_path) as both:
        catalog = both.heddle.app.inference.catalogs.live
        catalog._aliases["half"] = AliasSettings(
            targets=(AliasTarget(model="no-such"), AliasTarget(model="m2"))
        )
        assert [model.upstream_name for model in catalog.candidates("half")] == ["m2"]
        catalog._aliases["none"] = AliasSettings(targets=(AliasTarget(model="no-such"),))
        assert (await both.post(model="none")).status_code == 404


async def test_weights_share_the_first_tries(tmp_path: Path) -> None:
    async with pair(tmp_path, weights=(3, 1)) as both:
        catalog = both.heddle.app.inference.catalogs.live
        drawn = Counter(catalog.candidates("smart")[0].upstream_name for _ in range(2000))
        assert 1350 < drawn["m1"] < 1650
        orders = {tuple(model.upstream_name for model in catalog.candidates("smart")) for _ in range(100)}
        assert orders == {("m1", "m2"), ("m2", "m1")}


# --- keys, circuit, concurrency --------------------------------------------------------------------


async def test_a_limited_key_gives_way_to_the_next_at_once(tmp_path: Path) -> None:
    async with pair(tmp_path, keys=("key-a", "key-b")) as both:
        both.first.answer = in_turn(failing(429, retry_after="30"), GOOD)
        started = time.monotonic()
        assert (await both.post(model="m1")).status_code == 200
        assert time.monotonic() - started < 5
        assert [heard.headers["x-api-key"] for heard in both.first.heard] == ["key-a", "key-b"]
        assert (await both.post(model="m1")).status_code == 200
        assert both.first.heard[-1].headers["x-api-key"] == "key-b"  # the other one rests


async def test_keys_take_turns(tmp_path: Path) -> None:
    async with pair(tmp_path, keys=("key-a", "key-b")) as both:
        for _ in range(4):
            await both.post(model="m1")
        used = [heard.headers["x-api-key"] for heard in both.first.heard]
        assert used == ["key-a", "key-b", "key-a", "key-b"]


async def test_a_refused_key_is_tried_no_more_than_once(tmp_path: Path) -> None:
    async with pair(tmp_path) as both:
        both.first.answer = failing(401)
        answer = await both.post(model="m1")
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_credentials")
        assert both.asked == (1, 0)


async def test_what_keeps_failing_is_not_asked_any_more(tmp_path: Path) -> None:
    async with pair(tmp_path, max_tries=1) as both:
        both.first.answer = failing(500)
        for _ in range(FAILURES_TO_OPEN):
            assert (await both.post(model="m1")).status_code == 502
        answer = await both.post(model="m1")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "circuit_open")
        assert int(answer.headers["retry-after"]) >= 1
        assert both.asked == (FAILURES_TO_OPEN, 0)
        assert (await both.post()).status_code == 200  # the alias goes straight to the second
        assert both.asked == (FAILURES_TO_OPEN, 1)
        assert (await both.heddle.wallet()).held_nanos == 0


async def test_no_more_calls_run_at_once_than_the_limit(tmp_path: Path) -> None:
    now, most = 0, 0

    async def counting(send: Send) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.05)
        now -= 1
        await GOOD(send)

    async with pair(tmp_path, limits=Limits(max_concurrent=2)) as both:
        both.first.answer = counting
        answers = await asyncio.gather(*(both.post(model="m1") for _ in range(8)))
        assert {answer.status_code for answer in answers} == {200}
        assert most == 2


@pytest.mark.parametrize("how", ["whole", "failed", "streamed", "left"])
async def test_every_slot_is_given_back(tmp_path: Path, how: str) -> None:
    frames = list(wire.stream(REPLY, "m", "1"))
    answers: dict[str, Answer] = {
        "whole": GOOD,
        "failed": failing(500),
        "streamed": stream(*frames, pace_s=0),
        "left": stream(*frames[:3], hang_s=20),
    }
    async with pair(tmp_path, limits=Limits(max_concurrent=1), max_tries=1) as both:
        both.first.answer = answers[how]
        if how in {"streamed", "left"}:
            body = {**BODY, "model": "m1", "stream": True}
            async with both.heddle.http.stream("POST", "/v1/messages", json=body) as answer:
                async for _ in answer.aiter_raw():
                    if how == "left":
                        break
        else:
            await both.post(model="m1")
        both.first.answer = GOOD
        async with asyncio.timeout(5):
            assert (await both.post(model="m1")).status_code == 200


async def test_a_full_provider_is_left_for_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "QUEUE_TIMEOUT_S", 0.1)
    release = asyncio.Event()

    async def slow(send: Send) -> None:
        await release.wait()
        await GOOD(send)

    async with pair(tmp_path, limits=Limits(max_concurrent=1), max_tries=1) as both:
        both.first.answer = slow
        held = asyncio.create_task(both.post(model="m1"))
        while not both.first.heard:
            await asyncio.sleep(0.01)
        refused = await both.post(model="m1")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "provider_busy")
        assert (await both.post()).status_code == 200
        assert both.asked == (1, 1)
        release.set()
        assert (await held).status_code == 200


async def test_metrics_count_what_happened(tmp_path: Path) -> None:
    async with pair(tmp_path) as both:
        both.first.answer = failing(500)
        await both.post()
        value: Callable[..., float | None] = both.heddle.app.metrics.get_sample_value
        one, two = {"provider": "one", "model": "m1"}, {"provider": "two", "model": "m2"}
        assert value("heddle_upstream_tries_total", {**one, "outcome": "upstream_error"}) == 3
        assert value("heddle_upstream_tries_total", {**two, "outcome": "ok"}) == 1
        assert value("heddle_upstream_retries_total", one) == 2
        assert value("heddle_upstream_fallbacks_total", two) == 1
        assert value("heddle_upstream_head_seconds_count", two) == 1
