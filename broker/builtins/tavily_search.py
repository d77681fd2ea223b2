"""Web search by Tavily (Tavily API reference: POST /search)."""

from typing import Any

from broker.builtins.answers import listed, picked
from broker.builtins.builtin import Builtin, Invocation
from broker.builtins.fields import count, fields, secret, text

URL = "https://api.tavily.com/search"


async def run(call: Invocation) -> Any:
    found = await call.http.ask(
        "POST",
        URL,
        json={
            "query": call.input["query"],
            "max_results": call.input.get("count", 5),
            "topic": call.input.get("topic", "general"),
            "search_depth": call.config.get("search_depth", "basic"),
        },
        headers={"authorization": f"Bearer {call.config['api_key']}"},
        errors=("detail.error", "detail"),
        repeatable=True,
    )
    pages = listed((found or {}).get("results"))
    return {
        "results": [
            picked(page, title="title", url="url", text="content", age="published_date") for page in pages
        ]
    }


TOOL = Builtin(
    slug="web-search-tavily",
    display_name="Web search (Tavily)",
    brand="Tavily",
    description="Searches the web. Returns titles, addresses and the relevant content of pages.",
    input_schema=fields(
        "query",
        query=text("What to search for", most=400),
        count=count("How many results", 20, 5),
        topic={"type": "string", "enum": ["general", "news", "finance"], "description": "What kind of pages"},
    ),
    config_schema=fields(
        "api_key",
        api_key=secret("API key of Tavily"),
        search_depth={"type": "string", "enum": ["basic", "advanced"], "description": "advanced costs more"},
    ),
    run=run,
    retry_safe=True,
)
