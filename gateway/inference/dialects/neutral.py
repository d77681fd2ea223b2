"""The form between the dialects: what any client can ask of any provider, and what any provider answers.

It is close to Anthropic's Messages, since threads store that. Every dialect decodes its own JSON into these
structs and encodes them into its own JSON; nothing else is needed to cross from one dialect to another.

Invariants:
- decoding and encoding in the same dialect loses nothing: what a dialect has and these structs do not is
  kept in ``extra`` (request, message, block, tool, response), and only that dialect writes it back;
- an encoder refuses (``Unsupported``, naming the field) what it cannot carry if leaving it out would change
  the meaning, and names in ``Encoded.dropped`` what it leaves out harmlessly; it never does so silently.
"""

from typing import Any, Literal

import msgspec

from gateway.billing.prices import TokenUsage


class Struct(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The base of all of them: fields by name."""


class Extra(Struct):
    """Fields of one dialect that have no place here, as they were. Names with ``_`` before them are the
    dialect's own notes on the form (a text or a list of one, say), which no other dialect misses."""

    dialect: str
    fields: dict[str, Any]
    essential: list[str] = []
    """What of the request only this dialect's provider knows (a stored conversation, say): another dialect's
    encoder must refuse the request, see ``codec.left_out``."""


class Cache(Struct):
    """A cache breakpoint after this block (Anthropic ``cache_control``); ``ttl`` as Anthropic spells it."""

    ttl: str | None = None


# --- where the bytes of media are ---------------------------------------------------------------------


class Inline(Struct, tag="inline"):
    """Bytes in the request itself, in base64."""

    media_type: str
    data: str


class Linked(Struct, tag="linked"):
    """A URL that the provider fetches."""

    url: str
    media_type: str | None = None


class Uploaded(Struct, tag="uploaded"):
    """A file that lies at one provider; ``dialect`` says whose id it is."""

    dialect: str
    file_id: str
    media_type: str | None = None


class PlainText(Struct, tag="plain_text"):
    """A document that is text."""

    text: str


Source = Inline | Linked | Uploaded | PlainText


# --- blocks of content --------------------------------------------------------------------------------


class Text(Struct, tag="text"):
    text: str
    citations: list["Citation"] | None = None
    cache: Cache | None = None
    extra: Extra | None = None


class Refusal(Struct, tag="refusal"):
    """The model's own words for why it does not answer (OpenAI ``refusal``)."""

    text: str
    extra: Extra | None = None


class Image(Struct, tag="image"):
    source: Source
    detail: str | None = None
    """OpenAI: low, high, auto, original."""
    cache: Cache | None = None
    extra: Extra | None = None


class Document(Struct, tag="document"):
    source: Source
    title: str | None = None
    """A title or a file name."""
    context: str | None = None
    citations: bool | None = None
    """Whether the answer shall cite this document (Anthropic)."""
    cache: Cache | None = None
    extra: Extra | None = None


class Audio(Struct, tag="audio"):
    """Sound as input, or as the model's output; ``format`` as OpenAI spells it (wav, mp3, …)."""

    data: str
    format: str
    transcript: str | None = None
    extra: Extra | None = None


class Video(Struct, tag="video"):
    source: Source
    extra: Extra | None = None


class Thinking(Struct, tag="thinking"):
    """What a model thought. ``origin`` names the maker, since only it understands ``signature``.

    Origins are dialect names, for the openai-chat dialect with the provider's (``openai-chat/deepseek``).
    """

    text: str
    origin: str
    signature: str | None = None
    extra: Extra | None = None


class HiddenThinking(Struct, tag="hidden_thinking"):
    """Thinking that only its maker can read: ``redacted_thinking``, or an encrypted reasoning item."""

    data: str
    origin: str
    item_id: str | None = None
    extra: Extra | None = None


class ToolUse(Struct, tag="tool_use"):
    """A call that the model asks for. ``arguments`` is the JSON text exactly as the model wrote it.

    ``signature`` is a Google thought signature, which must come back with this very call.
    """

    id: str
    name: str
    arguments: str
    signature: str | None = None
    item_id: str | None = None
    """The id of the item around the call in OpenAI Responses."""
    custom: bool = False
    """A free-form call (OpenAI ``custom`` tools): ``arguments`` is text, not JSON."""
    cache: Cache | None = None
    extra: Extra | None = None


class ToolResult(Struct, tag="tool_result"):
    """What a call gave: ``content`` holds text, images and documents. ``name`` where the dialect says it."""

    tool_use_id: str
    content: list["Block"]
    is_error: bool | None = None
    name: str | None = None
    custom: bool = False
    cache: Cache | None = None
    extra: Extra | None = None


class ServerBlock(Struct, tag="server_block"):
    """A block that only one dialect has (server tools and their results, executed code, …), as it was."""

    dialect: str
    data: dict[str, Any]


Block = (
    Text
    | Refusal
    | Image
    | Document
    | Audio
    | Video
    | Thinking
    | HiddenThinking
    | ToolUse
    | ToolResult
    | ServerBlock
)


class Citation(Struct):
    """Where a piece of text is from. ``data`` is the dialect's own object, the rest what others can show."""

    dialect: str
    data: dict[str, Any]
    url: str | None = None
    title: str | None = None
    cited_text: str | None = None
    start: int | None = None
    """Characters of the answer's text, where the dialect counts them."""
    end: int | None = None


# --- a request ----------------------------------------------------------------------------------------

Role = Literal["user", "assistant", "system"]


class Message(Struct):
    """``system`` is for instructions in the middle of a conversation; those at its start are
    ``Request.system``."""

    role: Role
    content: list[Block]
    name: str | None = None
    extra: Extra | None = None


class Tool(Struct):
    """A function that the caller runs. ``schema`` is a JSON Schema object; None means any arguments."""

    name: str
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    custom: bool = False
    """It takes free text (OpenAI ``custom`` tools): ``schema`` then is an object with that text as ``input``,
    for models that know only JSON."""
    cache: Cache | None = None
    extra: Extra | None = None


class ServerTool(Struct):
    """A tool that runs at the provider (web search, code execution, …), in its dialect's own words.

    ``kind`` is what other dialects can match: ``web_search``, ``code_execution``, ``web_fetch``, or the
    dialect's own type.
    """

    dialect: str
    kind: str
    data: dict[str, Any]
    cache: Cache | None = None


class ToolChoice(Struct):
    """``tool`` names the one to call, ``allowed`` those to choose among (with auto or any)."""

    mode: Literal["auto", "any", "none", "tool"]
    tool: str | None = None
    allowed: list[str] | None = None
    extra: Extra | None = None


class Reasoning(Struct):
    """How much a model shall think: a word, a budget in tokens, or off.

    ``effort``: none, minimal, low, medium, high, xhigh, max. ``show``: whether the thoughts (or a summary
    of them) are wanted in the answer.
    """

    enabled: bool | None = None
    adaptive: bool = False
    """Anthropic ``thinking: {type: adaptive}``: the model decides."""
    effort: str | None = None
    budget_tokens: int | None = None
    show: bool | None = None
    extra: Extra | None = None


class OutputFormat(Struct):
    """Structured output: any JSON object (``schema`` None), or one that fits ``schema``."""

    schema: dict[str, Any] | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None
    extra: Extra | None = None


class Request(Struct):
    """A request for one answer (or ``choices`` of them)."""

    model: str
    messages: list[Message]
    system: list[Text] = []
    tools: list[Tool | ServerTool] = []
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    max_tokens: int | None = None
    stream: bool = False
    stream_usage: bool = False
    """Whether the client asked for usage in its stream (OpenAI Chat ``stream_options.include_usage``)."""
    stop: list[str] = []
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    choices: int = 1
    logprobs: bool = False
    top_logprobs: int | None = None
    reasoning: Reasoning | None = None
    output: OutputFormat | None = None
    user: str | None = None
    """An opaque id of the end user (``metadata.user_id``, ``user``)."""
    service_tier: str | None = None
    extra: Extra | None = None


# --- an answer ----------------------------------------------------------------------------------------

StopReason = Literal[
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "refusal",
    "pause_turn",
    "context_window",
    "error",
]
"""``refusal`` also where a provider's filter cut the answer off; ``error`` where a model made a malformed
call or the provider gave no reason of the others."""


class Choice(Struct):
    """One answer. ``logprobs`` is in OpenAI Chat's form: ``{token, logprob, bytes, top_logprobs}`` each."""

    content: list[Block]
    stop: StopReason | None = None
    stop_sequence: str | None = None
    logprobs: list[dict[str, Any]] | None = None
    extra: Extra | None = None


class Response(Struct):
    """A whole answer. ``usage`` is None where the provider reported none."""

    id: str
    model: str
    choices: list[Choice]
    usage: TokenUsage | None = None
    created_s: int | None = None
    """Unix seconds, where the provider says."""
    extra: Extra | None = None
