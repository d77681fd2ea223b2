"""Forks, exports and imports: what goes along, what does not, and what is refused."""

import json
from typing import Any

import pytest
from sqlalchemy import func
from sqlmodel import select

from kit.caller import Caller
from kit.errors import InvalidRequest, NotFound, PermissionDenied
from tests.threads.library import OWNER, Library, jsonl
from threads.context.repair import as_blocks, build_context
from threads.fork import MESSAGES_AT_ONCE as FORKED_AT_ONCE
from threads.models import Message
from threads.transfer import MESSAGES_AT_ONCE, Lines

CALL = [{"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": ["ü", 1.5, None, True]}}]
ANSWER = [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "snow", "is_error": False}]


def values(message: Message) -> dict[str, Any]:
    """All that a copy of a message has in common with it."""
    return message.model_dump(exclude={"id", "thread_id", "turn_id", "request_id"})


async def test_a_fork_has_the_history_up_to_there_and_a_life_of_its_own(library: Library) -> None:
    source = await library.thread(
        "one", CALL, ANSWER, "four", end_user_id="ann", metadata={"a": 1}, title="T"
    )
    fork = await library.forks.fork(OWNER, source.id, at_seq=3)
    assert (fork.last_seq, fork.end_user_id, fork.meta, fork.title) == (3, "ann", {"a": 1}, "T")
    assert (fork.forked_from, fork.forked_at_seq) == (source.id, 3)
    copies, originals = await library.messages(fork), await library.messages(source)
    assert [values(message) for message in copies] == [values(message) for message in originals[:3]]
    assert not {message.id for message in copies} & {message.id for message in originals}

    await library.filler.fill()
    assert await library.found("snow") == {(source.id, 3), (fork.id, 3)}
    assert await library.found("snow", thread_id=fork.id) == {(fork.id, 3)}
    await library.store.delete(OWNER, source.id)
    library.clock.advance(seconds=2 * 3600)
    assert await library.purger.purge() == 1
    assert len(await library.messages(fork)) == 3
    assert await library.found("snow") == {(fork.id, 3)}


async def test_a_fork_between_a_call_and_its_result_is_mended_when_a_model_reads_it(library: Library) -> None:
    source = await library.thread("one", CALL, ANSWER, "four")
    fork = await library.forks.fork(OWNER, source.id, at_seq=2)
    context = build_context(
        [(message.role, as_blocks(message.content)) for message in await library.messages(fork)]
    )
    assert [message["role"] for message in context] == ["user", "assistant", "user"]
    assert (context[-1]["content"][0]["tool_use_id"], context[-1]["content"][0]["is_error"]) == (
        "toolu_1",
        True,
    )


async def test_forks_that_are_refused(library: Library) -> None:
    source = await library.thread("one", "two", end_user_id="ann")
    whole = await library.forks.fork(OWNER, source.id, at_seq=None)
    assert whole.last_seq == 2
    with pytest.raises(InvalidRequest, match="at most 2"):
        await library.forks.fork(OWNER, source.id, at_seq=3)
    for stranger in (Caller("acct_2", "k", "admin"), Caller("acct_1", "k", "standard", "bob")):
        with pytest.raises(NotFound):
            await library.forks.fork(stranger, source.id, at_seq=1)
        with pytest.raises(NotFound):
            await library.transfer.export(stranger, source.id)


async def test_an_export_imports_into_the_same_thread(library: Library) -> None:
    usage = {"input_tokens": 7, "output_tokens": 2**40}
    contents = ["grüße 你好 \u2028 🧵", CALL, ANSWER, "", *("x" for _ in range(2 * MESSAGES_AT_ONCE))]
    lines = [json.loads(line) for line in jsonl(*contents, metadata={"k": [1]}, title="T").split(b"\n")]
    lines[2] |= {
        "usage": usage,
        "stop_reason": "tool_use",
        "model": "m",
        "cost_nanos": 1_234_567_891,
        "created_at": 5,
    }
    body = "\r\n\n".join(json.dumps(line) for line in lines).encode()
    first = await library.transfer.import_thread(OWNER, Lines(body))
    exported = await library.exported(first)
    second = await library.transfer.import_thread(OWNER, Lines(exported))
    assert [values(m) for m in await library.messages(first)] == [
        values(m) for m in await library.messages(second)
    ]
    copy = (await library.messages(second))[1]
    assert (copy.usage, copy.cost_nanos, copy.content, copy.created_at) == (usage, 1_234_567_891, CALL, 5)
    again = [json.loads(line) for line in (await library.exported(second)).splitlines()]
    for line in (header := again[0], original := json.loads(exported.split(b"\n")[0])):
        line.pop("id")
    assert header == original
    assert header["messages"] == len(contents)


