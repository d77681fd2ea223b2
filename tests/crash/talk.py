"""A turn of three rounds that dies, and what must be true of it when somebody has finished it."""

import json
import math
from collections import Counter
from dataclasses import dataclass, field

from sqlmodel import Session, col, select

from gateway.billing.models import Hold, UsageEvent
from kit.money import micros
from tests.crash.doomed import Doomed
from tests.crash.provider import CALL_NANOS, INPUT_TOKENS, TOOL_ROUNDS, Provider, text_of_round
from tests.crash.told import Subscriber, story
from tests.crash.workshop import ONCE_ONLY, REPEATABLE, SELECTED, TOOLS, Workshop
from threads.event_log import IDS_PER_ATTEMPT
from threads.models import Message, ToolCallRow, Turn, TurnEventChunk

ROUNDS = TOOL_ROUNDS + 1


@dataclass
class Talk:
    """A thread with one turn; ``subject`` is its message, by which its calls are told from others."""

    subject: str
    key: str
    provider: Provider
    workshop: Workshop
    thread_id: str = ""
    heard: Subscriber = field(default_factory=Subscriber)

    async def open(self, heddle: Doomed) -> None:
        async with heddle.client(self.key) as client:
            self.thread_id = (await client.post("/v1/threads", json={})).raise_for_status().json()["id"]

    async def say(self, heddle: Doomed) -> None:
        """Post the message, and read the stream as far as it goes."""
        body = {
            "model": "chat",
            "content": self.subject,
            "tools": SELECTED,
            "stream": True,
            "max_tokens": 100,
        }
        async with heddle.client(self.key) as client:
            await self.heard.read(client, "POST", f"/v1/threads/{self.thread_id}/messages", json=body)

    async def hear_out(self, heddle: Doomed) -> None:
        """Read on where the stream broke off, to its end; say it again if it was not heard at all."""
        async with heddle.client(self.key) as client:
            path = f"/v1/threads/{self.thread_id}/turns"
            turns = (await client.get(path)).raise_for_status().json()["data"]
            if not turns:
                assert self.heard.events == []
                await self.say(heddle)
                return
            self.heard.turn_id = turns[0]["id"]
            await self.heard.resume(client, self.thread_id)

    def story(self) -> str:
        """What was heard, in a form that is the same for all turns."""
        return json.dumps(story(self.heard.events), indent=1).replace(self.subject, "…")

    def check(self, session: Session, told: str, deaths: int) -> list[UsageEvent]:
        """``told`` is what a turn that nothing befell was told. Returns what was paid of the attempts that
        were lost."""
        ids, kinds = self.heard.ids, [event["type"] for event in self.heard.events]
        assert ids == sorted(set(ids)), self.subject
        assert (kinds[-1], kinds.count("qlaud.done")) == ("qlaud.done", 1), self.subject
        assert self.story() == told, self.subject
        turn = session.exec(select(Turn).where(Turn.thread_id == self.thread_id)).one()
        assert (turn.status, turn.iteration) == ("completed", ROUNDS), self.subject
        assert session.exec(select(Hold).where(col(Hold.id).startswith(turn.id))).all() == [], self.subject
        self._check_messages(session, turn)
        self._check_tools(session, turn, deaths)
        return self._check_money(session, turn, deaths)

    def _check_messages(self, session: Session, turn: Turn) -> None:
        query = select(Message).where(Message.thread_id == self.thread_id).order_by(col(Message.seq))
        messages = session.exec(query).all()
        assert [one.seq for one in messages] == list(range(1, 2 * ROUNDS + 1)), self.subject
        assert [one.role for one in messages] == ["user", "assistant"] * ROUNDS, self.subject
        texts = [one.content[0]["text"] for one in messages if one.role == "assistant"]
        assert texts == [text_of_round(number) for number in range(1, ROUNDS + 1)], self.subject
        assert turn.last_seq == messages[-1].seq, self.subject

    def _check_tools(self, session: Session, turn: Turn, deaths: int) -> None:
        """What may not be repeated was called once or not at all, and the model was told so."""
        rows = session.exec(select(ToolCallRow).where(ToolCallRow.turn_id == turn.id)).all()
        assert len(rows) == TOOL_ROUNDS * len(TOOLS), self.subject
        assert {row.status for row in rows} == {"done"}, self.subject
        used = Counter((use.tool, use.round) for use in self.workshop.of(self.subject))
        keys = {(use.tool, use.round): use.key for use in self.workshop.of(self.subject)}
        assert all(use.key == keys[use.tool, use.round] for use in self.workshop.of(self.subject)), (
            self.subject,
            "a repeated call has another webhook-id",
        )
        webhooks = [key for key in keys.values() if key]
        assert len(set(webhooks)) == len(webhooks), (self.subject, "two calls have the same webhook-id")
        for row in rows:
            times = used[row.name, row.iteration]
            if row.name in REPEATABLE:
                assert not row.is_error and 1 <= times <= 1 + deaths, (self.subject, row)
            elif row.is_error:
                assert "unknown" in row.output["error"] and times <= 1, (self.subject, row)
            else:
                assert times == 1, (self.subject, row)
        assert sum(row.is_error for row in rows) <= deaths * len(ONCE_ONLY), self.subject

    def _check_money(self, session: Session, turn: Turn, deaths: int) -> list[UsageEvent]:
        events = session.exec(select(UsageEvent).where(UsageEvent.turn_id == turn.id)).all()
        whole = [event for event in events if event.status == "ok"]
        assert [event.cost_nanos for event in whole] == [CALL_NANOS] * ROUNDS, self.subject
        lost = [event for event in events if event.status != "ok"]
        assert {event.error_code for event in lost} <= {"process_died"}, self.subject
        paid = {event.id: event.cost_nanos for event in lost}
        assert paid == _delivered(session, turn, {event.id for event in whole}), self.subject
        cost = sum(event.cost_nanos for event in events)
        assert turn.cost_nanos == cost, self.subject
        assert self.heard.events[-1]["cost_micros"] == micros(cost), self.subject
        asked = self.provider.asked_by[self.subject]
        assert ROUNDS + len(lost) <= asked <= ROUNDS + deaths, (self.subject, asked, lost)
        return lost


