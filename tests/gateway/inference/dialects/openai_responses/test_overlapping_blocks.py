"""Blocks that come in any mixture: a client still sees one complete item after the other."""

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.inference.dialects.events import (
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    ChoiceFinished,
    CitationDelta,
    Event,
    Finished,
    SignatureDelta,
    Started,
    TextDelta,
)
from gateway.inference.dialects.neutral import (
    Block,
    Citation,
    HiddenThinking,
    Refusal,
    ServerBlock,
    Text,
    Thinking,
    ToolUse,
)
from tests.gateway.inference.dialects.openai_responses.exchange import (
    CODEC,
    NAME,
    decoded,
    encoded,
    frames,
    request,
    user,
)
from tests.gateway.inference.dialects.openai_responses.sdk import accumulated, check


def _search(index: int) -> dict[str, Any]:
    action = {"type": "search", "query": "q"}
    return {"type": "web_search_call", "id": f"ws_{index}", "status": "completed", "action": action}


ASKED = CODEC.decode_request(request(user(), tools=[{"type": "custom", "name": "sh"}]))
EMPTY: list[Callable[[int], Block]] = [
    lambda _: Text(text=""),
    lambda _: Refusal(text=""),
    lambda _: Thinking(text="", origin="anthropic"),
    lambda _: HiddenThinking(data="", origin="anthropic"),
    lambda index: ToolUse(id=f"t{index}", name="f", arguments=""),
    lambda index: ToolUse(id=f"t{index}", name="sh", arguments=""),
    lambda index: ServerBlock(dialect=NAME, data=_search(index)),
    lambda _: ServerBlock(dialect="google", data={}),
]
PIECES = st.sampled_from(["a", "\n\n", "ü", '{"input":"x"}', " "])


def _delta(block: Block, index: int, piece: str) -> Event:
    if isinstance(block, ToolUse):
        return ArgumentsDelta(index=index, text=piece)
    if isinstance(block, HiddenThinking):
        return SignatureDelta(index=index, signature=piece)
    if piece == "ü" and isinstance(block, Text):
        return CitationDelta(index=index, citation=Citation(dialect="google", data={}, url="u"))
    return TextDelta(index=index, text=piece)


@st.composite
def mixtures(draw: st.DrawFn) -> list[Event]:
    events: list[Event] = [Started(id="m", model="c")]
    open_blocks: dict[int, Block] = {}
    count = 0
    for _ in range(draw(st.integers(0, 25))):
        step = draw(st.sampled_from(["start", "delta", "delta", "stop"]))
        if step == "start" or not open_blocks:
            block = draw(st.sampled_from(EMPTY))(count)
            events.append(BlockStarted(index=count, block=block))
            open_blocks[count] = block
            count += 1
            continue
        index = draw(st.sampled_from(sorted(open_blocks)))
        if step == "stop":
            events.append(BlockStopped(index=index))
            del open_blocks[index]
        else:
            events.append(_delta(open_blocks[index], index, draw(PIECES)))
    if draw(st.booleans()):
        events += [BlockStopped(index=index) for index in open_blocks]
    return [*events, ChoiceFinished(stop="end_turn"), Finished()]


@settings(max_examples=100, deadline=None)
@given(mixtures())
def test_any_mixture_is_one_item_after_the_other(events: list[Event]) -> None:
    raw = encoded(events, ASKED)
    written = frames(raw)
    items = check(written)
    accumulated(raw)
    open_items = 0
    for frame in written:
        open_items += frame["type"] == "response.output_item.added"
        open_items -= frame["type"] == "response.output_item.done"
        assert open_items in (0, 1)
    started = [event.block for event in events if isinstance(event, BlockStarted)]
    calls = [block.id for block in started if isinstance(block, ToolUse)]
    assert [item["call_id"] for item in items if "call_id" in item] == calls
    again = decoded(raw)
    assert decoded(encoded(again, ASKED)) == again
