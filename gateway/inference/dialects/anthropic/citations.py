"""Citations, both ways.

A citation of another dialect that has a URL is shown as a web search's. Its ``encrypted_index``, which is
opaque to clients, then carries the original, which only its own dialect gets back.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.inference.dialects.anthropic.reading import DIALECT, Fields
from gateway.inference.dialects.carried import Carried, unwrap, wrap
from gateway.inference.dialects.neutral import Citation
from kit.json import NOT_JSON


def decode_citation(raw: Mapping[str, Any], path: str) -> Citation:
    """Raises InvalidRequest."""
    fields = Fields(raw, path)
    kind = fields.text("type")
    cited_text, url = fields.optional_text("cited_text"), fields.optional_text("url")
    title = fields.optional_text("document_title" if "document_title" in raw else "title")
    if kind == "web_search_result_location":
        carried = _carried(fields.optional_text("encrypted_index"))
        if carried is not None:
            dialect, data, start, end = carried
            return Citation(
                dialect=dialect,
                data=data,
                url=url,
                title=title,
                cited_text=cited_text or None,
                start=start,
                end=end,
            )
    return Citation(dialect=DIALECT, data=dict(raw), url=url, title=title, cited_text=cited_text)


def encode_citation(citation: Citation) -> dict[str, Any] | None:
    """For an answer. None for a citation of another dialect without a URL."""
    if citation.dialect == DIALECT:
        return citation.data
    if citation.url is None:
        return None
    original = msgspec.json.encode([citation.data, citation.start, citation.end]).decode()
    return {
        "type": "web_search_result_location",
        "url": citation.url,
        "title": citation.title,
        "cited_text": citation.cited_text or "",
        "encrypted_index": wrap(Carried(citation.dialect, original)),
    }


def _carried(index: str | None) -> tuple[str, dict[str, Any], int | None, int | None] | None:
    carried = unwrap(index or "")
    if carried is None:
        return None
    try:
        data, start, end = msgspec.json.decode(
            carried.data, type=tuple[dict[str, Any], int | None, int | None]
        )
    except NOT_JSON:
        return None
    return carried.origin, data, start, end
