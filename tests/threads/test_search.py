"""Search on both databases: what is found, by whom, and in which order."""

from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit.caller import Caller
from kit.errors import InvalidRequest, NotFound, PermissionDenied
from tests.threads.library import OWNER, Library
from threads.journal import Journal
from threads.search_terms import STRETCH
from threads.search_words import CANDIDATES
from threads.turn_request import parse_turn


async def test_messages_are_found_by_their_texts_and_their_tools_answers_only(library: Library) -> None:
    call = {"type": "tool_use", "id": "t1", "name": "look", "input": {"q": "inputword"}}
    answer = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "resultword"}]}
    plain = {"type": "tool_result", "tool_use_id": "t2", "content": "plainword"}
    thread = await library.thread(
        "Wie wird das Wetter in Zürich?",
        [{"type": "text", "text": "I look it up"}, {"type": "thinking", "thinking": "thoughtword"}, call],
        [answer, plain],
        "明天天气很好",
    )
    for query, seqs in {
        "zurich WETTER": {1},
        "wett": {1},
        "resultword": {3},
        "plainw": {3},
        "天气": {4},
        "inputword": set(),
        "thoughtword": set(),
        "zurich look": set(),
    }.items():
        assert await library.found(query) == {(thread.id, seq) for seq in seqs}, query
        assert await library.found(query, thread_id=thread.id) == {(thread.id, seq) for seq in seqs}, query


async def test_everybody_finds_exactly_what_they_may_see(library: Library) -> None:
    """Every caller, end user and thread, enumerated: each has one message with the same word."""
    threads = {}
    for account, user in product(("acct_1", "acct_2"), ("ann", "bob", None)):
        writer = Caller(account, f"key_{account}", "standard")
        threads[account, user] = (
            await library.thread("the canary sings", caller=writer, end_user_id=user)
        ).id
    deleted = await library.thread("the canary sings", end_user_id="ann")
    await library.store.delete(OWNER, deleted.id)

    for account, bound, asked in product(
        ("acct_1", "acct_2", "acct_3"), ("ann", "eve", None), ("ann", "bob", None)
    ):
        caller = Caller(account, "key", "standard", bound)
        if bound is not None and asked not in {None, bound}:
            with pytest.raises(PermissionDenied):
                await library.find("canary", caller, end_user_id=asked)
            continue
        wanted = bound or asked
        mine = {
            thread_id for (owner, user), thread_id in threads.items()
            if owner == account and wanted in {None, user}
        }  # fmt: skip
        assert await library.found("canary", caller, end_user_id=asked) == {(one, 1) for one in mine}
        for (owner, user), thread_id in [*threads.items(), (("acct_1", "ann"), deleted.id)]:
            may_see = thread_id != deleted.id and owner == account and bound in {None, user}
            if may_see:
                found = await library.found("canary", caller, thread_id=thread_id, end_user_id=asked)
                assert found == ({(thread_id, 1)} if wanted in {None, user} else set())
            else:
                with pytest.raises(NotFound):
                    await library.find("canary", caller, thread_id=thread_id)


async def test_a_turns_messages_are_found_at_once_and_a_message_that_was_taken_back_is_not(
    library: Library,
) -> None:
    thread = await library.thread()
    journal = Journal(library.db, library.clock, "one")
    turn = await journal.begin(OWNER, thread.id, parse_turn({"model": "sim", "content": "heddle pulley"}))
    assert await library.found("pulley") == {(thread.id, 1)}
    await journal.withdraw(turn, {"message": "no money"}, lambda _session: None)
    assert await library.found("pulley") == set()


async def test_messages_of_any_length_and_script_are_stored_and_found_by_their_beginning(
    library: Library,
) -> None:
    texts = [
        "start " + "".join(chr(0x20000 + number) for number in range(40_000)) + " end",
        "start " + "\ufdfa\u0132" * 25_000 + " end",
        "start " + " ".join(f"{chr(0x10330 + number % 20) * 3}{number}" for number in range(9_000)) + " end",
        "start " + "x" * 60_000 + " end",
    ]
    thread = await library.thread(*texts)
    assert await library.found("start") == {(thread.id, seq) for seq in (1, 2, 3, 4)}
    assert await library.found("start x") == set()
    assert (thread.id, 4) not in await library.found("end")


async def test_the_best_comes_first(library: Library) -> None:
    await library.thread(
        "apple " + "filler " * 300 + "pie",  # long, and the words apart
        "an apple and a pie",
        "pie, apple",
        "an apple pie",
        "nothing",
    )
    hits = await library.find("apple pie")
    assert [hit.message.seq for hit in hits] == [4, 3, 2, 1]
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True) and 0 < scores[-1] < scores[0] < 1
    assert hits[0].snippet == "an <mark>apple</mark> <mark>pie</mark>"
    assert [hit.message.seq for hit in await library.find("apple pie", limit=2)] == [4, 3]


async def test_of_very_many_matches_the_newest_are_ranked_and_a_rare_one_is_found_however_old(
    library: Library,
) -> None:
    thread = await library.thread("a needle", *(f"common {number}" for number in range(STRETCH + 100)))
    found = await library.found("common")
    assert len(found) == 100
    assert min(seq for _, seq in found) > STRETCH + 100 - CANDIDATES
    assert await library.found("needle") == {(thread.id, 1)}
    assert await library.found("common 7", limit=1) == {(thread.id, 9)}


async def test_queries_that_ask_for_nothing_or_too_much(sqlite_library: Library) -> None:
    for query in ("", "  ", "x" * 201, "a\0b"):
        with pytest.raises(InvalidRequest) as refused:
            await sqlite_library.find(query)
        assert refused.value.param == "q"
    assert await sqlite_library.find('"*-()!?') == []


ODD = [
    "AND",
    "OR NOT",
    '"',
    "'",
    "*",
    "-x",
    "NEAR(a b)",
    "terms:a",
    "\\",
    "a' & 'b",
    "!",
    "<->",
    ":*",
    "\ue000a",
    "%",
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=st.one_of(st.text(min_size=1), st.lists(st.sampled_from(ODD), min_size=1).map(" ".join)))
async def test_no_text_is_an_error_or_an_operator(library: Library, query: str) -> None:
    query = query[:200].replace("\0", "").encode("utf-8", "ignore").decode()
    if not query.strip():
        return
    for hit in await library.find(query):
        assert hit.message.account_id == OWNER.account_id
