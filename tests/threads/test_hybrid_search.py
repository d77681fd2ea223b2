"""Search by meaning on both databases: what is found and by whom, and how the vectors come and go."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import product
from typing import Any

import pytest
from sqlalchemy import event, text

from kit.caller import Caller
from kit.clock import ManualClock
from kit.db import Database
from kit.errors import NotFound, PaymentRequired, PermissionDenied
from tests.threads.library import OWNER, Library
from tests.threads.meanings import Meanings
from tests.threads.test_store_plans import plan_of
from threads.embedder import FAILED_PAUSES_MS, UNPAID_PAUSE_MS, Embedder
from threads.embedding_backlog import CLAIM_MS, TEXTS_AT_ONCE, claim
from threads.embedding_model import EmbeddingPayer
from threads.models import Thread
from threads.search import RANK_CONSTANT, Search, fuse
from threads.vector_schema import switch_off, switch_on


class Hybrid(Library):
    """A library with a model of meanings."""

    def __init__(self, db: Database, clock: ManualClock) -> None:
        super().__init__(db, clock)
        self.use(Meanings(db))

    def use(self, model: Meanings) -> None:
        self.model = model
        self.search = Search(self.db, model)
        self.embedder = Embedder(self.db, self.clock, model)

    async def thread(self, *contents: Any, **header: Any) -> Thread:
        thread = await super().thread(*contents, **header)
        await self.embedder.fill()
        return thread

    async def count(self, table: str) -> int:
        async with self.db.session() as session:
            found = await (await session.connection()).execute(text(f"SELECT count(*) FROM {table}"))
        return int(found.scalar_one())

    async def mode(self, query: str) -> str:
        return (await self.search.find(OWNER, query, end_user_id=None, thread_id=None, limit=10)).mode

    @property
    def embedded(self) -> list[str]:
        return [one for _, purpose, texts in self.model.asked if purpose == "search_index" for one in texts]


@asynccontextmanager
async def opened(url: str, clock: ManualClock) -> AsyncIterator[Hybrid]:
    db = Database(url, vector_functions=True)
    library = Hybrid(db, clock)
    await switch_on(db, library.model.space)
    yield library
    await db.close()


@pytest.fixture
async def hybrid(database_url: str, clock: ManualClock) -> AsyncIterator[Hybrid]:
    """On each of the two engines."""
    async with opened(database_url, clock) as library:
        yield library


@pytest.fixture
async def sqlite_hybrid(sqlite_url: str, clock: ManualClock) -> AsyncIterator[Hybrid]:
    """On SQLite, for what does not depend on the engine."""
    async with opened(sqlite_url, clock) as library:
        yield library


async def test_a_message_without_a_common_word_is_found_by_its_meaning(hybrid: Hybrid) -> None:
    thread = await hybrid.thread(
        "My <automobile> broke down", "See a physician", "the car, the car", "Nothing of that kind"
    )
    hits = await hybrid.find("car")
    assert {hit.message.seq for hit in hits} == {1, 3}
    assert hits[0].message.seq == 3  # first of both lists
    assert hits[0].score == round(2 / (RANK_CONSTANT + 1), 6)
    assert hits[0].snippet == "the <mark>car</mark>, the <mark>car</mark>"
    assert hits[1].snippet == "My &lt;automobile&gt; broke down"
    assert await hybrid.found("vehicle", thread_id=thread.id) == {(thread.id, 1), (thread.id, 3)}
    assert await hybrid.found("doctor") == {(thread.id, 2)}
    assert await hybrid.mode("doctor") == "hybrid"
    assert await hybrid.find("?!") == []


def test_what_both_lists_have_comes_before_what_one_has_first() -> None:
    fused = fuse([1, 2, 3], [4, 3, 2])
    assert sorted(fused, key=lambda one: -fused[one])[:2] == [2, 3]
    assert fused[1] == fused[4] == round(1 / 61, 6)


async def test_everybody_finds_by_meaning_exactly_what_they_may_see(hybrid: Hybrid) -> None:
    """Every caller, end user and thread, enumerated: each has one message with the same meaning."""
    threads = {}
    for account, user in product(("acct_1", "acct_2"), ("ann", "bob", None)):
        writer = Caller(account, f"key_{account}", "standard")
        threads[account, user] = (
            await hybrid.thread("the songbird sings", caller=writer, end_user_id=user)
        ).id
    deleted = await hybrid.thread("the songbird sings", end_user_id="ann")
    await hybrid.store.delete(OWNER, deleted.id)

    for account, bound, asked in product(
        ("acct_1", "acct_2", "acct_3"), ("ann", "eve", None), ("ann", "bob", None)
    ):
        caller = Caller(account, "key", "standard", bound)
        if bound is not None and asked not in {None, bound}:
            with pytest.raises(PermissionDenied):
                await hybrid.find("canary", caller, end_user_id=asked)
            continue
        wanted = bound or asked
        mine = {
            thread_id for (owner, user), thread_id in threads.items()
            if owner == account and wanted in {None, user}
        }  # fmt: skip
        assert await hybrid.found("canary", caller, end_user_id=asked) == {(one, 1) for one in mine}
        for (owner, user), thread_id in [*threads.items(), (("acct_1", "ann"), deleted.id)]:
            may_see = thread_id != deleted.id and owner == account and bound in {None, user}
            if may_see:
                found = await hybrid.found("canary", caller, thread_id=thread_id, end_user_id=asked)
                assert found == ({(thread_id, 1)} if wanted in {None, user} else set())
            else:
                with pytest.raises(NotFound):
                    await hybrid.find("canary", caller, thread_id=thread_id)
    payers = {payer for payer, purpose, _ in hybrid.model.asked if purpose == "search_index"}
    writers = {EmbeddingPayer(account, f"key_{account}", user or "") for account, user in threads}
    assert payers == writers | {EmbeddingPayer(OWNER.account_id, OWNER.key_id, "ann")}


async def test_many_deleted_messages_do_not_crowd_out_the_others(hybrid: Hybrid) -> None:
    kept = await hybrid.thread("an automobile and other things of no meaning")
    deleted = await hybrid.thread(*(["automobile"] * 150))
    await hybrid.store.delete(OWNER, deleted.id)
    assert await hybrid.found("car") == {(kept.id, 1)}


async def test_forks_and_imports_have_vectors_and_a_purge_leaves_none(hybrid: Hybrid) -> None:
    thread = await hybrid.thread("an automobile", "a physician")
    fork = await hybrid.forks.fork(OWNER, thread.id, at_seq=1)
    await hybrid.filler.fill()
    await hybrid.embedder.fill()
    assert await hybrid.found("car") == {(thread.id, 1), (fork.id, 1)}
    await hybrid.store.delete(OWNER, thread.id)
    assert await hybrid.found("car") == {(fork.id, 1)}
    hybrid.clock.advance(seconds=3600)
    await hybrid.purger.purge()
    assert await hybrid.count("message_vector") == 1
    if hybrid.db.dialect == "sqlite":
        assert await hybrid.count("message_vector_sketch") == 1
    assert await hybrid.count("embedding_backlog") == 0


async def test_processes_that_embed_together_pay_once_for_each_message(hybrid: Hybrid) -> None:
    texts = [f"word{number}" for number in range(3 * TEXTS_AT_ONCE)]
    await Library.thread(hybrid, *texts)
    others = [Embedder(hybrid.db, hybrid.clock, hybrid.model) for _ in range(3)]
    await asyncio.gather(*(one.fill() for one in others))
    assert sorted(hybrid.embedded) == sorted(texts)
    assert await hybrid.count("message_vector") == len(texts)


async def test_what_a_dead_process_had_claimed_is_embedded_later(sqlite_hybrid: Hybrid) -> None:
    hybrid = sqlite_hybrid
    await Library.thread(hybrid, "automobile")
    payer, now = EmbeddingPayer(OWNER.account_id, OWNER.key_id, ""), hybrid.clock.now_ms()
    space = hybrid.model.space
    await hybrid.db.write(lambda session: claim(session, payer, space, now, count=5))
    await hybrid.embedder.fill()
    assert hybrid.embedded == []
    hybrid.clock.advance(seconds=CLAIM_MS / 1000)
    await hybrid.embedder.fill()
    assert hybrid.embedded == ["automobile"]


async def test_without_money_nothing_is_lost_and_nobody_else_waits(sqlite_hybrid: Hybrid) -> None:
    hybrid = sqlite_hybrid
    rich = Caller("acct_2", "key_2", "standard")
    await hybrid.thread("automobile")
    hybrid.model.refusal = PaymentRequired("no money")
    mine = await hybrid.thread("vehicle")
    assert await hybrid.found("car") == set() and await hybrid.mode("vehicle") == "lexical"
    assert await hybrid.found("vehicle") == {(mine.id, 1)}

    hybrid.model.refusal = None
    theirs = await hybrid.thread("automobile", caller=rich)
    assert await hybrid.found("car", rich) == {(theirs.id, 1)}
    assert "vehicle" not in hybrid.embedded  # it is not tried again at once
    hybrid.embedder.money_came("acct_2")
    await hybrid.embedder.fill()
    assert "vehicle" not in hybrid.embedded
    hybrid.embedder.money_came(OWNER.account_id)
    await hybrid.embedder.fill()
    assert (mine.id, 1) in await hybrid.found("car")

    hybrid.model.refusal = PaymentRequired("the cap is reached", code="key_cap_reached")
    await hybrid.thread("physician")
    hybrid.model.refusal = None
    hybrid.clock.advance(seconds=UNPAID_PAUSE_MS / 1000)
    await hybrid.embedder.fill()
    assert len(await hybrid.found("doctor")) == 1


async def test_a_provider_that_fails_is_asked_again_after_a_while(sqlite_hybrid: Hybrid) -> None:
    hybrid = sqlite_hybrid
    hybrid.model.refusal = NotFound("the model is gone")
    thread = await hybrid.thread("automobile")
    hybrid.model.refusal = None
    await hybrid.embedder.fill()
    assert hybrid.embedded == []
    hybrid.clock.advance(seconds=FAILED_PAUSES_MS[0] / 1000)
    await hybrid.embedder.fill()
    assert await hybrid.found("car") == {(thread.id, 1)}


async def test_a_text_that_its_provider_refuses_stops_no_other(sqlite_hybrid: Hybrid) -> None:
    hybrid = sqlite_hybrid
    hybrid.model.poison = "poison"
    thread = await hybrid.thread("automobile", "poison", "vehicle", "... ---", "canary")
    assert await hybrid.found("car") == {(thread.id, 1), (thread.id, 3)}
    assert await hybrid.found("songbird") == {(thread.id, 5)}
    assert await hybrid.found("poison") == {(thread.id, 2)}
    assert await hybrid.count("embedding_backlog") == 0


async def test_another_model_makes_all_anew_and_the_two_are_never_compared(hybrid: Hybrid) -> None:
    thread = await hybrid.thread(*(["automobile"] * 3))
    old = hybrid.embedder
    hybrid.use(Meanings(hybrid.db, "test/others", 24))
    await switch_on(hybrid.db, "test/others")
    assert await hybrid.mode("car") == "lexical"
    await old.fill()  # a process that has the old setting makes no more of its vectors
    assert await hybrid.count("message_vector WHERE space = 'test/others'") == 0
    await hybrid.embedder.fill()
    assert await hybrid.count("message_vector WHERE space = 'test/others'") == 3
    assert await hybrid.found("car") == {(thread.id, seq) for seq in (1, 2, 3)}
    assert len(hybrid.embedded) == 3

    hybrid.model.dimensions = 32  # the same name, but another model behind it
    newer = await hybrid.thread("vehicle")
    assert await hybrid.found("car") == {(thread.id, seq) for seq in (1, 2, 3)} | {(newer.id, 1)}
    assert await hybrid.count("message_vector WHERE dimensions = 32") == 4
    if hybrid.db.dialect == "sqlite":
        assert await hybrid.count("message_vector_sketch") == 4


async def test_what_was_there_before_and_what_came_while_it_was_off_is_embedded(hybrid: Hybrid) -> None:
    first = await hybrid.thread("automobile")
    await switch_off(hybrid.db)
    await switch_off(hybrid.db)
    second = await Library.thread(hybrid, "vehicle")
    assert await hybrid.count("embedding_backlog") == 0
    for _ in range(2):
        await asyncio.gather(*(switch_on(hybrid.db, hybrid.model.space) for _ in range(2)))
        await hybrid.embedder.fill()
    assert await hybrid.found("car") == {(first.id, 1), (second.id, 1)}
    assert sorted(hybrid.embedded) == ["automobile", "vehicle"]


async def test_a_long_message_is_embedded_by_its_beginning(sqlite_hybrid: Hybrid) -> None:
    hybrid = sqlite_hybrid
    await hybrid.thread("automobile " + "x" * 9_000 + " physician")
    assert [len(one) for one in hybrid.embedded] == [4_000]


@pytest.mark.parametrize(
    ("where", "index"),
    [
        ({}, "message_vector_by_account"),
        ({"end_user_id": "ann"}, "message_vector_by_end_user"),
        ({"thread_id": "its"}, "message_vector_by_thread"),
    ],
)
async def test_a_narrow_search_compares_only_its_own_vectors(
    sqlite_hybrid: Hybrid, where: dict[str, str], index: str
) -> None:
    db = sqlite_hybrid.db
    thread = await sqlite_hybrid.thread("automobile", end_user_id="ann")
    seen: list[tuple[str, Any]] = []

    def note(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        if "message_vector" in statement:
            seen.append((statement, parameters))

    event.listen(db._read_engine.sync_engine, "before_cursor_execute", note)
    asked: dict[str, Any] = {**where, "thread_id": thread.id} if "thread_id" in where else {**where}
    assert await sqlite_hybrid.found("car", **asked)
    plans = [await plan_of(db, *one) for one in list(seen)]
    assert len(plans) == 2
    assert index in plans[0]
    assert (index if where else "SEARCH v USING PRIMARY KEY") in plans[1]
