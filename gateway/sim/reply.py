"""What the simulated model answers: a pure function of the conversation and its directives.

A token is up to six characters with the space before them; it is also one event of a stream. So
``max_tokens``, the usage numbers and the number of events agree exactly.
"""

import re
from dataclasses import dataclass, field
from itertools import chain

import msgspec

from gateway.sim.conversation import Conversation, ToolOutput
from gateway.sim.directives import Directives, strip_directives
from gateway.sim.example_values import example_object, example_value
from gateway.sim.grammar import PlannedCall, matching_tools, parse_plan
from threads.context.untrusted import unmarked_text

CALL_TOKENS = 8
"""What a tool call counts besides its arguments."""
MAX_QUOTED = 4_000
"""Characters of one tool result, or of the question, that an answer quotes."""
WORDS = ("weft", "warp", "shed", "reed", "loom", "yarn", "pick", "heddle", "beam", "woof")

_TOKEN = re.compile(r"\s*\S{1,6}|\s+")


@dataclass(slots=True)
class Call:
    """A tool call: its arguments are JSON text in pieces, cut off if the token limit was reached."""

    tool: str
    arguments: list[str]


@dataclass(slots=True)
class Reply:
    """An assistant message in pieces, one token each."""

    thinking: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    cut_off: bool = False
    """The token limit was reached."""
    stopped_by: str | None = None
    """The stop sequence that ended the text."""
    output_tokens: int = 0


def answer(conversation: Conversation, directives: Directives) -> Reply:
    """The next assistant message of a conversation."""
    reply = Reply()
    if conversation.thinking:
        reply.thinking = tokens(f"The user wrote: {_short(strip_directives(conversation.question))}")
    reply.calls, problems = _next_calls(conversation)
    if reply.calls:
        said = ["Let me look that up." if conversation.rounds_done == 0 else "And now the next step."]
    else:
        said = [] if problems and not conversation.results else [_closing(conversation, directives)]
    text = _until_stop(" ".join([*said, *problems]), conversation.stop, reply)
    reply.text = tokens(text)
    if reply.stopped_by is not None:
        reply.calls = []
    _limit(reply, conversation.max_tokens)
    return reply


def tokens(text: str) -> list[str]:
    """The text in tokens; joined, they are the text again."""
    return _TOKEN.findall(text)


def _next_calls(conversation: Conversation) -> tuple[list[Call], list[str]]:
    """The calls of this step, and a sentence for each tool that was asked for and cannot be called."""
    choice = conversation.tool_choice
    offered = {} if choice == "none" else conversation.tools
    plan = parse_plan(strip_directives(conversation.question), offered)
    if not conversation.parallel_calls:
        plan = [[call] for call in chain.from_iterable(plan)]
    done = conversation.rounds_done
    calls: list[Call] = []
    problems: list[str] = []
    for wanted in plan[done] if done < len(plan) else []:
        found = matching_tools(wanted.name, offered)
        if len(found) == 1:
            calls.append(_call(conversation, found[0], wanted))
        elif found:
            problems.append(f"More than one tool is named {wanted.name}: {', '.join(sorted(found))}.")
        else:
            problems.append(f"I have no tool named {wanted.name}.")
    forced = choice.removeprefix("tool:") if choice.startswith("tool:") else None
    if forced is not None:
        calls = [call for call in calls if call.tool == forced] or [_call(conversation, forced)]
    elif choice == "any" and not calls and offered:
        calls = [_call(conversation, next(iter(offered)))]
    return calls, problems


def _call(conversation: Conversation, tool: str, wanted: PlannedCall | None = None) -> Call:
    if wanted is not None and wanted.arguments is not None:
        return Call(tool, tokens(wanted.arguments))
    made_up = example_object(conversation.tools.get(tool))
    return Call(tool, tokens(msgspec.json.encode(made_up).decode()))


def _closing(conversation: Conversation, directives: Directives) -> str:
    """The text of a step without calls."""
    if conversation.answer_schema is not None:
        return msgspec.json.encode(example_value(conversation.answer_schema)).decode()
    if directives.words is not None:
        return " ".join(WORDS[number % len(WORDS)] for number in range(directives.words))
    if conversation.results:
        return "Here is what I found.\n" + "\n".join(_quote(result) for result in conversation.results)
    question = _short(" ".join(strip_directives(conversation.question).split()))
    media = f" (with {conversation.media} attached)" if conversation.media else ""
    return f"You said: {question}{media}" if question or media else "Hello! What can I do for you?"


def _quote(result: ToolOutput) -> str:
    verb = "failed" if result.is_error else "says"
    return f"{result.tool} {verb}: {_short(unmarked_text(result.text))}"


def _short(text: str) -> str:
    return text if len(text) <= MAX_QUOTED else text[:MAX_QUOTED] + "…"


def _until_stop(text: str, stop: tuple[str, ...], reply: Reply) -> str:
    found = [(text.find(sequence), sequence) for sequence in stop if sequence in text]
    if not found:
        return text
    end, reply.stopped_by = min(found)
    return text[:end]


def _limit(reply: Reply, max_tokens: int) -> None:
    """Cut the reply at ``max_tokens`` and count it."""
    left = max_tokens
    for part in (reply.thinking, reply.text):
        if len(part) > left:
            del part[left:]
            reply.cut_off = True
        left -= len(part)
    kept: list[Call] = []
    for call in reply.calls:
        if reply.cut_off or left <= CALL_TOKENS:
            reply.cut_off = True
            break
        left -= CALL_TOKENS
        if len(call.arguments) > left:
            call.arguments = call.arguments[:left]
            reply.cut_off = True
        left -= len(call.arguments)
        kept.append(call)
    reply.calls = kept
    if reply.cut_off:
        reply.stopped_by = None
    reply.output_tokens = max(1, max_tokens - left)
