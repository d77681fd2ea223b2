"""Registering an MCP server of the catalogue: what its entry and the developer's values make of it."""

import pytest

from broker.new_server import new_server
from broker.server_schemas import CreateServer
from connectors.catalog import Catalog, CatalogEntry
from kit.errors import InvalidRequest

ACME = CatalogEntry.model_validate(
    {
        "slug": "acme",
        "display_name": "Acme",
        "category": "other",
        "auth": "api_key",
        "server_url": "https://{workspace}.acme.example/mcp",
        "docs_url": "https://acme.example",
        "source": "the test",
        "headers": {"authorization": "Bearer {api_key}"},
        "config_schema": {
            "type": "object",
            "required": ["workspace", "api_key"],
            "properties": {"workspace": {"type": "string"}, "api_key": {"type": "string"}},
        },
    }
)


def test_the_developers_values_fill_the_servers_address_and_headers() -> None:
    body = CreateServer(catalog_slug="acme", config={"workspace": "Mine", "api_key": "k"})
    made = new_server(body, Catalog({"acme": ACME}))
    assert (made.name, made.server_url) == ("acme", "https://mine.acme.example/mcp")
    assert made.credentials == {"authorization": "Bearer k"}


@pytest.mark.parametrize("workspace", ["evil.example/", "a.b", "x@y", "ü"])
def test_a_value_that_would_change_the_host_is_refused(workspace: str) -> None:
    body = CreateServer(catalog_slug="acme", config={"workspace": workspace, "api_key": "k"})
    with pytest.raises(InvalidRequest) as refusal:
        new_server(body, Catalog({"acme": ACME}))
    assert "workspace" in (refusal.value.param or "") + refusal.value.message


def test_an_address_with_values_needs_them() -> None:
    body = CreateServer(catalog_slug="acme", auth_mode="per_user")
    with pytest.raises(InvalidRequest, match=r"config\.workspace: expected a value") as refusal:
        new_server(body, Catalog({"acme": ACME}))
    assert refusal.value.param == "config"


def test_an_api_of_the_catalogue_is_not_an_mcp_server() -> None:
    with pytest.raises(InvalidRequest, match="Google is an API, not an MCP server") as refusal:
        new_server(CreateServer(catalog_slug="google", auth_mode="per_user"), Catalog.load())
    assert refusal.value.param == "catalog_slug"
