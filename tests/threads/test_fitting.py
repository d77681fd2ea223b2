"""A long history is cut between exchanges, seldom, and never within what is going on now."""

from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from threads.context.fitting import (
    CLIPPED,
    OMITTED,
    ContextTooLarge,
    Cut,
    How,
    begins_exchange,
    fit,
    shown,
)
from threads.context.repair import as_blocks
from threads.models import Message


def tokens(message: Message, how: How) -> int:
    """A token for each character of texts and results."""
    return sum(
        len(block.get("text") or block.get("content") or "")
        for block in shown(as_blocks(message.content), how)
    )


def exchange(seqs: Any, said: int, results: list[int]) -> list[Message]:
    """A user's message, a call and its result for each of ``results``, an answer; lengths in characters."""
    messages = [_message(next(seqs), "user", "u" * said)]
    for number, length in enumerate(results):
        call = {"type": "tool_use", "id": f"c{number}", "name": "f", "input": {}}
        answer = {"type": "tool_result", "tool_use_id": f"c{number}", "content": "r" * length}
        messages += [_message(next(seqs), "assistant", [call]), _message(next(seqs), "user", [answer])]
    return messages


def _message(seq: int, role: str, content: Any) -> Message:
    return Message(
        id=str(seq), account_id="a", thread_id="t", seq=seq, role=role, content=content, created_at=0
    )


def _answer(seqs: Any) -> Message:
    return _message(next(seqs), "assistant", "a" * 20)


def total(history: list[Message], cut: Cut) -> int:
    return sum(tokens(one, cut.how(one)) for one in history if one.seq >= cut.start_seq)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 400), st.lists(st.integers(0, 700), max_size=4)), min_size=1),
    st.integers(800, 3_000),
    st.floats(0, 1),
)
def test_whatever_grows_fits_or_is_refused_with_numbers(
    turns: list[tuple[int, list[int]]], room: int, ratio: float
) -> None:
    seqs, history, cut = count(1), list[Message](), Cut()
    for said, results in turns:
        newest = exchange(seqs, said, results)
        for end in range(1, len(newest) + 1, 2):  # each step of the turn
            so_far = [*history, *newest[:end]]
            before, cut = cut, fit(so_far, tokens, room, ratio, cut)
            assert total(so_far, cut) <= room
            assert cut is before or total(so_far, before) > room  # it stays while it can
            first = next(one for one in so_far if one.seq >= cut.start_seq)
            assert begins_exchange(first) and first.seq <= newest[0].seq
            assert Cut.of(cut.as_json()).how(first) == cut.how(first)
        history += [*newest, _answer(seqs)]


def test_a_cut_stays_for_many_turns() -> None:
    """With room for 25 turns, each move wins room for eight."""
    seqs, history, cut, moves = count(1), list[Message](), Cut(), 0
    for _ in range(100):
        history += exchange(seqs, 100, [])
        before, cut = cut, fit(history, tokens, 3_000, 0.7, cut)
        moves += cut is not before
        history.append(_answer(seqs))
    assert moves == 9


def test_old_results_of_a_long_turn_give_way_to_new_ones() -> None:
    seqs = count(1)
    history = [*exchange(seqs, 100, []), _answer(seqs), *exchange(seqs, 100, [500, 500, 500])]
    cut = fit(history, tokens, 1_000, 0.9, Cut())
    assert (cut.start_seq, cut.omitted_seq, cut.clipped) == (3, 7, {})
    sent = [shown(as_blocks(one.content), cut.how(one))[0].get("content") for one in history[2:]]
    assert [one for one in sent if one] == [OMITTED, OMITTED, "r" * 500]


def test_a_result_too_large_by_itself_is_shown_from_its_beginning() -> None:
    history = exchange(count(1), 100, [400, 50_000])
    cut = fit(history, tokens, 5_000, 0.7, Cut())
    seen = shown(as_blocks(history[-1].content), cut.how(history[-1]))[0]["content"]
    assert seen == "r" * 4_096 + CLIPPED
    assert total(history, cut) <= 5_000


def test_words_too_large_are_refused() -> None:
    with pytest.raises(ContextTooLarge) as refusal:
        fit(exchange(count(1), 1_200, []), tokens, 1_000, 0.7, Cut())
    assert refusal.value.details == {"input_tokens": 1_200, "room_tokens": 1_000}


def test_a_larger_model_is_shown_what_was_left_out_for_a_smaller_one() -> None:
    cut = Cut(start_seq=9, limit=1_000)
    assert cut.holds(1_000) and cut.holds(1_499) and cut.holds(10)
    assert not cut.holds(1_500)
