"""A process that is paused in the middle of a turn: another one takes the turn over, and then it goes on."""

from pathlib import Path

import pytest
from sqlmodel import col, select, update

from gateway.billing.models import Hold, UsageEvent
from tests.crash.rig import until
from tests.serving import Served, heddle
from threads.models import Message, Turn, TurnEventChunk

STORY = "[sim: pace=100ms words=25] tell me a story"


async def test_what_both_delivered_is_paid_once(
    postgres_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "1").mkdir()
    async with heddle(postgres_url, tmp_path / "1") as paused:
        (tmp_path / "2").mkdir()
        keys = (tmp_path / "1" / "vault.key").read_text().strip()
        async with heddle(postgres_url, tmp_path / "2", vault_keys=keys) as other:
            client = await paused.client()
            thread_id = (await client.post("/v1/threads", json={})).json()["id"]
            body = {"model": "sim-small", "content": STORY, "background": True}
            started = await client.post(f"/v1/threads/{thread_id}/messages", json=body)
            turn_id = started.json()["id"]
            await until(lambda: logged(paused, turn_id))
            await paused.app.db.write(
                lambda session: session.exec(
                    update(Turn).where(col(Turn.id) == turn_id).values(lease_owner="nobody", lease_until=0)
                )
            )
            await until(lambda: ended(other, turn_id))
            await paused.app.engine.close()
        async with paused.app.db.session() as session:
            turn = (await session.exec(select(Turn))).one()
            events = {event.id: event for event in (await session.exec(select(UsageEvent))).all()}
            messages = (await session.exec(select(Message.role).order_by(col(Message.seq)))).all()
            assert (await session.exec(select(Hold))).all() == []
    lost, told = events[f"{turn_id}:1"], events[f"{turn_id}:1:2"]
    assert len(events) == 2
    assert (lost.error_code, lost.estimated) == ("process_died", True)
    assert 0 < lost.output_tokens < 2 * told.output_tokens  # an estimate, of all or a part
    assert (turn.status, turn.cost_nanos) == ("completed", lost.cost_nanos + told.cost_nanos)
    assert messages == ["user", "assistant"]
    assert f"turn {turn_id} was taken over by another process" in caplog.text
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def logged(served: Served, turn_id: str) -> bool:
    """Whether some of the story can be read from the log."""
    query = select(TurnEventChunk.frames).where(TurnEventChunk.turn_id == turn_id)
    async with served.app.db.session() as session:
        return "".join((await session.exec(query)).all()).count("text_delta") > 3


async def ended(served: Served, turn_id: str) -> bool:
    async with served.app.db.session() as session:
        turn = (await session.exec(select(Turn).where(Turn.id == turn_id))).one()
    return turn.status == "completed"
