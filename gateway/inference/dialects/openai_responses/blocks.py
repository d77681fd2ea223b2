"""Parts of messages and of tool outputs: texts, refusals, images, files."""

import base64
import mimetypes
import re
from typing import Any

from gateway.inference.dialects.neutral import (
    Audio,
    Block,
    Cache,
    Citation,
    Document,
    Image,
    Inline,
    Linked,
    PlainText,
    Refusal,
    Source,
    Text,
    Uploaded,
    Video,
)
from gateway.inference.dialects.openai_responses.encoding import Encoding
from gateway.inference.dialects.openai_responses.reading import NAME, Reader, own, refuse
from kit.errors import Unsupported

_DATA_URL = re.compile(r"data:([^,;]+)((?:;[^,;]+)*);base64,(.*)", re.DOTALL)
_OPENAI_FILES = {NAME, "openai-chat"}
"""Dialects whose file ids are OpenAI's."""


def decode_part(value: Any, path: str, natural: str) -> Block:
    """A part of a message's content or of a tool's output; ``natural`` is the type of its texts."""
    reader = Reader(value, path)
    kind = reader.peek("type")
    if kind in ("input_text", "output_text", "text"):
        if kind == natural:
            reader.take("type")
        return _text(reader)
    if kind == "refusal":
        reader.take("type")
        return Refusal(text=reader.text("refusal"), extra=reader.rest())
    if kind == "input_image":
        reader.take("type")
        return _image(reader)
    if kind == "input_file":
        reader.take("type")
        return _file(reader)
    if kind == "input_audio":
        reader.take("type")
        sound = Reader(reader.take("input_audio"), reader.at("input_audio"))
        return Audio(data=sound.text("data"), format=sound.text("format"), extra=reader.rest())
    return refuse(
        reader.at("type"), "input_text, input_image, input_file, input_audio, output_text or refusal"
    )


def _text(reader: Reader) -> Text:
    citations = None
    if reader.peek("annotations") == []:
        reader.keep("_annotations", reader.take("annotations"))
    elif reader.peek("annotations") is not None:
        annotations = reader.maybe_list("annotations") or []
        citations = [
            decode_annotation(Reader(value, f"{reader.at('annotations')}[{number}]").fields())
            for number, value in enumerate(annotations)
        ]
    return Text(text=reader.text("text"), citations=citations, cache=_cache(reader), extra=reader.rest())


def _cache(reader: Reader) -> Cache | None:
    """The breakpoint is noted: its lifetimes (30m, 12h) have no equal elsewhere."""
    point = reader.take("prompt_cache_breakpoint")
    if point is None:
        return None
    reader.keep("_cache", point)
    return Cache(ttl="1h" if Reader(point, reader.at("prompt_cache_breakpoint")).maybe_text("ttl") else None)


def _image(reader: Reader) -> Image:
    detail = reader.maybe_text("detail")
    url, file_id = reader.peek("image_url"), reader.peek("file_id")
    source: Source
    if url is not None:
        source = _media(reader.text("image_url"), reader) or Linked(url=url)
    elif file_id is not None:
        source = Uploaded(dialect=NAME, file_id=reader.text("file_id"))
    else:
        refuse(reader.at("image_url"), "a URL, or a file_id")
    return Image(source=source, detail=detail, cache=_cache(reader), extra=reader.rest())


def _file(reader: Reader) -> Document:
    title = reader.maybe_text("filename")
    data = reader.maybe_text("file_data")
    source: Source
    if data is not None:
        inline = _media(data, reader)
        if inline is None:
            reader.keep("_file_data", "base64")
            guessed = mimetypes.guess_type(title or "")[0] or "application/pdf"
            inline = Inline(media_type=guessed, data=data)
        source = inline
    elif reader.peek("file_url") is not None:
        source = Linked(url=reader.text("file_url"))
    elif reader.peek("file_id") is not None:
        source = Uploaded(dialect=NAME, file_id=reader.text("file_id"))
    else:
        refuse(reader.at("file_data"), "the file's data, a file_url or a file_id")
    return Document(source=source, title=title, cache=_cache(reader), extra=reader.rest())


def _media(url: str, reader: Reader) -> Inline | None:
    """The bytes in a data URL; its parameters, if any, stay in the rest."""
    found = _DATA_URL.fullmatch(url)
    if found is None:
        return None
    media_type, parameters, data = found.groups()
    if parameters:
        reader.keep("_media_parameters", parameters)
    return Inline(media_type=media_type, data=data)


def decode_annotation(data: dict[str, Any]) -> Citation:
    def text(name: str) -> str | None:
        value = data.get(name)
        return value if isinstance(value, str) else None

    def place(name: str) -> int | None:
        value = data.get(name)
        return value if type(value) is int else None

    return Citation(
        dialect=NAME,
        data=data,
        url=text("url"),
        title=text("title") or text("filename"),
        start=place("start_index"),
        end=place("end_index"),
    )


