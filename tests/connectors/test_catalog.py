"""Catalogue files: the shipped ones are sound, an operator's mistakes are named."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from connectors.catalog import SHIPPED, BadCatalogEntry, Catalog, CatalogEntry, check_folders
from connectors.clients import ClientNeeded
from gateway.cli import app
from gateway.settings import BadSettings
from kit.errors import NotFound
from tests.connectors.conftest import ACCOUNT, PASTED, Desk

ENTRIES = {entry.slug: entry for entry in Catalog.load()}
WANTED = {
    *("linear", "github", "notion", "sentry", "stripe", "atlassian", "asana", "intercom", "paypal", "square"),
    *("cloudflare", "vercel", "neon", "supabase", "huggingface", "zapier", "hubspot", "monday", "clickup"),
    *("canva", "figma", "webflow", "wix", "box", "airtable", "gitlab", "posthog", "google", "microsoft"),
    *("slack", "discord", "salesforce", "zendesk", "shopify", "dropbox", "trello", "todoist", "spotify"),
}
API = """
slug = "api"
display_name = "An API"
category = "other"
kind = "api"
auth = "oauth2"
api_url = "https://{tenant}.example.com/v1"
docs_url = "https://example.com"
source = "the test"
[oauth2]
authorize_url = "https://{tenant}.example.com/authorize"
token_url = "https://{tenant}.example.com/token"
authorize_params = { audience = "{tenant}" }
[config_schema]
type = "object"
required = ["tenant"]
[config_schema.properties.tenant]
type = "string"
"""


def urls_of(entry: CatalogEntry) -> Iterator[str]:
    """Every address of an entry but its documentation's."""
    yield from filter(None, (entry.server_url, entry.api_url))
    if entry.account is not None:
        yield entry.account.url
    if entry.oauth2 is not None:
        yield from entry.oauth2.urls().values()
    if entry.client_credentials is not None:
        yield entry.client_credentials.token_url


