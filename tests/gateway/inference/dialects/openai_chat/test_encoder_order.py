"""Any order in which other dialects' events may come, judged by the SDK's accumulator."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.inference.dialects.events import (
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    ChoiceFinished,
    Event,
    Finished,
    SignatureDelta,
    Started,
    TextDelta,
)
from gateway.inference.dialects.neutral import (
    Block,
    HiddenThinking,
    Refusal,
    Text,
    Thinking,
    ToolUse,
)
from tests.gateway.inference.dialects.openai_chat import sdk
from tests.gateway.inference.dialects.openai_chat.cutting import encoded

KINDS = st.sampled_from(["text", "refusal", "thinking", "own", "signed", "hidden", "call"])


def _block(kind: str, index: int, choice: int) -> list[Event]:
    """A block's events; its text tells which one it is."""
    mark = f"<{choice}.{index}>"
    blocks: dict[str, Block] = {
        "text": Text(text=""),
        "refusal": Refusal(text=""),
        "thinking": Thinking(text="", origin="google"),
        "own": Thinking(text="", origin="openai-chat"),
        "signed": Thinking(text="", origin="anthropic"),
        "hidden": HiddenThinking(data="d", origin="anthropic"),
        "call": ToolUse(id=f"call{choice}_{index}", name="f", arguments=""),
    }
    events: list[Event] = [BlockStarted(index=index, block=blocks[kind], choice=choice)]
    if kind == "call":
        events += [
            ArgumentsDelta(index=index, text=piece, choice=choice) for piece in ("[", f'"{mark}"', "]")
        ]
    elif kind != "hidden":
        events += [TextDelta(index=index, text=piece, choice=choice) for piece in (mark[:2], mark[2:])]
    if kind == "signed":
        events.append(SignatureDelta(index=index, signature="s", choice=choice))
    return [*events, BlockStopped(index=index, choice=choice)]


@settings(max_examples=40, deadline=None)
@given(data=st.data(), choices=st.lists(st.lists(KINDS, max_size=5), min_size=1, max_size=3))
def test_overlapping_blocks_of_interleaved_choices(data: st.DataObject, choices: list[list[str]]) -> None:
    lanes = [
        _block(kind, at, choice) for choice, kinds in enumerate(choices) for at, kind in enumerate(kinds)
    ]
    started: dict[int, int] = dict.fromkeys(range(len(choices)), 0)
    events: list[Event] = [Started(id="r", model="m")]
    while lanes:
        ready = [
            lane
            for lane in lanes
            if not isinstance(lane[0], BlockStarted) or lane[0].index == started[lane[0].choice]
        ]
        lane = data.draw(st.sampled_from(ready))
        event = lane.pop(0)
        if isinstance(event, BlockStarted):
            started[event.choice] += 1
        events.append(event)
        lanes = [lane for lane in lanes if lane]
    events += [ChoiceFinished(stop="end_turn", choice=choice) for choice in range(len(choices))]
    answer = sdk.accumulates(encoded([*events, Finished()]))
    for choice, kinds in enumerate(choices):
        message = answer.choices[choice].message
        calls = [
            (call.id, call.function.arguments) for call in message.tool_calls or () if call.type == "function"
        ]
        assert calls == [
            (f"call{choice}_{at}", f'["<{choice}.{at}>"]') for at, kind in enumerate(kinds) if kind == "call"
        ]
        shown = [f"<{choice}.{at}>" for at, kind in enumerate(kinds) if kind == "text"]
        assert sorted(message.content or "") == sorted("".join(shown))
        details = (message.model_extra or {}).get("reasoning_details", ())
        told = [detail["text"] for detail in details if detail["type"] == "reasoning.text"]
        foreign = [at for at, kind in enumerate(kinds) if kind in {"thinking", "signed"}]
        assert sorted(told) == [f"<{choice}.{at}>" for at in foreign]
