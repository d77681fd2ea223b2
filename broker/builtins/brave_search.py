"""Web search by Brave (Brave Search API: GET /res/v1/web/search)."""

from typing import Any

from broker.builtins.answers import listed, picked
from broker.builtins.builtin import Builtin, Invocation
from broker.builtins.fields import count, fields, secret, text

URL = "https://api.search.brave.com/res/v1/web/search"


async def run(call: Invocation) -> Any:
    params = {"q": call.input["query"], "count": str(call.input.get("count", 5)), "text_decorations": "false"}
    if "country" in call.config:
        params["country"] = call.config["country"]
    found = await call.http.ask(
        "GET",
        URL,
        params=params,
        headers={"x-subscription-token": call.config["api_key"]},
        errors=("error.detail", "message"),
    )
    pages = listed((found or {}).get("web", {}).get("results"))
    return {
        "results": [
            picked(page, title="title", url="url", text="description", age="page_age") for page in pages
        ]
    }


TOOL = Builtin(
    slug="web-search",
    aliases=("web-search-brave",),
    display_name="Web search (Brave)",
    brand="Brave Search",
    description="Searches the web. Returns titles, addresses and excerpts of pages.",
    input_schema=fields(
        "query",
        query=text("What to search for", most=400),
        count=count("How many results", 20, 5),
    ),
    config_schema=fields(
        "api_key",
        api_key=secret("Subscription token of the Brave Search API"),
        country=text("Where results come from: two letters, such as DE", most=2, pattern="^[A-Z]{2}$"),
    ),
    run=run,
    retry_safe=True,
)
