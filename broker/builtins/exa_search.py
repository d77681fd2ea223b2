"""Web search by Exa (Exa API reference: POST /search)."""

from typing import Any

from broker.builtins.answers import listed, picked
from broker.builtins.builtin import Builtin, Invocation
from broker.builtins.fields import count, fields, secret, text

URL = "https://api.exa.ai/search"
MAX_TEXT_CHARS = 1_500


async def run(call: Invocation) -> Any:
    found = await call.http.ask(
        "POST",
        URL,
        json={
            "query": call.input["query"],
            "numResults": call.input.get("count", 5),
            "type": call.config.get("type", "auto"),
            "contents": {"text": {"maxCharacters": MAX_TEXT_CHARS}},
        },
        headers={"x-api-key": call.config["api_key"]},
        errors=("error", "message"),
        repeatable=True,
    )
    pages = listed((found or {}).get("results"))
    return {
        "results": [
            picked(page, title="title", url="url", text="text", age="publishedDate", author="author")
            for page in pages
        ]
    }


TOOL = Builtin(
    slug="web-search-exa",
    display_name="Web search (Exa)",
    brand="Exa",
    description="Searches the web by meaning. Returns titles, addresses and the text of pages.",
    input_schema=fields(
        "query",
        query=text("What to search for, as a phrase or a question"),
        count=count("How many results", 20, 5),
    ),
    config_schema=fields(
        "api_key",
        api_key=secret("API key of Exa"),
        type={"type": "string", "enum": ["auto", "fast", "deep"], "description": "How Exa searches"},
    ),
    run=run,
    retry_safe=True,
)
