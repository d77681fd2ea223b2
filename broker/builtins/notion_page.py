"""Creating pages in Notion (Notion API reference: Create a page; Request limits)."""

from typing import Any

from broker.builtins.answers import picked
from broker.builtins.builtin import Builtin, Invocation
from broker.builtins.failures import BuiltinFailed
from broker.builtins.fields import fields, text
from broker.builtins.notion import API, CONNECTOR, ERRORS, ID, TOKEN, headers

MAX_TEXT = 2_000
MAX_BLOCKS = 100


async def run(call: Invocation) -> Any:
    page, source = call.input.get("parent_page_id"), call.input.get("data_source_id")
    if not page and not source:
        page, source = call.config.get("parent_page_id"), call.config.get("data_source_id")
    if bool(page) == bool(source):
        raise BuiltinFailed(
            "Name one place for the page: parent_page_id or data_source_id.", status="no_parent"
        )
    body: dict[str, Any] = {
        "parent": {"page_id": page} if page else {"data_source_id": source},
        "properties": {"title": {"title": _rich(call.input["title"])}},
        "children": _paragraphs(call.input.get("text", "")),
    }
    answer = await call.http.ask("POST", f"{API}/pages", json=body, headers=headers(call), errors=ERRORS)
    return picked(answer, id="id", url="url")


def _rich(words: str) -> list[dict[str, Any]]:
    pieces = [words[start : start + MAX_TEXT] for start in range(0, len(words), MAX_TEXT)]
    return [{"type": "text", "text": {"content": piece}} for piece in pieces]


def _paragraphs(words: str) -> list[dict[str, Any]]:
    """A block for each paragraph; what is beyond the last block that a page may have goes into that one."""
    parts = [part for part in words.split("\n\n") if part.strip()]
    if len(parts) > MAX_BLOCKS:
        parts = [*parts[: MAX_BLOCKS - 1], "\n\n".join(parts[MAX_BLOCKS - 1 :])]
    return [
        {"object": "block", "type": "paragraph", "paragraph": {"rich_text": _rich(part)}} for part in parts
    ]


TOOL = Builtin(
    slug="notion-page",
    aliases=("notion-create-page",),
    display_name="Notion page",
    brand="Notion",
    description="Creates a page in Notion, below another page or in a data source (a database's table).",
    input_schema=fields(
        "title",
        title=text("The title", most=2_000),
        text=text("The content; an empty line starts a new paragraph", most=100_000),
        parent_page_id=text("Id of the page to create it below", most=36, pattern=ID),
        data_source_id=text("Id of the data source to create it in", most=36, pattern=ID),
    ),
    config_schema=fields(
        "token",
        token=TOKEN,
        parent_page_id=text("Page for those that name no place", most=36, pattern=ID),
        data_source_id=text("Data source for those that name no place", most=36, pattern=ID),
    ),
    run=run,
    retry_safe=False,
    connector=CONNECTOR,
)
