"""Content parts of messages: text, images, sound, files, and what single providers add."""

from collections.abc import Callable
from typing import Any

from gateway.inference.dialects.neutral import (
    Audio,
    Block,
    Cache,
    Document,
    Image,
    Inline,
    Linked,
    PlainText,
    Refusal,
    ServerBlock,
    Text,
    Thinking,
    Uploaded,
    Video,
)
from gateway.inference.dialects.openai_chat.encoding import Encoding
from gateway.inference.dialects.openai_chat.extras import DIALECT, extra, form
from gateway.inference.dialects.openai_chat.media import (
    decode_file,
    decode_url,
    encode_file,
    encode_url,
    text_of,
)
from gateway.inference.dialects.openai_chat.reading import Fields, wrong
from gateway.inference.dialects.openai_chat.thoughts import decode_thinking_part, encode_thinking_part

_BREAKPOINT_TTLS = {"30m": "1h", "12h": "1h"}
"""OpenAI's least lifetimes of a cache breakpoint, in Anthropic's words."""


def decode_part(value: Any, path: str, origin: str = DIALECT) -> Block:
    """Raises InvalidRequest for a part of no known type."""
    part = Fields(value, path)
    kind = part.required_text("type")
    decode = _DECODERS.get(kind)
    if decode is not None:
        return decode(part)
    if kind == "thinking":
        return decode_thinking_part(part, origin)
    if kind == "reference":  # Mistral: where a search result was used
        return ServerBlock(dialect=DIALECT, data=dict(value))
    raise wrong(f"{path}.type", f"one of {', '.join([*_DECODERS, 'thinking'])}")


def decode_cache(part: Fields) -> Cache | None:
    """A breakpoint as OpenRouter and LiteLLM clients write it, or OpenAI's own. It stays in the rest too,
    so that this dialect gives it back as it was."""
    control = part.peek("cache_control")
    if control is not None:
        return Cache(ttl=Fields(control, part.at("cache_control")).text("ttl"))
    mark = part.peek("prompt_cache_breakpoint")
    if mark is not None:
        ttl = Fields(mark, part.at("prompt_cache_breakpoint")).text("ttl")
        return Cache(ttl=_BREAKPOINT_TTLS.get(ttl or ""))
    return None


def encode_cache(cache: Cache | None, written: dict[str, Any], place: str, encoding: Encoding) -> None:
    """OpenAI caches by itself; providers that take ``cache_control`` get it."""
    if cache is None or "cache_control" in written or "prompt_cache_breakpoint" in written:
        return
    if encoding.quirks.cache_control:
        written["cache_control"] = {"type": "ephemeral", **({"ttl": cache.ttl} if cache.ttl else {})}
    else:
        encoding.drop(f"{place}.cache_control")


def _text(part: Fields) -> Block:
    text, cache = part.required_text("text"), decode_cache(part)
    return Text(text=text, cache=cache, extra=extra(part.rest()))


def _refusal(part: Fields) -> Block:
    return Refusal(text=part.required_text("refusal"), extra=extra(part.rest()))


def _url(part: Fields, name: str) -> tuple[Inline | Linked, Fields | None]:
    """A URL in an object, or bare as Mistral has it."""
    if isinstance(part.peek(name), str):
        return decode_url(part.required_text(name), part.at(name)), None
    inner = part.required_object(name)
    return decode_url(inner.required_text("url"), inner.at("url")), inner


def _image(part: Fields) -> Block:
    source, inner = _url(part, "image_url")
    detail, cache = inner.text("detail") if inner else None, decode_cache(part)
    kept = extra(part.rest(), bare=inner is None, inner=(inner.rest() or None) if inner else None)
    return Image(source=source, detail=detail, cache=cache, extra=kept)


def _video(part: Fields) -> Block:
    source, inner = _url(part, "video_url")
    kept = extra(part.rest(), bare=inner is None, inner=(inner.rest() or None) if inner else None)
    return Video(source=source, extra=kept)


def _audio(part: Fields) -> Block:
    inner = part.required_object("input_audio")
    data, sound = inner.required_text("data"), inner.required_text("format")
    return Audio(data=data, format=sound, extra=extra(part.rest(), inner=inner.rest() or None))


def _file(part: Fields) -> Block:
    file = part.required_object("file")
    bare = isinstance(data := file.peek("file_data"), str) and not data.startswith(("data:", "http"))
    source, title = decode_file(file)
    cache = decode_cache(part)
    kept = extra(part.rest(), part="file", bare=bare, inner=file.rest() or None)
    return Document(source=source, title=title, cache=cache, extra=kept)