def encode_annotation(citation: Citation, text_length: int) -> dict[str, Any] | None:
    """``text_length`` stands for the places that another dialect's citation of a whole text leaves out.
    None for what has no URL: OpenAI's other annotations name files by ids."""
    if citation.dialect == NAME:
        return citation.data
    if not citation.url:
        return None
    return {
        "type": "url_citation",
        "url": citation.url,
        "title": citation.title or "",
        "start_index": citation.start or 0,
        "end_index": text_length if citation.end is None else citation.end,
    }


def encode_part(block: Block, natural: str, place: str, encoding: Encoding) -> list[dict[str, Any]]:
    """The parts that stand for a block; none, and the block named in ``dropped``, where there are none."""
    if isinstance(block, Text):
        return [_encode_text(block, natural, place, encoding)]
    if isinstance(block, Refusal):
        return [{"type": "refusal", "refusal": block.text, **encoding.kept(block.extra, place)}]
    if natural == "input_text":
        if isinstance(block, Image):
            return [_encode_image(block, place, encoding)]
        if isinstance(block, Document):
            return _encode_document(block, place, encoding)
        if isinstance(block, Audio) and block.extra is None and not encoding.own:
            raise Unsupported(f"{place}: this model API takes no sound", param=place)
        if isinstance(block, Audio):
            sound = {"data": block.data, "format": block.format}
            return [{"type": "input_audio", "input_audio": sound, **own(block.extra)}]
        if isinstance(block, Video):
            raise Unsupported(f"{place}: this model API takes no such content", param=place)
    encoding.drop(place)
    return []


def _encode_text(block: Text, natural: str, place: str, encoding: Encoding) -> dict[str, Any]:
    kept = encoding.kept(block.extra, place)
    breakpoint_ = encoding.cache(block.cache, kept, place)
    fields = {name: value for name, value in kept.items() if not name.startswith("_")} | breakpoint_
    part: dict[str, Any] = {"type": natural, "text": block.text, **fields}
    if block.citations:
        annotations = []
        for number, citation in enumerate(block.citations):
            annotation = encode_annotation(citation, len(block.text))
            if annotation is None or part["type"] != "output_text":
                encoding.drop(f"{place}.citations[{number}]")
            else:
                annotations.append(annotation)
        if part["type"] == "output_text":
            part["annotations"] = annotations
    elif "_annotations" in kept or (part["type"] == "output_text" and not encoding.own):
        part["annotations"] = []
    return part


def _encode_image(block: Image, place: str, encoding: Encoding) -> dict[str, Any]:
    kept = encoding.kept(block.extra, place)
    part: dict[str, Any] = {"type": "input_image"}
    source = block.source
    if isinstance(source, Inline):
        part["image_url"] = _data_url(source, kept)
    elif isinstance(source, Linked) and encoding.target.quirks.image_urls:
        part["image_url"] = source.url
    elif isinstance(source, Uploaded) and source.dialect in _OPENAI_FILES:
        part["file_id"] = source.file_id
    else:
        raise Unsupported(f"{place}.source: this model cannot fetch the image", param=f"{place}.source")
    if block.detail is not None:
        part["detail"] = block.detail
    return part | encoding.cache(block.cache, kept, place) | kept


def _encode_document(block: Document, place: str, encoding: Encoding) -> list[dict[str, Any]]:
    kept = encoding.kept(block.extra, place)
    part: dict[str, Any] = {"type": "input_file"}
    if block.title is not None:
        part["filename"] = block.title
    source = block.source
    if isinstance(source, PlainText):
        data = base64.b64encode(source.text.encode("utf-8", "replace")).decode()
        source = Inline(media_type="text/plain", data=data)
    if isinstance(source, Inline):
        if kept.pop("_file_data", None) == "base64":
            part["file_data"] = source.data
        else:
            part["file_data"] = _data_url(source, kept)
        if not encoding.own:
            part["filename"] = _file_name(block.title, source.media_type)
    elif isinstance(source, Linked):
        part["file_url"] = source.url
    elif source.dialect in _OPENAI_FILES:
        part["file_id"] = source.file_id
    else:
        raise Unsupported(f"{place}.source: the file lies at another provider", param=f"{place}.source")
    if block.citations:
        encoding.drop(f"{place}.citations")
    before = [{"type": "input_text", "text": block.context}] if block.context else []
    return [*before, part | encoding.cache(block.cache, kept, place) | kept]


def _data_url(source: Inline, kept: dict[str, Any]) -> str:
    return f"data:{source.media_type}{kept.pop('_media_parameters', '')};base64,{source.data}"


def _file_name(title: str | None, media_type: str) -> str:
    """OpenAI tells the kind of an inline file by its name."""
    suffix = mimetypes.guess_extension(media_type) or ""
    name = title or "document"
    return name if not suffix or mimetypes.guess_type(name)[0] == media_type else name + suffix
