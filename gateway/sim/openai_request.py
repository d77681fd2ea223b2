"""Reading an OpenAI Chat Completions request, refusing what its API refuses in its words.

Source: the API reference (Chat, Error codes) and recorded answers.
"""

from collections.abc import Mapping
from typing import Any

from gateway.sim.conversation import (
    TOOL_NAME,
    Conversation,
    Refused,
    SimModel,
    ToolOutput,
    find_model,
    is_count,
    list_in,
    text_of,
)

ROLES = ("system", "assistant", "user", "function", "tool", "developer")
MEDIA = ("image_url", "input_audio", "file")
MAX_CHOICES = 128


def read_request(body: Mapping[str, Any], *, stand_in: bool = False) -> Conversation:
    """The conversation in a request body. Raises Refused (400, 404).

    ``stand_in``: for whichever vendor of the dialect, each with its own words for forcing a tool, and some
    with usage in every stream.
    """
    name = body.get("model")
    if not isinstance(name, str) or not name:
        raise _bad("you must provide a model parameter", None)
    model = find_model(name, stand_in=stand_in)
    if model is None:
        raise Refused(
            404,
            f"The model `{name}` does not exist or you do not have access to it.",
            type="invalid_request_error",
            code="model_not_found",
        )
    options, choices, stop = body.get("stream_options"), body.get("n"), body.get("stop")
    streaming = body.get("stream") is True
    if options is not None and not streaming:
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise _bad(message, "stream_options")
    if choices is not None and not (is_count(choices) and choices <= MAX_CHOICES):
        raise _bad(f"Invalid 'n': expected an integer from 1 to {MAX_CHOICES}.", "n", "invalid_value")
    conversation = Conversation(
        model=model,
        max_tokens=_limit(body, model),
        stream=streaming,
        include_usage=stand_in or (isinstance(options, Mapping) and options.get("include_usage") is True),
        choices=choices or 1,
        stop=(stop,) if isinstance(stop, str) and stop else tuple(_texts(stop)),
        parallel_calls=body.get("parallel_tool_calls") is not False,
        answer_schema=_answer_schema(body.get("response_format")),
    )
    _read_tools(conversation, body, stand_in=stand_in)
    media_bytes = _read_messages(conversation, body.get("messages"))
    conversation.system, system = "", conversation.system  # it is among the messages that are weighed
    conversation.weigh(body["messages"], body.get("tools"), media_bytes)
    conversation.system = system
    if conversation.input_tokens > model.context_window:
        raise _bad(
            f"This model's maximum context length is {model.context_window} tokens. However, your messages "
            f"resulted in {conversation.input_tokens} tokens. Please reduce the length of the messages.",
            "messages",
            "context_length_exceeded",
        )
    return conversation


def _limit(body: Mapping[str, Any], model: SimModel) -> int:
    for param in ("max_completion_tokens", "max_tokens"):
        limit = body.get(param)
        if limit is None:
            continue
        if not is_count(limit):
            raise _bad(
                f"Invalid '{param}': integer below minimum value. Expected a value >= 1.",
                param,
                "integer_below_min_value",
            )
        if limit > model.max_output_tokens:
            raise _bad(
                f"{param} is too large: {limit}. This model supports at most {model.max_output_tokens} "
                f"completion tokens, whereas you provided {limit}.",
                param,
                "invalid_value",
            )
        return int(limit)
    return model.max_output_tokens


def _read_tools(conversation: Conversation, body: Mapping[str, Any], *, stand_in: bool) -> None:
    for number, tool in enumerate(list_in(body, "tools")):
        if isinstance(tool, Mapping) and tool.get("type") == "custom":
            continue  # it takes free text, which this model never writes
        place = f"tools[{number}]"
        function = tool.get("function") if isinstance(tool, Mapping) else None
        if not isinstance(function, Mapping):
            message = f"Missing required parameter: '{place}.function'."
            raise _bad(message, f"{place}.function", "missing_required_parameter")
        name = function.get("name")
        if not isinstance(name, str) or not TOOL_NAME.fullmatch(name):
            raise _bad(
                f"Invalid '{place}.function.name': string does not match pattern. Expected a string that "
                "matches the pattern '^[a-zA-Z0-9_-]+$'.",
                f"{place}.function.name",
                "invalid_value",
            )
        schema = function.get("parameters") or {}
        if schema and (not isinstance(schema, Mapping) or schema.get("type") != "object"):
            raise _bad(
                f"Invalid schema for function '{name}': schema must be a JSON Schema of 'type: \"object\"'.",
                f"{place}.function.parameters",
                "invalid_function_parameters",
            )
        conversation.tools[name] = schema
    choice = body.get("tool_choice")
    if choice is None:
        return
    if not body.get("tools"):
        raise _bad("'tool_choice' is only allowed when 'tools' are specified.", "tool_choice")
    if choice in ("auto", "none"):
        conversation.tool_choice = choice
    elif choice == "required" or (stand_in and choice == "any"):
        conversation.tool_choice = "any"
    elif isinstance(choice, Mapping) and isinstance(allowed := choice.get("allowed_tools"), Mapping):
        conversation.tool_choice = "any" if allowed.get("mode") == "required" else "auto"
    else:
        function = choice.get("function") if isinstance(choice, Mapping) else None
        name = str(function.get("name")) if isinstance(function, Mapping) else ""
        if name not in conversation.tools:
            raise _bad("Invalid value for 'tool_choice': no such function in 'tools'.", "tool_choice")
        conversation.tool_choice = f"tool:{name}"


