"""Token answers in the shapes that vendors really send."""

from typing import Any

import pytest

from connectors.token_answer import at_path, read_tokens
from connectors.token_target import TokenPaths, TokenTarget, token_headers, token_target


def target(**changes: Any) -> TokenTarget:
    return TokenTarget(issuer="https://v.example", token_endpoint="https://v.example/token", **changes)


NESTED = TokenPaths(
    access_token="authed_user.access_token",
    refresh_token="authed_user.refresh_token",
    expires_in="authed_user.expires_in",
    scope="authed_user.scope",
    account_name="team.name",
    api_url="urls.0.api",
)


@pytest.mark.parametrize(
    ("expires_in", "changes", "lifetime"),
    [
        (3600, {}, 3600),
        ("7200", {}, 7200),
        (None, {}, None),
        (None, {"token_lifetime_s": 900}, 900),
        (0, {"tokens_expire": False}, None),
        (60, {"tokens_expire": False}, 60),
        (True, {}, None),
    ],
)
def test_how_long_a_token_lives(expires_in: Any, changes: dict[str, Any], lifetime: int | None) -> None:
    tokens = read_tokens({"access_token": "a", "expires_in": expires_in}, target(**changes))
    assert tokens is not None and tokens.expires_in == lifetime


@pytest.mark.parametrize("scope", ["read write", "read,write", "read, write", ["read", "write"]])
def test_scopes_are_split_however_the_vendor_joins_them(scope: Any) -> None:
    tokens = read_tokens({"access_token": "a", "scope": scope}, target())
    assert tokens is not None and tokens.scopes == ("read", "write")


def test_a_nested_answer_is_read_where_the_catalogue_says() -> None:
    body = {
        "ok": True,
        "access_token": "the-bot's",
        "authed_user": {"access_token": "theirs", "refresh_token": "r", "expires_in": 5, "scope": "a,b"},
        "team": {"name": "Acme"},
        "urls": [{"api": "https://eu.v.example"}],
    }
    tokens = read_tokens(body, target(answer=NESTED))
    assert tokens is not None
    assert (tokens.access_token, tokens.refresh_token, tokens.expires_in) == ("theirs", "r", 5)
    assert (tokens.scopes, tokens.account_name) == (("a", "b"), "Acme")
    assert tokens.api_url == "https://eu.v.example"
    assert "theirs" not in repr(tokens)
    assert read_tokens({"access_token": "the-bot's"}, target(answer=NESTED)) is None


def test_a_vendor_without_refresh_tokens_has_none_kept() -> None:
    tokens = read_tokens({"access_token": "a", "refresh_token": "r"}, target(refreshes=False))
    assert tokens is not None and tokens.refresh_token is None


@pytest.mark.parametrize("path", ["a.b.c", "list.9", "list.x", "text.0"])
def test_a_path_into_nothing_is_nothing(path: str) -> None:
    assert at_path({"a": {"b": 1}, "list": [1], "text": "t"}, path) is None


def test_what_a_connection_keeps_is_what_it_reads_back() -> None:
    kept = target(answer=NESTED, headers={"x-token": "{access_token}"}, refresh_params={"a": "{b}"})
    assert token_target(kept.kept()) == kept
    assert set(target().kept()) == {"issuer", "token_endpoint"}
    assert token_headers(kept, {"access_token": "t"}) == {"x-token": "t"}


def test_connections_of_before_are_read_as_they_were_kept() -> None:
    old = {
        "issuer": "https://a.example",
        "token_endpoint": "https://a.example/t",
        "revocation_endpoint": None,
        "resource": "https://mcp.example",
    }
    assert token_target(old).resource == "https://mcp.example"
    assert token_headers(token_target(old), {"access_token": "t"}) == {"authorization": "Bearer t"}
