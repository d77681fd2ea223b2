"""A library of more than a thousand tools as their vendors describe them, and what people want of them.

``families.txt`` has the tools, ``intents.txt`` what somebody says and which tool is meant. The intents were
written down before there was any ranking; those of ``fresh.txt`` when it was done, and it was not
changed for them.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_NUMBERS = {"limit", "count", "amount", "max_results", "page_size", "days", "depth", "priority", "quantity"}
_LISTS = {"labels", "assignees", "attendees", "reviewers", "tags", "members", "files", "users", "fields"}
_FLAGS = {"draft", "private", "is_private", "full_page", "dry_run", "public", "sensitive"}
_ABOUT = {
    "owner": "Account that owns the repository.",
    "repo": "Name of the repository.",
    "query": "What to look for.",
    "limit": "How many to return at most.",
    "title": "Title, as people will see it.",
    "body": "Text, in Markdown.",
    "labels": "Names of labels.",
    "assignees": "Login names of those who are to work on it.",
    "start": "When it begins (RFC 3339).",
    "end": "When it ends (RFC 3339).",
    "attendees": "Email addresses of the participants.",
    "to": "Recipient.",
    "amount": "Amount in the smallest unit of the currency.",
    "currency": "Three-letter ISO code.",
}
_SAID = {
    "c": ("create", "Create a new {thing}.", "Creates {a} {thing}."),
    "g": ("get", "Get the details of {a} {thing} by its identifier.", "Retrieves {a} {thing}."),
    "l": ("list", "List {things}, with paging.", "Returns the {things} that can be seen, page by page."),
    "s": ("search", "Search for {things} by keywords.", "Finds {things} that match a query."),
    "u": ("update", "Update {a} {thing}. Only the given fields change.", "Modifies {a} existing {thing}."),
    "d": ("delete", "Delete {a} {thing} permanently.", "Removes {a} {thing}."),
}


@dataclass(frozen=True)
class LibraryTool:
    name: str
    """``service/tool``, in the service's own style."""
    description: str
    input_schema: dict[str, Any]


@dataclass(frozen=True)
class Intent:
    text: str
    right: frozenset[str]
    """The tools that do it: any of them."""


@cache
def tools() -> dict[str, LibraryTool]:
    """By name in snake case, which is what intents go by."""
    found: dict[str, LibraryTool] = {}
    service, title, style = "", "", ""
    for line in _lines("families.txt"):
        if line.startswith("["):
            service, title, style = (part.strip() for part in line[1:-1].split(","))
            continue
        for snake, description, parameters in _expanded(line, title):
            key = f"{service}/{snake}"
            assert key not in found, f"{key} is there twice"
            name = f"{service}/{_styled(snake, style)}"
            found[key] = LibraryTool(name, description, _schema(parameters, snake))
    return found


@cache
def intents() -> tuple[list[Intent], list[Intent]]:
    """Those to tune by, and those held out."""
    found = _intents("intents.txt")
    return found[::2], found[1::2]


@cache
def fresh() -> list[Intent]:
    """Those that were written down when the ranking was done."""
    return _intents("fresh.txt")


def _intents(name: str) -> list[Intent]:
    known = tools()
    found = []
    for line in _lines(name):
        text, _, right = line.partition(" => ")
        found.append(Intent(text, frozenset(known[one.strip()].name for one in right.split("|"))))
    return found


def _lines(name: str) -> list[str]:
    lines = (line.strip() for line in (_HERE / name).read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _expanded(line: str, title: str) -> list[tuple[str, str, list[str]]]:
    """The tools of one line: name in snake case, description, parameters."""
    if line.startswith("!"):
        name, described = line[1:].strip().split(": ", 1)
        description, _, parameters = described.rpartition(":")
        return [(_snake(name), description.strip(), _split(parameters))]
    thing, verbs, what, parameters = (part.strip() for part in line.split(":"))
    voice = 1 + len(title) % 2
    made = []
    for verb in verbs:
        named = (_plural(thing) if verb in "ls" else thing).replace(" ", "_")
        article = "an" if thing[0] in "aeiou" else "a"
        said = _SAID[verb][voice].format(thing=thing, things=_plural(thing), a=article)
        description = f"{said} {title}: {what}." if verb in "cls" else f"{said} In {title}."
        own = _split(parameters)
        if verb in "gd":
            own = [*own[:2], f"{thing.replace(' ', '_')}_id"]
        elif verb in "ls":
            own = [*own[:2], "query" if verb == "s" else "cursor", "limit"]
        made.append((f"{_SAID[verb][0]}_{named}", description, list(dict.fromkeys(own))))
    return made


def _split(parameters: str) -> list[str]:
    return [part.strip() for part in parameters.split(",") if part.strip()]


def _plural(thing: str) -> str:
    if thing.endswith("y") and thing[-2] not in "aeiou":
        return f"{thing[:-1]}ies"
    return f"{thing}es" if thing.endswith(("s", "x", "ch", "sh")) else f"{thing}s"


def _snake(name: str) -> str:
    return re.sub(r"([A-Z])", lambda found: f"_{found.group(1).lower()}", name).replace("-", "_")


def _styled(snake: str, style: str) -> str:
    if style == "kebab":
        return snake.replace("_", "-")
    if style == "camel":
        return re.sub(r"_(\w)", lambda found: found.group(1).upper(), snake)
    return snake


def _schema(parameters: list[str], tool: str) -> dict[str, Any]:
    def described(name: str) -> dict[str, Any]:
        about = _ABOUT.get(name, f"The {name.replace('_', ' ')}.")
        if name in _NUMBERS:
            return {"type": "integer", "description": about}
        if name in _LISTS:
            return {"type": "array", "items": {"type": "string"}, "description": about}
        return {"type": "boolean" if name in _FLAGS else "string", "description": about}

    return {
        "type": "object",
        "properties": {name: described(name) for name in parameters},
        "required": parameters[:1] if not tool.startswith(("list_", "search_")) else [],
    }
