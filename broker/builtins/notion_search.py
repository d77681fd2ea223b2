"""Searching Notion by title (Notion API reference: Search by title)."""

from typing import Any

from broker.builtins.answers import at, listed, picked
from broker.builtins.builtin import Builtin, Invocation
from broker.builtins.fields import count, fields, text
from broker.builtins.notion import API, CONNECTOR, ERRORS, TOKEN, headers, title_of


async def run(call: Invocation) -> Any:
    body: dict[str, Any] = {"query": call.input["query"], "page_size": call.input.get("count", 10)}
    if "kind" in call.input:
        body["filter"] = {"property": "object", "value": call.input["kind"]}
    found = await call.http.ask(
        "POST", f"{API}/search", json=body, headers=headers(call), errors=ERRORS, repeatable=True
    )
    return {
        "results": [
            {
                "title": title_of(item),
                **picked(item, kind="object", id="id", url="url", edited="last_edited_time"),
            }
            for item in listed(at(found, "results"))
        ],
        "has_more": bool(at(found, "has_more")),
    }


TOOL = Builtin(
    slug="notion-search",
    display_name="Notion search",
    brand="Notion",
    description="Finds pages and data sources in Notion by their titles.",
    input_schema=fields(
        "query",
        query=text("Words of the title", most=500),
        kind={"type": "string", "enum": ["page", "data_source"], "description": "Both if left out"},
        count=count("How many results", 50, 10),
    ),
    config_schema=fields("token", token=TOKEN),
    run=run,
    retry_safe=True,
    connector=CONNECTOR,
)
