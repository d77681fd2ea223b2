"""Opening issues on GitHub (GitHub REST API: Create an issue)."""

from typing import Any

from broker.builtins.answers import picked, segment
from broker.builtins.builtin import Builtin, Invocation
from broker.builtins.fields import fields, text, texts
from broker.builtins.github import API, CONNECTOR, ERRORS, REPOSITORY, TOKEN, headers


async def run(call: Invocation) -> Any:
    owner, _, name = call.setting("repository").partition("/")
    answer = await call.http.ask(
        "POST",
        f"{API}/repos/{segment(owner)}/{segment(name)}/issues",
        json=call.given("title", "body", "labels", "assignees"),
        headers=headers(call),
        errors=ERRORS,
    )
    return picked(answer, number="number", url="html_url", state="state")


TOOL = Builtin(
    slug="github-issue",
    aliases=("github-create-issue",),
    display_name="GitHub issue",
    brand="GitHub",
    description="Opens an issue in a GitHub repository.",
    input_schema=fields(
        "title",
        title=text("The title", most=256),
        body=text("The description, in markdown", most=65_536),
        repository=text("owner/name; the configured one if left out", most=201, pattern=REPOSITORY),
        labels=texts("Labels", each=50),
        assignees=texts("Logins of who is to do it", most=10, each=39),
    ),
    config_schema=fields(
        "token",
        token=TOKEN,
        repository=text("owner/name for issues that name none", most=201, pattern=REPOSITORY),
    ),
    run=run,
    retry_safe=False,
    connector=CONNECTOR,
)
