"""Searching GitHub (GitHub REST API: Search)."""

from typing import Any

from broker.builtins.answers import at, listed, picked
from broker.builtins.builtin import Builtin, Invocation
from broker.builtins.fields import count, fields, text
from broker.builtins.github import API, CONNECTOR, ERRORS, TOKEN, headers

PATHS = {"issues": "issues", "pull_requests": "issues", "repositories": "repositories", "code": "code"}
QUALIFIERS = {"issues": " is:issue", "pull_requests": " is:pull-request"}
MAX_BODY_CHARS = 500


async def run(call: Invocation) -> Any:
    kind = call.input.get("kind", "issues")
    scope = call.config.get("scope")
    query = call.input["query"] + QUALIFIERS.get(kind, "") + (f" {scope}" if scope else "")
    found = await call.http.ask(
        "GET",
        f"{API}/search/{PATHS[kind]}",
        params={"q": query, "per_page": str(call.input.get("count", 10))},
        headers=headers(call),
        errors=ERRORS,
    )
    return {
        "total": at(found, "total_count"),
        "results": [_shown(item) for item in listed(at(found, "items"))],
    }


def _shown(item: dict[str, Any]) -> dict[str, Any]:
    shown = picked(
        item,
        title="title",
        name="full_name",
        path="path",
        repository="repository.full_name",
        url="html_url",
        number="number",
        state="state",
        author="user.login",
        description="description",
        updated_at="updated_at",
        text="body",
    )
    if isinstance(shown.get("text"), str):
        shown["text"] = shown["text"][:MAX_BODY_CHARS]
    return shown


TOOL = Builtin(
    slug="github-search",
    display_name="GitHub search",
    brand="GitHub",
    description="Searches GitHub for issues, pull requests, repositories or code.",
    input_schema=fields(
        "query",
        query=text("Words and qualifiers, such as: timeout repo:owner/name state:open", most=256),
        kind={"type": "string", "enum": list(PATHS), "description": "What to search for; issues if left out"},
        count=count("How many results", 50, 10),
    ),
    config_schema=fields(
        "token",
        token=TOKEN,
        scope=text("Qualifiers that every search has, such as org:acme", most=100),
    ),
    run=run,
    retry_safe=True,
    connector=CONNECTOR,
)
