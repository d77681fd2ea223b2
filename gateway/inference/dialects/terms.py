"""What dialects call the fields of the neutral form, so that clients read of what they wrote."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_IN_TOOL = re.compile(r"(tools\[\d+\])\.(.+)")
_PLACE = re.compile(r"(system|messages)\[(\d+)\](?:\.content\[(\d+)\])?(?:\.(content\[\d+\]))?(?:\.(.+))?")


@dataclass(frozen=True, slots=True)
class Terms:
    """A dialect's words where they differ from the neutral form's. Names are paths; the longest beginning of
    one that is here counts."""

    request: Mapping[str, str]
    tool: Mapping[str, str]
    """Within a tool."""
    block: Mapping[str, str]
    """Within a block of a message; a block itself for a field whose word is empty."""

    def of(self, name: str) -> str:
        """A field outside of messages. ``extra`` holds what was the dialect's own."""
        if name.startswith("extra."):
            return name.removeprefix("extra.")
        in_tool = _IN_TOOL.fullmatch(name)
        if in_tool is not None:
            return f"{in_tool[1]}.{_renamed(in_tool[2], self.tool)}"
        return _renamed(name, self.request)

    def within(self, block: str, field: str | None) -> str:
        """A block, or a field of it."""
        word = _renamed(field, self.block) if field else ""
        return f"{block}.{word}" if word else block

    def neutral(self, name: str) -> str:
        """The neutral name of a request's field."""
        return next((neutral for neutral, word in self.request.items() if word == name), name)


@dataclass(frozen=True, slots=True)
class Place:
    """A name in ``system`` or ``messages``: which entry, which of its blocks, which of a result's own blocks
    (``content[1]``), and the field of all that."""

    among: str
    entry: int
    block: int | None
    inner: str | None
    field: str | None

    @classmethod
    def of(cls, name: str) -> "Place | None":
        found = _PLACE.fullmatch(name)
        if found is None:
            return None
        block = None if found[3] is None else int(found[3])
        return cls(found[1], int(found[2]), block, found[4], found[5])


def _renamed(name: str, words: Mapping[str, str]) -> str:
    ends = [len(name), *(at.start() for at in reversed(list(re.finditer(r"[.\[]", name))))]
    for end in ends:
        if name[:end] in words:
            return words[name[:end]] + name[end:]
    return name
