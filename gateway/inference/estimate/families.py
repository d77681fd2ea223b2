"""What providers add to the text of a request, by family of models: the table of families.toml."""

import re
import tomllib
from functools import cache, lru_cache
from importlib import resources
from typing import Any

import msgspec

from gateway.inference.estimate.images import image_tokens
from gateway.inference.estimate.media import Media

LONGEST_VIDEO_TOKENS = 1_000_000
"""A video by reference: as long as the largest context window."""
LONGEST_SOUND_S = 9.5 * 3600
"""ai.google.dev, Audio understanding: the longest that is taken."""
ITEM_TOKENS = 10_000
"""An item of an earlier answer, by reference."""
SOUND_TOKENS_PER_S = 32
VIDEO_TOKENS_PER_S = 300
"""ai.google.dev, Understand and count tokens: 263 for the pictures of a second, 32 for its sound."""


class Family(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Tokens; families.toml says what each field is."""

    text: float
    request: float
    message: float
    call: float
    entry: float
    tools: float
    tool: float
    parameter: float
    sealed: float
    answer: float
    answer_field: float
    thinking: float
    images: str
    page: float
    pages: int
    searches: bool
    """Whether the model searches the web unasked."""

    def media_tokens(self, media: Media) -> tuple[float, bool]:
        """The most that a piece of media takes, and whether that was told from its size."""
        if media.kind == "image":
            size = media.size()
            return image_tokens(self.images, size, media.detail), size is not None
        if media.kind == "document":
            pages = media.pages()
            return self.page * min(pages or self.pages, self.pages), False
        if media.kind == "item":
            return ITEM_TOKENS, False
        seconds = media.seconds()
        if media.kind == "audio":
            return SOUND_TOKENS_PER_S * (LONGEST_SOUND_S if seconds is None else seconds), False
        return LONGEST_VIDEO_TOKENS if seconds is None else VIDEO_TOKENS_PER_S * seconds, False


@lru_cache(maxsize=4_096)
def family_of(dialect: str, provider: str, model: str) -> Family:
    """The family of a model by its provider's name for it, where it is spoken to in this dialect."""
    place = f"{dialect}/{provider}/{model}".lower().replace(".", "-")
    table = _table()
    families = (name for name, fields in table["families"].items() if _matches(fields.get("match"), place))
    images = (rule for rule, pattern in table["images"].items() if _matches(pattern, place))
    fields = _inherited(table["families"], next(families, _DEFAULT))
    searches = _matches(table["searching"]["match"], place)
    return msgspec.convert({**fields, "images": next(images, "unknown"), "searches": searches}, Family)


_DEFAULT = "default"


def _matches(pattern: str | None, place: str) -> bool:
    return pattern is not None and re.search(pattern, place) is not None


def _inherited(families: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    own = families[name]
    base = {} if name == _DEFAULT else _inherited(families, own.get("like", _DEFAULT))
    return {**base, **{field: value for field, value in own.items() if field not in {"match", "like"}}}


@cache
def _table() -> dict[str, dict[str, Any]]:
    text = resources.files("gateway.inference.estimate").joinpath("families.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
