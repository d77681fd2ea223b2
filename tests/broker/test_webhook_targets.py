"""Webhook tools in memory: as they are now in the process that changes them, elsewhere within seconds."""

import pytest
from sqlmodel import Session

from broker.registry import ToolRegistry
from broker.webhook_targets import WebhookTargets
from kit.brief_cache import MAX_AGE_MS
from kit.clock import ManualClock
from kit.errors import NotFound
from tests.broker.rig import ACME, Rig
from vault.models import Secret
from vault.store import SecretTampered

URL = "https://example.com/hook"
MOVED = "https://example.com/moved"
MAX_AGE_S = MAX_AGE_MS / 1000


async def registered(rig: Rig) -> tuple[str, str]:
    """A tool's id and its secret."""
    secret = await rig.webhook("weather", URL)
    [tool] = await rig.broker.registry.all(ACME)
    return tool.id, secret


async def test_a_change_holds_for_the_next_call(stored: Rig) -> None:
    tool, first = await registered(stored)
    targets, registry = stored.broker.webhook_targets, stored.broker.registry
    assert (await targets.recent(ACME, tool)).secrets == (first,)
    await registry.edit(ACME, tool, {"webhook_url": MOVED})
    assert (await targets.recent(ACME, tool)).url == MOVED
    second, _ = await registry.rotate_secret(ACME, tool, overlap_s=0)
    assert (await targets.recent(ACME, tool)).secrets == (second,)
    await registry.delete(ACME, tool)
    with pytest.raises(NotFound, match="deleted meanwhile"):
        await targets.recent(ACME, tool)


async def test_other_processes_go_on_for_seconds_but_never_believe_a_replaced_secret(
    stored: Rig, clock: ManualClock
) -> None:
    tool, first = await registered(stored)
    registry = stored.broker.registry
    other_registry = ToolRegistry(stored.db, stored.vault, clock, frozenset())
    elsewhere = WebhookTargets(stored.db, stored.vault, clock, other_registry)
    await elsewhere.recent(ACME, tool)
    second, _ = await registry.rotate_secret(ACME, tool, overlap_s=0)
    clock.advance(seconds=MAX_AGE_S - 0.001)
    assert (await elsewhere.recent(ACME, tool)).secrets == (first,)
    assert (await elsewhere.current(ACME, tool)).secrets == (second,)
    clock.advance(seconds=0.001)
    assert (await elsewhere.recent(ACME, tool)).secrets == (second,)


async def test_the_end_of_an_overlap_ends_what_is_kept(stored: Rig, clock: ManualClock) -> None:
    tool, first = await registered(stored)
    targets = stored.broker.webhook_targets
    second, _ = await stored.broker.registry.rotate_secret(ACME, tool, overlap_s=2)
    assert (await targets.recent(ACME, tool)).secrets == (second, first)
    clock.advance(seconds=2)
    assert (await targets.recent(ACME, tool)).secrets == (second,)


async def test_nobody_gets_another_accounts_tool_out_of_memory(stored: Rig) -> None:
    tool, _ = await registered(stored)
    await stored.broker.webhook_targets.recent(ACME, tool)
    with pytest.raises(NotFound):
        await stored.broker.webhook_targets.recent("acc_other", tool)


async def test_what_cannot_be_opened_is_not_kept(stored: Rig) -> None:
    tool, secret = await registered(stored)
    targets = stored.broker.webhook_targets
    row = (await stored.broker.registry.get(ACME, tool)).secret_id
    sealed = await _swap(stored, row, b"x" * 60)
    with pytest.raises(SecretTampered):
        await targets.recent(ACME, tool)
    await _swap(stored, row, sealed)
    assert (await targets.recent(ACME, tool)).secret == secret


async def _swap(rig: Rig, secret_id: str | None, sealed: bytes) -> bytes:
    """Put other bytes in a sealed secret's place; returns those that were there."""

    def write(session: Session) -> bytes:
        row = session.get_one(Secret, secret_id)
        before, row.sealed = row.sealed, sealed
        session.add(row)
        return bytes(before)

    return await rig.db.write(write)