def _delivered(session: Session, turn: Turn, finished: set[str]) -> dict[str, int]:
    """What is to be paid for the steps that were begun, logged and not finished, by request id: the input as
    the provider counted it, and a token for each four letters that a subscriber could see (or what the
    provider counted, if it had)."""
    chunks = session.exec(
        select(TurnEventChunk).where(TurnEventChunk.turn_id == turn.id).order_by(col(TurnEventChunk.first_id))
    ).all()
    tokens: dict[str, float] = {}
    iteration: dict[int, int] = {}
    name = ""
    for chunk in chunks:
        attempt = (chunk.first_id - 1) // IDS_PER_ATTEMPT + 1
        for frame in filter(None, chunk.frames.split("\n\n")):
            event = json.loads(frame.partition("\ndata: ")[2])
            if event["type"].endswith(".iteration_start"):
                iteration[attempt] = event["iteration"]
            elif event["type"] == "message_start":
                name = f"{turn.id}:{iteration.get(attempt, 1)}"
                name = name if attempt == 1 else f"{name}:{attempt}"
                tokens[name] = 0
            elif event["type"] == "content_block_delta":
                delta = event["delta"]
                tokens[name] += len(delta.get("text", "") + delta.get("partial_json", "")) / 4
            elif event["type"] == "message_delta":
                tokens[name] = event["usage"]["output_tokens"]
    return {
        name: INPUT_TOKENS * 1_000 + max(1, math.ceil(count)) * 5_000
        for name, count in tokens.items()
        if name not in finished
    }