async def test_what_was_imported_answers_for_no_turn_of_anybody(library: Library) -> None:
    line = {"object": "message", "seq": 1, "role": "assistant", "content": "x", "turn_id": "turn_of_others"}
    body = jsonl() + b"\n" + json.dumps({**line, "request_id": "turn_of_others:1", "id": "msg_1"}).encode()
    thread = await library.transfer.import_thread(OWNER, Lines(body))
    (message,) = await library.messages(thread)
    assert (message.turn_id, message.request_id) == (None, None)
    assert message.id != "msg_1"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "body is empty"),
        (b"\n \n", "body is empty"),
        (b"{", "line 1: not valid JSON"),
        (b"[1]", "line 1: expected a JSON object"),
        (b'{"object":"list"}', "line 1: object"),
        (b'{"object":"thread","messages":3}', "announces 3 messages, but 0 follow"),
        (b'{"object":"thread","metadata":{"a":"\\u0000"}}', "line 1: metadata.a"),
        (jsonl("a", "b") + b"\n\n\n{", "line 6: not valid JSON"),
        (jsonl("a", "b").replace(b'"seq": 2', b'"seq": 3'), "line 3: seq: expected 2, got 3"),
        (jsonl("a").replace(b'"seq": 1', b'"seq": "1"'), "line 2: seq"),
        (jsonl("a").replace(b'"user"', b'"system"'), "line 2: role"),
        (jsonl(7), "line 2: content"),
        (jsonl([{"text": "x"}]), "line 2: content.0.type: expected a text"),
        (jsonl([{"type": "tool_use", "id": "t"}]), "line 2: content.0.name"),
        (jsonl("\ud800"), "line 2: "),
        (jsonl("a").replace(b'"a"', b"[" * 5000), "line 2: not valid JSON"),
        (jsonl("a").replace(b'"a"', b'"\xff"'), "line 2: not valid JSON"),
    ],
)
def test_an_import_names_the_line_that_is_wrong(body: bytes, problem: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Lines(body)
    assert problem in refused.value.message


async def test_a_bound_key_imports_for_its_end_user_only(sqlite_library: Library) -> None:
    bound = Caller("acct_1", "k", "standard", "bob")
    with pytest.raises(PermissionDenied):
        await sqlite_library.transfer.import_thread(bound, Lines(jsonl("a", end_user_id="ann")))
    thread = await sqlite_library.transfer.import_thread(bound, Lines(jsonl("a")))
    assert thread.end_user_id == "bob"


async def test_nobody_sees_a_copy_before_it_is_whole_and_a_cut_off_one_is_purged(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = await library.thread(*(f"word {number}" for number in range(2 * FORKED_AT_ONCE)))
    write, writes = library.db.write, 0

    async def dies(job: Any) -> Any:
        nonlocal writes
        writes += 1
        if writes == 3:
            raise RuntimeError("the process died")
        listed = await library.store.page(OWNER, end_user_id=None, metadata={}, limit=10, before=None)
        assert [thread.id for thread in listed] == [source.id]
        return await write(job)

    monkeypatch.setattr(library.db, "write", dies)
    with pytest.raises(RuntimeError):
        await library.forks.fork(OWNER, source.id, at_seq=None)
    monkeypatch.undo()
    assert await library.store.delete_empty(OWNER) == 0
    assert await library.purger.purge() == 0
    library.clock.advance(seconds=3 * 3600)
    assert await library.purger.purge() == 1
    async with library.db.session() as session:
        assert (await session.exec(select(func.count()).select_from(Message))).one() == 2 * FORKED_AT_ONCE
