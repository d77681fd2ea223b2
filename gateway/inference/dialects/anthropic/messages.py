"""``messages`` and ``system``, both ways, and the order of turns that the API insists on."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from gateway.inference.dialects.anthropic.decode_blocks import ABSENT, STRING, decode_content
from gateway.inference.dialects.anthropic.encode_blocks import (
    Encoding,
    as_content,
    encode_all,
    encode_block,
    unsupported,
)
from gateway.inference.dialects.anthropic.models import traits_of
from gateway.inference.dialects.anthropic.reading import DIALECT, Fields, own, wrong
from gateway.inference.dialects.carried import fitting_id
from gateway.inference.dialects.neutral import (
    Block,
    Message,
    Request,
    Text,
)

_TOOL_ID = "[a-zA-Z0-9_-]+"
_TOOL_ID_LENGTH = 200
_NO_RESULT = "There is no result of this call."


def decode_messages(body: Fields) -> list[Message]:
    """Raises InvalidRequest."""
    if not body.items("messages"):
        wrong("messages", "a list with at least one message")
    return [_message(entry, f"messages[{number}]") for number, entry in enumerate(body.items("messages"))]


def _message(raw: Any, path: str) -> Message:
    fields = Fields(raw, path)
    role = fields.raw("role")
    if role not in ("user", "assistant", "system"):
        wrong(fields.place("role"), "one of user, assistant, system")
    value = fields.raw("content")
    blocks: list[Block] = []
    form: str | None = ABSENT
    if value is not None or role != "system":
        blocks, form = decode_content(value, fields.place("content"), DIALECT)
    return Message(role=role, content=blocks, extra=fields.extra(_content=form))


def decode_system(body: Fields) -> tuple[list[Text], str | None]:
    """The instructions at the start and the note on their form. Raises InvalidRequest."""
    value = body.raw("system")
    if value is None:
        return [], None
    blocks, form = decode_content(value, "system", DIALECT)
    texts = [block for block in blocks if isinstance(block, Text)]
    for number, block in enumerate(blocks):
        if not isinstance(block, Text):
            wrong(f"system[{number}].type", '"text"')
    return texts, form


@dataclass
class Turn:
    """An encoded message; ``path`` is where it comes from."""

    role: str
    content: list[dict[str, Any]]
    path: str
    form: str | None = None
    rest: dict[str, Any] = field(default_factory=dict)
    follows: bool = False
    """Whether an empty content is what the caller sent (the API takes it of a last assistant message)."""

    def body(self) -> dict[str, Any]:
        if not self.content and self.form == ABSENT:
            return {**self.rest, "role": self.role}
        return {**self.rest, "role": self.role, "content": as_content(self.content, self.form)}

    def take_images(self) -> list[dict[str, Any]]:
        """Pictures that another model drew: here only the user can show them, in the next turn."""
        images = [block for block in self.content if block.get("type") == "image"]
        if images:
            self.content = [block for block in self.content if block.get("type") != "image"]
        return images

    def ids(self, kind: str, name: str) -> list[str]:
        return [block[name] for block in self.content if block.get("type") == kind]


def encode_conversation(request: Request, to: Encoding) -> tuple[list[dict[str, Any]], list[Turn]]:
    """The system blocks and the turns. Raises Unsupported, or InvalidRequest where nobody says anything."""
    system = [
        body
        for number, text in enumerate(request.system)
        if (body := encode_block(text, f"system[{number}]", to)) is not None
    ]
    takes_system = traits_of(to.target.model).system_messages
    turns: list[Turn] = []
    drawn: list[dict[str, Any]] = []
    for number, message in enumerate(request.messages):
        turn = _turn(message, f"messages[{number}]", to)
        if turn.role == "user":
            turn.content, drawn = drawn + turn.content, []
        elif turn.role == "assistant":
            drawn += turn.take_images()
        only_text = not turn.rest and all(block.get("type") == "text" for block in turn.content)
        if turn.role == "system" and only_text and not takes_system:
            to.drop(f"{turn.path}.role")
            system.extend(turn.content)
        elif turn.content or turn.rest or (turn.follows and number == len(request.messages) - 1):
            turns.append(turn)
        else:
            to.drop(turn.path)
    if not turns:
        wrong("messages", "at least one that says something")
    if drawn:
        raise unsupported("messages", "the last of them is the assistant's and holds an image")
    _fit_ids(turns, to)
    return system, list(_answered(_system_after_user(turns), to))


def _turn(message: Message, path: str, to: Encoding) -> Turn:
    to.drop_foreign(message.extra, path)
    if message.name is not None:
        to.drop(f"{path}.name")
    rest = dict(own(message.extra))
    return Turn(
        role=message.role,
        content=encode_all(message.content, f"{path}.content", to),
        path=path,
        form=rest.pop("_content", None),
        rest=rest,
        follows=message.role == "assistant" and not message.content,
    )


def _fit_ids(turns: list[Turn], to: Encoding) -> None:
    """Tool ids that the provider takes, the same in a call and its result, each used once in a turn."""
    exact = to.target.quirks.tool_id_length
    pattern, longest = (_TOOL_ID, _TOOL_ID_LENGTH) if exact is None else (f"[a-zA-Z0-9]{{{exact}}}", exact)
    given: dict[str, list[str]] = {}
    used: set[str] = set()
    for turn in turns:
        if turn.role == "user":
            used.clear()
        for block in turn.content:
            if block.get("type") == "tool_use":
                tool_id, again = block["id"], 1
                fitted = fitting_id(tool_id, pattern=pattern, max_length=longest)
                if fitted not in used:
                    given[tool_id] = []
                while fitted in used:
                    again += 1
                    fitted = fitting_id(f"{tool_id} {again}", pattern=pattern, max_length=longest)
                used.add(fitted)
                given[tool_id].append(fitted)
                block["id"] = fitted
            elif block.get("type") == "tool_result" and block["tool_use_id"] in given:
                ids = given[block["tool_use_id"]]
                block["tool_use_id"] = ids.pop(0) if len(ids) > 1 else ids[0]


def _system_after_user(turns: list[Turn]) -> list[Turn]:
    """A system message may stand only between a user's turn and the assistant's: it waits for the former."""
    ordered: list[Turn] = []
    waiting: list[Turn] = []
    for turn in turns:
        if turn.role == "system":
            waiting.append(turn)
            continue
        if turn.role == "assistant" and ordered and ordered[-1].role == "user":
            ordered += waiting
            waiting = []
        ordered.append(turn)
    return ordered + waiting


def _answered(turns: list[Turn], to: Encoding) -> Iterator[Turn]:
    """Every call's result stands at the start of the user message right after it."""
    calls: list[str] = []
    asked = ""
    for role, group in groupby(turns, key=lambda turn: turn.role):
        run = list(group)
        if role == "user" and calls:
            run = _with_results(run, calls, asked, to)
        yield from run
        calls = [call for turn in run for call in turn.ids("tool_use", "id")] if role == "assistant" else []
        asked = run[-1].path


