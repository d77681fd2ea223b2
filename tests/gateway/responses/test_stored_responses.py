"""Stored responses with the official SDK: conversations, branches, the background, calls, and who may see
them."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from sqlmodel import select

from gateway.billing.models import Hold, UsageEvent
from gateway.responses.models import StoredResponse
from tests.serving import Served, heddle
from threads.models import Thread, Turn

MODEL = "sim-small"
TOOLS: list[Any] = [
    {
        "type": "function",
        "name": name,
        "description": name,
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        "strict": False,
    }
    for name in ("get_weather", "get_time")
]


class Rig:
    def __init__(self, served: Served) -> None:
        self.served = served
        self.gpt: openai.AsyncOpenAI

    async def client(self, **key: Any) -> openai.AsyncOpenAI:
        _, minted = await self.served.mint(**key)
        gpt = openai.AsyncOpenAI(base_url=f"{self.served.url}/v1", api_key=minted["secret"], max_retries=0)
        await self.served.stack.enter_async_context(gpt)
        return gpt

    async def rows(self, query: Any) -> list[Any]:
        async with self.served.app.db.session() as session:
            return list((await session.exec(query)).all())

    async def ended(self, gpt: openai.AsyncOpenAI, response_id: str) -> Any:
        async with asyncio.timeout(15):
            while True:
                response = await gpt.responses.retrieve(response_id)
                if response.status not in ("queued", "in_progress"):
                    return response
                await asyncio.sleep(0.02)


@pytest.fixture
async def rig(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Rig]:
    async with heddle(sqlite_url, tmp_path) as served:
        rig = Rig(served)
        rig.gpt = await rig.client()
        yield rig


async def test_a_conversation_over_three_responses_and_a_branch(rig: Rig) -> None:
    gpt = rig.gpt
    rules = {"role": "developer", "content": "[sim: words=3]"}
    first = await gpt.responses.create(
        model=MODEL,
        store=True,
        instructions="Be brief.",
        input=[rules, {"role": "user", "content": "one"}],  # type: ignore[list-item]
    )
    assert (first.status, first.previous_response_id, first.instructions) == ("completed", None, "Be brief.")
    assert len(first.output_text.split()) == 3
    second = await gpt.responses.create(model=MODEL, input="two", previous_response_id=first.id)
    assert (second.previous_response_id, second.instructions) == (first.id, None)
    assert len(second.output_text.split()) == 3  # the developer's words stay in force
    await gpt.responses.create(model=MODEL, input="three", previous_response_id=second.id)
    branch = await gpt.responses.create(model=MODEL, input="other", previous_response_id=first.id)

    rows = {row.id: row for row in await rig.rows(select(StoredResponse))}
    threads = {row.thread_id for row in rows.values()}
    assert len(threads) == 2
    assert rows[branch.id].thread_id != rows[first.id].thread_id == rows[second.id].thread_id
    seqs = {thread.id: thread.last_seq for thread in await rig.rows(select(Thread))}
    assert (seqs[rows[first.id].thread_id], seqs[rows[branch.id].thread_id]) == (6, 4)

    found = await gpt.responses.retrieve(first.id)
    assert found.to_dict() == first.to_dict()
    items = await gpt.responses.input_items.list(first.id, order="asc")
    assert [item.role for item in items.data] == ["developer", "user"]  # type: ignore[union-attr]
    await gpt.responses.delete(branch.id)
    with pytest.raises(openai.NotFoundError):
        await gpt.responses.retrieve(branch.id)
    with pytest.raises(openai.BadRequestError) as lost:
        await gpt.responses.create(model=MODEL, input="on", previous_response_id=branch.id)
    assert lost.value.code == "previous_response_not_found"
    gone = {thread.id for thread in await rig.rows(select(Thread)) if thread.deleted_at is not None}
    assert gone == {rows[branch.id].thread_id}
    assert len([event for event in await rig.rows(select(UsageEvent)) if event.cost_nanos]) == 4


async def test_a_named_conversation_is_a_thread(rig: Rig) -> None:
    gpt = rig.gpt
    made = await gpt.conversations.create(
        items=[
            {"type": "message", "role": "user", "content": "before"},
            {"role": "assistant", "content": "so"},
        ],
        metadata={"topic": "looms"},
    )
    for said in ("one", "two"):
        response = await gpt.responses.create(model=MODEL, input=said, conversation=made.id)
        assert response.conversation is not None
        assert (response.conversation.id, response.output_text) == (made.id, f"You said: {said}")
    user = await rig.served.client(gpt.api_key)
    (thread,) = (await user.get("/v1/threads")).json()["data"]
    plain = await gpt.responses.create(model=MODEL, input="three", conversation={"id": thread["id"]})
    assert plain.conversation is not None and plain.conversation.id == thread["id"]
    items = await gpt.conversations.items.list(made.id, order="asc")
    texts = [item.to_dict()["content"][0]["text"] for item in items.data]  # type: ignore[index]
    replies = ["one", "You said: one", "two", "You said: two", "three", "You said: three"]
    assert texts == ["before", "so", *replies]
    apart = await gpt.responses.create(model=MODEL, input="apart", previous_response_id=plain.id)
    assert apart.conversation is None
    assert len((await gpt.conversations.items.list(made.id, order="asc")).data) == len(texts)
    assert (await gpt.conversations.retrieve(made.id)).metadata == {"topic": "looms"}
    await gpt.conversations.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        await gpt.responses.create(model=MODEL, input="on", conversation=made.id)


async def test_functions_are_called_by_the_client_and_answered_in_the_next_request(rig: Rig) -> None:
    gpt = rig.gpt
    ask = 'use get_weather {"city": "Oslo"} and get_time {"city": "Rome"}'
    first = await gpt.responses.create(model=MODEL, store=True, input=ask, tools=TOOLS)
    calls = [item for item in first.output if item.type == "function_call"]
    assert first.status == "completed"
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [
        ("get_weather", {"city": "Oslo"}),
        ("get_time", {"city": "Rome"}),
    ]
    outputs: list[Any] = [
        {"type": "function_call_output", "call_id": call.call_id, "output": f"{call.name}: fine"}
        for call in calls
    ]
    for unfit, told in (
        (outputs[:1], f"No tool output found for function call {calls[1].call_id}."),
        ([*outputs, outputs[0]], "No tool call found for function call output"),
        ("and now?", "No tool output found for function call"),
    ):
        with pytest.raises(openai.BadRequestError, match=told):
            await gpt.responses.create(model=MODEL, input=unfit, previous_response_id=first.id)
    answers = await asyncio.gather(  # one of them is a branch: each answers the calls once
        *(
            gpt.responses.create(model=MODEL, input=outputs, previous_response_id=first.id, tools=TOOLS)
            for _ in range(2)
        )
    )
    for answer in answers:
        assert "get_weather: fine" in answer.output_text
        assert "get_time: fine" in answer.output_text
    turns = await rig.rows(select(Turn))
    assert len({turn.thread_id for turn in turns}) == 2
    assert {(turn.status, turn.iteration) for turn in turns} == {("completed", 1)}
    assert await rig.rows(select(Hold)) == []


async def test_the_background_is_polled_streamed_again_and_cancelled(rig: Rig) -> None:
    gpt = rig.gpt
    begun = await gpt.responses.create(model=MODEL, input="hi", background=True)
    assert (begun.status, begun.background, begun.output) == ("in_progress", True, [])
    assert (await rig.ended(gpt, begun.id)).output_text == "You said: hi"
    failed = await gpt.responses.create(model=MODEL, input="[sim: status=400] hi", background=True)
    failed = await rig.ended(gpt, failed.id)
    assert failed.status == "failed" and failed.error is not None

    stream = await gpt.responses.create(
        model=MODEL, input="[sim: words=40 pace=20ms] hi", background=True, stream=True
    )
    seen: list[Any] = []
    async for event in stream:
        seen.append(event)
        if len(seen) == 8:
            await stream.close()
            break
    response_id = seen[0].response.id
    again = await gpt.responses.retrieve(response_id, stream=True, starting_after=seen[-1].sequence_number)
    seen += [event async for event in again]
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    kinds = [event.type for event in seen if event.type != "response.output_text.delta"]
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    text = "".join(event.delta for event in seen if event.type == "response.output_text.delta")
    last = seen[-1].response
    assert (last.output_text, last.id, last.background) == (text, response_id, True)
    assert last.to_dict() == (await gpt.responses.retrieve(response_id)).to_dict()

    slow = await gpt.responses.create(model=MODEL, input="[sim: words=90 pace=50ms] hi", background=True)
    async for event in await gpt.responses.retrieve(slow.id, stream=True):
        if event.type == "response.output_text.delta":
            break
    stopped = await gpt.responses.cancel(slow.id)
    assert (stopped.status, (await gpt.responses.cancel(slow.id)).status) == ("cancelled", "cancelled")
    events = [event async for event in await gpt.responses.retrieve(slow.id, stream=True)]
    assert events[-1].type == "response.incomplete"
    assert events[-1].response.status == "cancelled"
    on = await gpt.responses.create(model=MODEL, input="go on", previous_response_id=slow.id)
    assert on.output_text == "You said: go on"
    with pytest.raises(openai.BadRequestError, match="background"):
        await gpt.responses.cancel(on.id)


async def test_others_find_nothing_and_contradictions_are_refused(rig: Rig) -> None:
    ann, bob = await rig.client(end_user_id="ann"), await rig.client(end_user_id="bob")
    tester = await rig.client(mode="test")
    made = await ann.conversations.create()
    mine = await ann.responses.create(model=MODEL, input="hi", conversation=made.id)
    assert (await rig.gpt.responses.retrieve(mine.id)).id == mine.id  # the account's own key sees all
    for other in (bob, tester):
        tries = (
            other.responses.retrieve(mine.id),
            other.responses.cancel(mine.id),
            other.responses.delete(mine.id),
            other.responses.input_items.list(mine.id),
            other.conversations.retrieve(made.id),
            other.conversations.items.list(made.id),
            other.conversations.delete(made.id),
            other.responses.create(model=MODEL, input="hi", conversation=made.id),
        )
        for attempt in tries:
            with pytest.raises(openai.NotFoundError):
                await attempt
        with pytest.raises(openai.BadRequestError, match="not found"):
            await other.responses.create(model=MODEL, input="hi", previous_response_id=mine.id)

    gpt = rig.gpt
    refused: list[dict[str, Any]] = [
        {"input": "hi", "background": True, "store": False},
        {"input": "hi", "conversation": made.id, "previous_response_id": mine.id},
        {"input": "hi", "store": True, "tools": [{"type": "web_search"}]},
        {"input": [{"role": "assistant", "content": "hi"}], "store": True},
        {"input": [{"role": "assistant", "content": "hi"}], "previous_response_id": mine.id},
    ]
    for body in refused:
        with pytest.raises((openai.BadRequestError, openai.UnprocessableEntityError)):
            await gpt.responses.create(model=MODEL, **body)
    with pytest.raises(openai.BadRequestError):
        await gpt.responses.create(model=MODEL, input="[sim: status=400] no", store=True)
    (row,) = await rig.rows(select(StoredResponse))
    assert row.id == mine.id  # what was refused has left nothing behind
    alive = [thread for thread in await rig.rows(select(Thread)) if thread.deleted_at is None]
    assert [thread.id for thread in alive] == [row.thread_id]
    passed = await gpt.responses.create(model=MODEL, input="hi")
    with pytest.raises(openai.NotFoundError):
        await gpt.responses.retrieve(passed.id)  # nobody asked to store it

    key = {"idempotency-key": "once"}
    twice = [
        await gpt.responses.create(model=MODEL, input="hi", store=True, extra_headers=key) for _ in range(2)
    ]
    assert twice[0].to_dict() == twice[1].to_dict()
