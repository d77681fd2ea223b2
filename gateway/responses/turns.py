"""What a stored response asks of the turn engine: Anthropic's form of it, since threads store that."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.inference.dialects.codec import Quirks, Target
from gateway.inference.dialects.neutral import Request, Tool
from gateway.inference.dialects.openai_responses.codec import OpenAIResponsesCodec
from gateway.inference.dialects.registry import ANTHROPIC, OPENAI_RESPONSES, PROVIDER_DIALECTS
from gateway.inference.models import Model
from gateway.inference.passage import Crossing
from gateway.responses.asked import Asked
from kit.errors import InvalidRequest, Unsupported
from threads.turn_request import TurnRequest, parse_turn

Block = dict[str, Any]

_OURS = (
    "background",
    "conversation",
    "metadata",
    "previous_response_id",
    "store",
    "stream",
    "stream_options",
    "truncation",
)
"""What is no affair of the model's."""
_NO_PARAMETERS = ("model", "messages", "system", "tools", "stream")
_POLICIES = {"auto": "truncate", "disabled": "none"}
_RESPONSES = OpenAIResponsesCodec()
_ANTHROPIC = PROVIDER_DIALECTS[ANTHROPIC.name]


@dataclass(frozen=True, slots=True)
class NewTurn:
    """``earlier`` are messages before the user's, for a thread that has none yet."""

    request: TurnRequest
    earlier: list[tuple[str, Any]]
    dropped: tuple[str, ...]


def new_turn(
    asked: Asked, models: Sequence[Model], system: Sequence[str], open_calls: Mapping[str, str] | None
) -> NewTurn:
    """``models`` may answer; ``system`` are all words of system and developer that are in force;
    ``open_calls`` are the ids of the calls that the input must answer, by what their caller knows them as;
    None: nothing was said before. Raises InvalidRequest, Unsupported."""
    stateless = {name: value for name, value in asked.body.items() if name not in _OURS}
    target = Target("", models[0].upstream_name, _ANTHROPIC.name, Quirks())
    earlier: list[tuple[str, Any]] = []
    if open_calls is None:
        request = _request(stateless, asked.items, models)
        encoded = Crossing.plan(OPENAI_RESPONSES, _ANTHROPIC, request, target)
        *before, last = encoded.body["messages"]
        if last["role"] != "user":
            raise InvalidRequest("input: the last item must be the user's", param="input")
        earlier, content = [(one["role"], one["content"]) for one in before], last["content"]
    else:
        results = _results(asked.outputs, open_calls, target)
        said = _messages_only(asked.messages)
        request = _request(stateless, said or [{"role": "user", "content": "-"}], models)
        encoded = Crossing.plan(OPENAI_RESPONSES, _ANTHROPIC, request, target)
        words = [block for one in encoded.body["messages"] for block in _blocks(one["content"])]
        content = [*results, *(words if said else [])]
    parameters = {name: value for name, value in encoded.body.items() if name not in _NO_PARAMETERS}
    instructions = asked.body.get("instructions")
    in_force = [*([instructions] if instructions else []), *system]
    if in_force:
        parameters["system"] = [{"type": "text", "text": text} for text in in_force]
    body = {
        **parameters,
        "model": asked.body["model"],
        "content": "-",
        "client_tools": _client_tools(request),
        "max_iterations": 1,
        "context": _context(asked.body.get("truncation")),
        "on_insufficient_funds": "fail",
    }
    turn = dataclasses.replace(parse_turn(body), content=content, hands_calls_over=True)
    return NewTurn(turn, earlier, encoded.dropped)


def _request(stateless: Mapping[str, Any], items: list[dict[str, Any]], models: Sequence[Model]) -> Request:
    request = _RESPONSES.decode_request({**stateless, "input": items, "instructions": None})
    if request.max_tokens is None:
        request = msgspec.structs.replace(request, max_tokens=_most_tokens(models))
    return msgspec.structs.replace(request, stream=False, stream_usage=False)


def _most_tokens(models: Iterable[Model]) -> int:
    """The longest answer of all of them that leaves room for a conversation."""
    return min(
        min(model.output_limit, (model.context_window or 4 * model.output_limit) // 4) for model in models
    )


def _messages_only(items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Raises InvalidRequest for what a conversation that goes on has already."""
    said = list(items)
    for item in said:
        if item.get("type") != "message" or item.get("role") != "user":
            raise InvalidRequest(
                f"input: a {item.get('role') or item.get('type')} item cannot be added to a conversation "
                "that goes on; it has its own",
                param="input",
            )
    return said


def _results(outputs: Sequence[dict[str, Any]], open_calls: Mapping[str, str], target: Target) -> list[Block]:
    """Each open call has one. Raises InvalidRequest in OpenAI's words."""
    given: dict[str, Block] = {}
    for item in outputs:
        call_id = item.get("call_id")
        if not isinstance(call_id, str) or call_id not in open_calls or call_id in given:
            raise InvalidRequest(
                f"No tool call found for function call output with call_id {str(call_id)[:80]}.",
                param="input",
            )
        content = _output(item.get("output"), target)
        given[call_id] = {"type": "tool_result", "tool_use_id": open_calls[call_id], "content": content}
    for call_id in open_calls:
        if call_id not in given:
            raise InvalidRequest(f"No tool output found for function call {call_id[:80]}.", param="input")
    return [given[call_id] for call_id in open_calls]


def _output(value: Any, target: Target) -> list[Block]:
    if isinstance(value, str):
        return [{"type": "text", "text": value}] if value else []
    parts = {"model": "-", "max_output_tokens": 1, "input": [{"role": "user", "content": value}]}
    encoded = Crossing.plan(OPENAI_RESPONSES, _ANTHROPIC, _RESPONSES.decode_request(parts), target)
    return [block for one in encoded.body["messages"] for block in _blocks(one["content"])]


def _blocks(content: Any) -> list[Block]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _client_tools(request: Request) -> list[dict[str, Any]]:
    """Raises Unsupported for all but functions."""
    for number, tool in enumerate(request.tools):
        if not isinstance(tool, Tool) or tool.custom:
            raise Unsupported(
                f"tools[{number}].type: a stored response can have functions only", param=f"tools[{number}]"
            )
    return [
        {
            "name": tool.name,
            "description": tool.description or "",
            "input_schema": tool.schema or {"type": "object", "properties": {}},
        }
        for tool in request.tools
        if isinstance(tool, Tool)
    ]


def _context(truncation: Any) -> dict[str, Any]:
    if truncation is None:
        return {}
    if truncation not in _POLICIES:
        raise InvalidRequest("truncation: expected auto or disabled", param="truncation")
    return {"policy": _POLICIES[truncation]}
