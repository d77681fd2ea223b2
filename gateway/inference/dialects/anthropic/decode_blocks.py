"""Content blocks into the neutral form."""

from collections.abc import Callable
from typing import Any

from gateway.inference.dialects.anthropic.arguments import arguments_of
from gateway.inference.dialects.anthropic.citations import decode_citation
from gateway.inference.dialects.anthropic.reading import DIALECT, Fields, read_cache, wrong
from gateway.inference.dialects.carried import unwrap
from gateway.inference.dialects.neutral import (
    Block,
    Document,
    HiddenThinking,
    Image,
    Inline,
    Linked,
    PlainText,
    ServerBlock,
    Source,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
    Uploaded,
)

STRING, ABSENT = "string", "absent"
"""Notes on the form: the content was a bare string, or there was none."""


def decode_content(value: Any, path: str, origin: str) -> tuple[list[Block], str | None]:
    """The blocks and the note on their form. Raises InvalidRequest."""
    if isinstance(value, str):
        return [Text(text=value)], STRING
    if not isinstance(value, list):
        wrong(path, "a string or a list of content blocks")
    return with_signatures(
        [decode_block(entry, f"{path}[{number}]", origin) for number, entry in enumerate(value)]
    ), None


def decode_block(raw: Any, path: str, origin: str) -> Block:
    """``origin`` is what the block's thoughts are marked with. Raises InvalidRequest."""
    fields = Fields(raw, path)
    kind = fields.name("type")
    if kind == "thinking":
        return _thinking(fields, origin)
    if kind == "redacted_thinking":
        return _hidden_thinking(fields, origin)
    if kind == "tool_result":
        return _tool_result(fields, origin)
    reader = _READERS.get(kind)
    return ServerBlock(dialect=DIALECT, data=dict(raw)) if reader is None else reader(fields)


def with_signatures(blocks: list[Block]) -> list[Block]:
    """Gives signatures that ``redacted_thinking`` carried back to the calls they sign."""
    signed = {
        block.item_id: block.data for block in blocks if isinstance(block, HiddenThinking) and block.item_id
    }
    calls = {block.id for block in blocks if isinstance(block, ToolUse)} & signed.keys()
    if not calls:
        return blocks
    for block in blocks:
        if isinstance(block, ToolUse) and block.id in calls:
            block.signature = signed[block.id]
    return [block for block in blocks if not (isinstance(block, HiddenThinking) and block.item_id in calls)]


def _text(fields: Fields) -> Text:
    text = fields.text("text")
    cited = fields.raw("citations")
    citations = None
    if cited is not None:
        place = fields.place("citations")
        citations = [
            decode_citation(entry, f"{place}[{number}]")
            for number, entry in enumerate(fields.items("citations"))
        ]
    return Text(text=text, citations=citations, cache=read_cache(fields), extra=fields.extra())


def _image(fields: Fields) -> Image:
    source, rest = _source(fields, "base64", "url", "file")
    return Image(source=source, cache=read_cache(fields), extra=fields.extra(source=rest))


def _document(fields: Fields) -> Document:
    source, rest = _source(fields, "base64", "url", "file", "text", "content")
    return Document(
        source=source,
        title=fields.optional_text("title"),
        context=fields.optional_text("context"),
        citations=_citations_enabled(fields),
        cache=read_cache(fields),
        extra=fields.extra(source=rest),
    )


def _search_result(fields: Fields) -> Document:
    """Retrieved text: a document for the other dialects."""
    content = fields.items("content")
    return Document(
        source=PlainText(text=_joined(content, fields.place("content"))),
        title=fields.optional_text("title"),
        citations=_citations_enabled(fields),
        cache=read_cache(fields),
        extra=fields.extra(type="search_result", source=fields.text("source"), content=content),
    )


def _citations_enabled(fields: Fields) -> bool | None:
    config = fields.fields("citations")
    return None if config is None else bool(config.flag("enabled"))


def _source(fields: Fields, *kinds: str) -> tuple[Source, dict[str, Any] | None]:
    """The source, and what of it the neutral form has no place for."""
    source = fields.fields("source")
    if source is None:
        wrong(fields.place("source"), "an object")
    kind = source.text("type")
    if kind not in kinds:
        wrong(source.place("type"), f"one of {', '.join(kinds)}")
    if kind == "content":
        content = source.raw("content")
        text = _joined(content, source.place("content"))
        return PlainText(text=text), {"type": kind, "content": content, **source.rest()}
    found: Source
    if kind == "base64":
        found = Inline(media_type=source.name("media_type"), data=source.text("data"))
    elif kind == "url":
        found = Linked(url=source.name("url"))
    elif kind == "file":
        found = Uploaded(dialect=DIALECT, file_id=source.name("file_id"))
    else:
        source.optional_text("media_type")
        found = PlainText(text=source.text("data"))
    return found, source.rest() or None


def _joined(content: Any, path: str) -> str:
    """The text of a document made of blocks."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        wrong(path, "a string or a list of content blocks")
    entries = [Fields(entry, f"{path}[{number}]") for number, entry in enumerate(content)]
    return "\n\n".join(entry.text("text") for entry in entries if entry.raw("type") == "text")


def _thinking(fields: Fields, origin: str) -> Thinking:
    text, signature = fields.text("thinking"), fields.optional_text("signature")
    carried = unwrap(signature or "")
    if carried is not None:
        origin, signature = carried.origin, carried.data or None
    return Thinking(text=text, origin=origin, signature=signature, extra=fields.extra())


def _hidden_thinking(fields: Fields, origin: str) -> HiddenThinking:
    data = fields.text("data")
    carried = unwrap(data)
    if carried is None:
        return HiddenThinking(data=data, origin=origin, extra=fields.extra())
    return HiddenThinking(
        data=carried.data, origin=carried.origin, item_id=carried.item_id, extra=fields.extra()
    )


def _tool_use(fields: Fields) -> ToolUse:
    given = fields.object("input")
    if given is None:
        wrong(fields.place("input"), "an object")
    return ToolUse(
        id=fields.name("id"),
        name=fields.name("name"),
        arguments=arguments_of(given),
        cache=read_cache(fields),
        extra=fields.extra(),
    )


def _tool_result(fields: Fields, origin: str) -> ToolResult:
    value = fields.raw("content")
    for number, entry in enumerate(value if isinstance(value, list) else []):
        if isinstance(entry, dict) and entry.get("type") == "tool_result":
            wrong(f"{fields.place('content')}[{number}].type", "no result within a result")
    content, form = ([], ABSENT) if value is None else decode_content(value, fields.place("content"), origin)
    return ToolResult(
        tool_use_id=fields.name("tool_use_id"),
        content=content,
        is_error=fields.flag("is_error"),
        cache=read_cache(fields),
        extra=fields.extra(_content=form),
    )


_READERS: dict[str, Callable[[Fields], Block]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "search_result": _search_result,
    "tool_use": _tool_use,
}
