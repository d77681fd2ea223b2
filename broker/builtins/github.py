"""What the GitHub tools have in common (GitHub REST API, version 2022-11-28)."""

from broker.builtins.builtin import Invocation
from broker.builtins.fields import secret

API = "https://api.github.com"
ERRORS = ("message", "errors*")
CONNECTOR = "github"
TOKEN = secret("Personal access token of GitHub")
REPOSITORY = r"^[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}$"


def headers(call: Invocation) -> dict[str, str]:
    return {
        "accept": "application/vnd.github+json",
        "x-github-api-version": "2022-11-28",
        **(call.own or {"authorization": f"Bearer {call.config['token']}"}),
    }