def _with_results(run: list[Turn], calls: list[str], asked: str, to: Encoding) -> list[Turn]:
    first = run[0]
    leading = [block.get("tool_use_id") for block in first.content[: len(calls)]]
    if sorted(map(str, leading)) == sorted(calls):
        return run
    blocks = [block for turn in run for block in turn.content]
    results: dict[str, dict[str, Any]] = {}
    others: list[dict[str, Any]] = []
    for block in blocks:
        call = block.get("tool_use_id") if block.get("type") == "tool_result" else None
        if call in calls and call not in results:
            results[str(call)] = block
        else:
            others.append(block)
    if len(results) < len(calls):
        to.drop(f"{asked}.content")
    answers = [results.get(call) or _no_result(call) for call in calls]
    merged_rest = {name: value for turn in run for name, value in turn.rest.items()}
    return [Turn("user", answers + others, first.path, rest=merged_rest)]


def _no_result(call: str) -> dict[str, Any]:
    """The API refuses a conversation in which a call stays open."""
    return {"type": "tool_result", "tool_use_id": call, "content": _NO_RESULT, "is_error": True}


def encoded_system(system: list[dict[str, Any]], form: str | None) -> str | list[dict[str, Any]] | None:
    """None where there is nothing to say."""
    if not system and form != STRING:
        return None
    return as_content(system, form)