def _document_url(part: Fields) -> Block:
    """Mistral's documents."""
    source, inner = _url(part, "document_url")
    title = part.text("document_name")
    kept = extra(part.rest(), part="document_url", inner=(inner.rest() or {}) if inner else None)
    return Document(source=source, title=title, cache=decode_cache(part), extra=kept)


_DECODERS: dict[str, Callable[[Fields], Block]] = {
    "text": _text,
    "refusal": _refusal,
    "image_url": _image,
    "input_audio": _audio,
    "file": _file,
    "video_url": _video,
    "document_url": _document_url,
}


def encode_parts(block: Block, place: str, encoding: Encoding) -> list[dict[str, Any]]:
    """The parts that carry a block: none where it is dropped, two where a document's context is a text of its
    own. Raises Unsupported."""
    match block:
        case Text():
            if block.citations:
                encoding.drop(f"{place}.citations")
            part: dict[str, Any] = {"type": "text", "text": block.text}
        case Refusal():
            part = {"type": "refusal", "refusal": block.text}
        case Image():
            part = _encoded_image(block, place, encoding)
        case Audio():
            inner = {"data": block.data, "format": block.format, **(form(block.extra, "inner") or {})}
            part = {"type": "input_audio", "input_audio": inner}
        case Video():
            if not isinstance(block.source, Inline | Linked):
                raise encoding.refuse(f"{place}.source", "takes videos only as data or by URL")
            part = _with_url("video_url", block.source, block)
        case Document():
            return _encoded_document(block, place, encoding)
        case Thinking():
            part = encode_thinking_part(block)
        case ServerBlock() if block.dialect == DIALECT:
            return [block.data]
        case _:
            encoding.drop(place)
            return []
    part |= encoding.keep(block.extra, place)
    if isinstance(block, Text | Image):
        encode_cache(block.cache, part, place, encoding)
    return [part]


def _with_url(name: str, source: Inline | Linked, block: Image | Video | Document) -> dict[str, Any]:
    if form(block.extra, "bare"):
        return {"type": name, name: encode_url(source)}
    return {"type": name, name: {"url": encode_url(source), **(form(block.extra, "inner") or {})}}


def _encoded_image(image: Image, place: str, encoding: Encoding) -> dict[str, Any]:
    if isinstance(image.source, Uploaded | PlainText):
        raise encoding.refuse(f"{place}.source", "takes images only as data or by URL")
    if isinstance(image.source, Linked) and not encoding.quirks.image_urls:
        raise encoding.refuse(f"{place}.source.url", "fetches no images; send their data")
    part = _with_url("image_url", image.source, image)
    if image.detail is not None:
        part["image_url"]["detail"] = image.detail
    return part


def _encoded_document(document: Document, place: str, encoding: Encoding) -> list[dict[str, Any]]:
    if document.citations:
        encoding.drop(f"{place}.citations")
    source = document.source
    text = source.text if isinstance(source, PlainText) else None
    if isinstance(source, Inline) and form(document.extra, "part") is None:
        text = text_of(source)
    if text is not None:
        head = [line for line in (document.title, document.context) if line]
        part: dict[str, Any] = {"type": "text", "text": "\n\n".join([*head, text])}
        encode_cache(document.cache, part, place, encoding)
        return [part]
    if form(document.extra, "part") == "document_url" and isinstance(source, Inline | Linked):
        inner = form(document.extra, "inner")
        url = encode_url(source)
        part = {"type": "document_url", "document_url": url if inner is None else {"url": url, **inner}}
        if document.title is not None:
            part["document_name"] = document.title
    else:
        part = {"type": "file", "file": _encoded_file(document, f"{place}.source", encoding)}
    part |= encoding.keep(document.extra, place)
    encode_cache(document.cache, part, place, encoding)
    return [*([{"type": "text", "text": document.context}] if document.context else []), part]


def _encoded_file(document: Document, place: str, encoding: Encoding) -> dict[str, Any]:
    source = document.source
    if form(document.extra, "part") == "file" and isinstance(source, Inline | Linked):
        bare = form(document.extra, "bare")
        file: dict[str, Any] = {
            "file_data": source.data if isinstance(source, Inline) and bare else encode_url(source)
        }
        if document.title is not None:
            file["filename"] = document.title
        return file | (form(document.extra, "inner") or {})
    return encode_file(source, document.title, place, encoding) | (form(document.extra, "inner") or {})