def _read_messages(conversation: Conversation, messages: Any) -> int:
    """Take in the messages; returns the bytes of the media in them."""
    if messages is None:
        raise _bad("Missing required parameter: 'messages'.", "messages", "missing_required_parameter")
    if not isinstance(messages, list) or not messages:
        raise _bad(
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty "
            "array instead.",
            "messages",
            "empty_array",
        )
    open_calls: dict[str, str] = {}
    media_bytes = 0
    for number, message in enumerate(messages):
        role = message.get("role") if isinstance(message, Mapping) else None
        if role not in ROLES:
            supported = ", ".join(f"'{name}'" for name in ROLES)
            raise _bad(
                f"Invalid value: '{role}'. Supported values are: {supported}.",
                f"messages[{number}].role",
                "invalid_value",
            )
        if role == "tool":
            _answer_call(conversation, message, open_calls, number)
            continue
        if open_calls:
            raise _unanswered(open_calls, number)
        media_bytes += _count_media(conversation, message.get("content"))
        if role == "assistant":
            open_calls = _calls(message, number)
            conversation.rounds_done += bool(open_calls)
        elif role == "user":
            conversation.ask(_question(message.get("content"), number))
        else:
            conversation.system += text_of(message.get("content")) + "\n"
    if open_calls:
        raise _unanswered(open_calls, len(messages))
    return media_bytes


def _question(content: Any, number: int) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        got = "null" if content is None else "an empty array" if content == [] else "something else"
        raise _bad(
            f"Invalid value for 'content': expected a string or an array of parts, got {got}.",
            f"messages.[{number}].content",
        )
    texts = _texts([part.get("text") for part in content if isinstance(part, Mapping)])
    return texts[-1] if texts else ""


def _texts(values: Any) -> list[str]:
    return [text for text in values if isinstance(text, str) and text] if isinstance(values, list) else []


def _calls(message: Mapping[str, Any], number: int) -> dict[str, str]:
    """The names of a message's tool calls by id."""
    calls: dict[str, str] = {}
    for place, call in enumerate(list_in(message, "tool_calls")):
        described = call.get("function") if isinstance(call, Mapping) else None
        function = described if isinstance(described, Mapping) else {}
        name = function.get("name")
        if not isinstance(name, str) or not isinstance(call.get("id"), str):
            where = f"messages[{number}].tool_calls[{place}]"
            raise _bad(f"Missing required parameter: '{where}.id'.", where, "missing_required_parameter")
        if not isinstance(function.get("arguments"), str):
            where = f"messages[{number}].tool_calls[{place}].function.arguments"
            raise _bad(f"Invalid type for '{where}': expected a string.", where, "invalid_type")
        calls[call["id"]] = name
    if not calls and message.get("content") is None and message.get("refusal") is None:
        raise _bad(
            "Invalid value for 'content': expected a string, got null.", f"messages.[{number}].content"
        )
    return calls


def _answer_call(
    conversation: Conversation, message: Mapping[str, Any], open_calls: dict[str, str], number: int
) -> None:
    name = open_calls.pop(str(message.get("tool_call_id")), None)
    if name is None:
        raise _bad(
            "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
            "'tool_calls'.",
            f"messages.[{number}].role",
        )
    conversation.results.append(ToolOutput(name, text_of(message.get("content"))))


def _count_media(conversation: Conversation, content: Any) -> int:
    total = 0
    for part in content if isinstance(content, list) else ():
        if isinstance(part, Mapping) and part.get("type") in MEDIA:
            conversation.media += 1
            held = part.get(str(part["type"]))
            values = held.values() if isinstance(held, Mapping) else ()
            total += sum(len(value.encode()) for value in values if isinstance(value, str))
    return total


def _answer_schema(response_format: Any) -> Any:
    if not isinstance(response_format, Mapping):
        return None
    if response_format.get("type") == "json_object":
        return {"type": "object", "required": ["answer"]}
    described = response_format.get("json_schema")
    return described.get("schema") if isinstance(described, Mapping) else None


def _unanswered(calls: Mapping[str, str], number: int) -> Refused:
    return _bad(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
        f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(calls)}",
        f"messages.[{number}].role",
    )


def _bad(message: str, param: str | None, code: str | None = None) -> Refused:
    return Refused(400, message, type="invalid_request_error", param=param, code=code)