def heddle(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


# --- what is shipped --------------------------------------------------------------------------------


def test_every_shipped_file_is_sound_and_named_after_its_slug() -> None:
    sound, problems = check_folders([SHIPPED])
    assert problems == []
    assert sound >= 110
    assert {path.stem for path in SHIPPED.glob("*.toml")} == ENTRIES.keys()


def test_the_vendors_asked_for_most_are_there() -> None:
    assert ENTRIES.keys() >= WANTED


def test_a_shipped_vendor_is_reached_by_https_alone_and_says_where_its_facts_were_read() -> None:
    for entry in ENTRIES.values():
        for url in (entry.docs_url, *urls_of(entry)):
            assert url.startswith("https://"), (entry.slug, url)
        for place in entry.source:
            assert place.startswith(("https://", "github.com/")), (entry.slug, place)


def test_names_of_shipped_vendors_are_told_apart() -> None:
    names = [(entry.display_name, entry.kind) for entry in ENTRIES.values()]
    assert len(set(names)) == len(names)


# --- what is sent -----------------------------------------------------------------------------------


def test_pasted_values_become_headers() -> None:
    assert ENTRIES["github"].header_values({"personal_access_token": "t"}) == {"authorization": "Bearer t"}
    sent = ENTRIES["zendesk"].header_values({"email": "a@b.c", "api_token": "k"})["authorization"]
    assert base64.b64decode(sent.removeprefix("Basic ")) == b"a@b.c/token:k"


def test_each_way_to_connect_asks_only_for_what_it_needs() -> None:
    zendesk = ENTRIES["zendesk"]
    assert zendesk.fields_for("oauth2")["required"] == ["subdomain"]
    assert zendesk.fields_for("api_key")["required"] == ["subdomain", "email", "api_token"]
    assert ENTRIES["posthog"].fields_for("oauth")["properties"] == {}


async def test_a_key_of_an_api_is_pasted_and_one_that_needs_a_client_says_so(desk: Desk) -> None:
    row, target = await desk.sessions.look_up((await desk.link("trello")).connect_url.rpartition("/")[2])
    assert target.auth == "api_key" and set(target.config_schema["properties"]) == {"api_key", "token"}
    await desk.sessions.paste(row, target, {"api_key": "abc", "token": "def"})
    leased = await desk.credentials.lease(ACCOUNT, "trello", "ada")
    assert leased.headers == {"authorization": 'OAuth oauth_consumer_key="abc", oauth_token="def"'}
    with pytest.raises(ClientNeeded, match="Google takes only clients that were registered by hand"):
        await desk.link("google")
    with pytest.raises(NotFound):
        await desk.link("deepwiki")


# --- an operator's own files ------------------------------------------------------------------------


def test_an_operators_entry_is_added_and_replaces_a_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(PASTED)
    (tmp_path / "b.toml").write_text(PASTED.replace('slug = "pasted"', 'slug = "linear"'))
    (tmp_path / "c.toml").write_text(API)
    catalog = Catalog.load(tmp_path)
    linear = catalog.get("linear")
    assert linear is not None and linear.display_name == "Pasted & Co"
    assert catalog.get("pasted") is not None and catalog.get("api") is not None


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("slug = ", "slugg = "), "slug: missing"),
        (("slug = ", "slugg = "), "slugg: there is no such field"),
        (('auth = "api_key"', 'auth = "magic"'), "auth: Input should be 'oauth', 'oauth2'"),
        (('category = "other"', 'category = "miscellany"'), "category: Input should be 'ai', "),
        (("{key}", "{other}"), "headers.authorization: uses other, which is not in config_schema"),
        (
            ("Bearer {key}", "Bearer"),
            "config_schema.properties.key: expected some address or header to use it",
        ),
        (('type = "object"', 'type = "array"'), "config_schema: Value error, expected an object schema"),
        (
            ('required = ["key"]', 'required = ["kee"]'),
            "config_schema.required: expected a list of key, region",
        ),
        (
            ('pattern = "^sk-"', 'pattern = "^sk-("'),
            "config_schema.properties.key.pattern: expected a regular",
        ),
        (
            ('type = "string"\nformat', 'type = "number"\nformat'),
            "config_schema.properties.key.type: Input should",
        ),
        (("[headers]", "[headers"), "file: "),
        (("http://127.0.0.1:9/mcp", "ftp://example.com"), "server_url: expected https://host/path"),
        (('server_url = "http://127.0.0.1:9/mcp"', ""), "server_url: expected the address of the MCP server"),
        (('auth = "api_key"', 'auth = "oauth2"'), "oauth2: expected this table"),
        (('auth = "api_key"', 'auth = "none"'), "headers: expected auth or other_auth to say api_key"),
        (('source = "the test"', "source = []"), "source: Tuple should have at least 1 item"),
        (('docs_url = "https://example.com"', 'docs_url = "example"'), "docs_url: String should match"),
    ],
)
def test_mistakes_name_the_file_and_the_field(
    tmp_path: Path, change: tuple[str, str], complaint: str
) -> None:
    assert change[0] in PASTED
    (tmp_path / "vendor.toml").write_text(PASTED.replace(*change, 1))
    _, problems = check_folders([tmp_path])
    assert any(str(problem).startswith(f"{tmp_path / 'vendor.toml'}: {complaint}") for problem in problems), (
        problems
    )
    with pytest.raises(BadCatalogEntry, match=r"vendor\.toml: "):
        Catalog.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            ("https://{tenant}.example.com/token", "https://{tenant}.com/token"),
            "oauth2.token_url: expected two or more fixed",
        ),
        (
            ("https://{tenant}.example.com/token", "https://api.{tenant}/token"),
            "oauth2.token_url: expected two or more fixed",
        ),
        (
            ("https://{tenant}.example.com/token", "http://{tenant}.example.com/token"),
            "oauth2.token_url: expected https",
        ),
        (
            ("https://{tenant}.example.com/token", "https://me@a.example.com"),
            "oauth2.token_url: expected https://host",
        ),
        (
            ("https://{tenant}.example.com/token", "https://{Tenant}.example.com"),
            "oauth2.token_url: expected placeholders",
        ),
        (('required = ["tenant"]', ""), "api_url: expected config_schema.required to name tenant"),
        (('audience = "{tenant}"', 'audience = "{who}"'), "oauth2.authorize_params.audience: uses who"),
        (
            ("[oauth2]", '[oauth2]\nscope_separator = ";"'),
            "oauth2.scope_separator: Input should be ' ' or ','",
        ),
        (("[oauth2]", '[oauth2]\nscopes = ["a b"]'), "oauth2.scopes.0: String should match"),
        (
            ("[oauth2]", '[oauth2]\ntoken_response = { access_token = "a..b" }'),
            "oauth2.token_response.access_token: Value",
        ),
        (
            ("[oauth2]", "[oauth2]\ntokens_expire = false\ntoken_lifetime_s = 60"),
            "oauth2.token_lifetime_s: expected none",
        ),
        (('kind = "api"', ""), "server_url: expected the address of the MCP server, or kind api"),
        (
            ('auth = "oauth2"', 'auth = "oauth2"\nother_auth = ["none"]'),
            "other_auth: expected nothing beside none",
        ),
        (
            ('type = "string"', 'type = "string"\npattern = "[a-z]+"'),
            "config_schema.properties.tenant.pattern: expected ^",
        ),
    ],
)
def test_mistakes_in_an_api_entry_are_named(tmp_path: Path, change: tuple[str, str], complaint: str) -> None:
    assert change[0] in API
    (tmp_path / "vendor.toml").write_text(API.replace(*change, 1))
    _, problems = check_folders([tmp_path])
    assert any(f"{problem.field}: {problem.message}".startswith(complaint) for problem in problems), problems


