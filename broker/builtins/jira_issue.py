"""Creating issues in Jira Cloud (Jira Cloud REST API v3: Create issue; Atlassian Document Format)."""

from typing import Any

from broker.builtins.answers import at, picked
from broker.builtins.basic_auth import basic
from broker.builtins.builtin import Builtin, Invocation
from broker.builtins.fields import fields, secret, text, texts

SITE = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
KEY = "^[A-Z][A-Z0-9_]{1,30}$"


async def run(call: Invocation) -> Any:
    config = call.config
    base = f"https://{config['site']}.atlassian.net"
    wanted: dict[str, Any] = {
        "project": {"key": call.setting("project")},
        "issuetype": {"name": call.input.get("issue_type") or config.get("issue_type", "Task")},
        **call.given("summary", "labels"),
    }
    if "description" in call.input:
        wanted["description"] = _document(call.input["description"])
    answer = await call.http.ask(
        "POST",
        f"{base}/rest/api/3/issue",
        json={"fields": wanted},
        headers=basic(config["email"], config["api_token"]),
        errors=("errorMessages.0", "errors*"),
    )
    return {**picked(answer, key="key", id="id"), "url": f"{base}/browse/{at(answer, 'key')}"}


def _document(words: str) -> dict[str, Any]:
    """Plain text as a document: paragraphs are parted by empty lines, and cannot be empty themselves."""
    paragraphs = [part.strip() for part in words.split("\n\n") if part.strip()]
    return {
        "type": "doc",
        "version": 1,
        "content": [
            {"type": "paragraph", "content": [{"type": "text", "text": part}]} for part in paragraphs
        ],
    }


TOOL = Builtin(
    slug="jira-issue",
    aliases=("jira-create-issue",),
    display_name="Jira issue",
    brand="Jira",
    description="Creates an issue in Jira.",
    input_schema=fields(
        "summary",
        summary=text("The summary, in one line", most=255, pattern=r"^[^\r\n]*$"),
        description=text("The description; an empty line starts a new paragraph", most=30_000),
        project=text("Key of the project; the configured one if left out", most=31, pattern=KEY),
        issue_type=text("Such as Task, Bug or Story; the configured one if left out", most=100),
        labels=texts("Labels without spaces", each=255),
    ),
    config_schema=fields(
        "site",
        "email",
        "api_token",
        site=text("The name before .atlassian.net", most=63, pattern=SITE),
        email=text("E-mail address of the account that the token belongs to", most=254),
        api_token=secret("API token of Atlassian"),
        project=text("Key of the project for issues that name none", most=31, pattern=KEY),
        issue_type=text("Type of issues that name none; Task if left out", most=100),
    ),
    run=run,
    retry_safe=False,
)
