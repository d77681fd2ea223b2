"""Citations: ``annotations`` of type ``url_citation``."""

from collections.abc import Mapping
from typing import Any

from gateway.inference.dialects.neutral import Citation
from gateway.inference.dialects.openai_chat.extras import DIALECT


def decode_annotation(annotation: Mapping[str, Any]) -> Citation:
    """Annotations of other types (a parsed file, say) are kept without what others could show."""
    data = {name: value for name, value in annotation.items() if name != "index"}
    given = annotation.get("url_citation")
    cited: dict[str, Any] = given if isinstance(given, dict) else {}
    return Citation(
        dialect=DIALECT,
        data=data,
        url=_text(cited.get("url")),
        title=_text(cited.get("title")),
        cited_text=_text(cited.get("content")),
        start=_place(cited.get("start_index")),
        end=_place(cited.get("end_index")),
    )


def encode_citation(citation: Citation, start: int, end: int) -> dict[str, Any] | None:
    """``start`` and ``end`` are the characters of the answer that the citation stands behind, where its
    dialect does not say. None for a citation without a URL, which has no place here."""
    if citation.dialect == DIALECT:
        return citation.data
    if citation.url is None:
        return None
    return {
        "type": "url_citation",
        "url_citation": {
            "url": citation.url,
            "title": citation.title or citation.url,
            "start_index": start if citation.start is None else citation.start,
            "end_index": end if citation.end is None else citation.end,
        },
    }


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _place(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