# --- heddle catalog check ---------------------------------------------------------------------------


def test_the_check_reports_everything_that_is_wrong_in_one_run(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(PASTED.replace("slug = ", "slugg = ").replace('"api_key"', '"magic"'))
    (tmp_path / "b.toml").write_text(API.replace("https://{tenant}.example.com", "https://{tenant}"))
    (tmp_path / "c.toml").write_text(PASTED)
    (tmp_path / "d.toml").write_text(PASTED)
    result = heddle("catalog", "check", tmp_path)
    assert result.exit_code == 1
    for start in (
        "a.toml: slug:",
        "a.toml: slugg:",
        "a.toml: auth:",
        "b.toml: api_url:",
        "b.toml: oauth2.token_url:",
    ):
        assert f"{tmp_path}/{start}" in result.stdout
    assert "d.toml: slug: c.toml has the same one" in result.stdout


def test_the_check_takes_the_settings_folder_and_says_when_all_is_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pasted.toml").write_text(PASTED)
    monkeypatch.setenv("HEDDLE_CATALOG_DIR", str(tmp_path))
    result = heddle("catalog", "check")
    assert (result.exit_code, result.stdout) == (0, f"{len(ENTRIES) + 1} vendors, all sound\n")
    monkeypatch.setenv("HEDDLE_CATALOG_DIR", str(tmp_path / "gone"))
    refused = heddle("catalog", "check").exception
    assert isinstance(refused, BadSettings) and "gone does not exist" in str(refused)


# --- the documentation ------------------------------------------------------------------------------


def test_the_documented_list_is_the_shipped_one() -> None:
    text = (Path(__file__).parents[2] / "docs" / "catalog.md").read_text()
    documented = [line for line in text.partition("## Shipped vendors")[2].splitlines() if "| `" in line]
    assert documented == [
        f"| `{entry.slug}` | {entry.display_name} | {entry.kind} | {', '.join(entry.auth_kinds)} "
        f"| {entry.category} |"
        for entry in sorted(ENTRIES.values(), key=lambda entry: entry.slug)
    ]
