"""Values that somebody typed never lead a vendor's address away from the vendor."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.catalog import CatalogEntry
from connectors.url_template import PLACEHOLDER, BadUrlValue, fill_url, template_faults
from tests.connectors.test_catalog import ENTRIES, urls_of

HOSTILE = [
    *("", " ", ".", "..", "a.b", "a.", ".a", "evil.com/", "evil.com#", "evil.com?", "evil.com:443/", "x@y"),
    *(
        "a:b",
        "a\\b",
        "a/../b",
        "%2e",
        "a%00",
        "a\r\nhost: evil.com",
        "a\n",
        "-a",
        "a-",
        "a" * 64,
        "a b",
        "{a}",
    ),
    *("ünïcode", "evil。com", "evil．com", "аpple", "\u202ecom", "//evil.com", "http://evil.com"),
]
TEMPLATES = [
    (entry, url, name)
    for entry in ENTRIES.values()
    for url in urls_of(entry)
    for name in dict.fromkeys(PLACEHOLDER.findall(url))
]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_value_never_gets_into_a_host(value: str) -> None:
    zendesk = ENTRIES["zendesk"]
    assert zendesk.api_url is not None
    with pytest.raises(BadUrlValue, match="subdomain"):
        zendesk.filled(zendesk.api_url, {"subdomain": value})


@settings(max_examples=300, deadline=None)
@given(
    case=st.sampled_from(TEMPLATES),
    value=st.one_of(
        st.sampled_from(HOSTILE),
        st.text(max_size=20),
        st.text("abz09-._~/@:#?%\\\r\n\u3002 ", max_size=12),
        st.from_regex(r"[a-z0-9-]{1,12}", fullmatch=True),
    ),
)
def test_no_value_moves_a_vendors_address_to_somebody_elses_host(
    case: tuple[CatalogEntry, str, str], value: str
) -> None:
    entry, template, name = case
    others = {field: entry.choices.get(field, ["good"])[0] for field in PLACEHOLDER.findall(template)}
    try:
        url = entry.filled(template, {**others, name: value})
    except BadUrlValue as error:
        assert error.field == name
        return
    parts, meant = urlsplit(url), urlsplit(template)
    assert (parts.scheme, parts.username, parts.port) == ("https", None, None)
    assert url.isascii() and url.isprintable() and " " not in url
    assert url.count("/") == template.count("/") and parts.query == meant.query
    host = parts.hostname or ""
    if f"{{{name}}}" in meant.netloc and name in entry.choices:
        assert value in entry.choices[name]
    elif "{" in meant.netloc:
        fixed = meant.netloc.rpartition("}")[2].lower()
        assert host.endswith(fixed) and host.count(".") == meant.netloc.count(".")


def test_a_value_that_fits_fills_every_place() -> None:
    zoho, okta = ENTRIES["zoho"], ENTRIES["okta"]
    assert zoho.oauth2 is not None and okta.oauth2 is not None
    assert (
        zoho.filled(zoho.oauth2.token_url, {"region": "com.au"})
        == "https://accounts.zoho.com.au/oauth/v2/token"
    )
    assert (
        okta.filled(okta.oauth2.token_url, {"subdomain": "Acme-1"})
        == "https://acme-1.okta.com/oauth2/v1/token"
    )
    with pytest.raises(BadUrlValue, match=r"region: expected one of com, com\.au"):
        zoho.filled(zoho.oauth2.token_url, {"region": "evil.com"})


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        ("https://{a}.example.com/x?y={b}", None),
        ("https://api-{a}.example.com:8443", None),
        ("https://example.com/{a}/{b}.json", None),
        ("https://accounts.example.{choice}/x", None),
        ("http://127.0.0.1:1/x", None),
        ("http://[::1]:1/x", None),
        ("https://{a}", "two or more fixed labels"),
        ("https://{a}.com", "two or more fixed labels"),
        ("https://{choice}.{a}.com", "two or more fixed labels"),
        ("http://example.com", "expected https"),
        ("http://localhost.example.com", "expected https"),
        ("https://example.com:{a}/", "expected https://host/path"),
        ("https://{a}@example.com/", "expected https://host/path"),
        ("https://example.com/#x", "expected https://host/path"),
        ("{a}://example.com/", "expected https://host/path"),
        ("https://a..example.com/", "expected a host name"),
        ("https://example.com/{A}", "expected placeholders"),
        ("https://{a}}.example.com/", "expected placeholders"),
    ],
)
def test_a_template_may_not_leave_its_host_to_a_value(template: str, fault: str | None) -> None:
    found = list(template_faults(template, {"choice": ["com", "co.uk"]}))
    assert (not found) if fault is None else (len(found) == 1 and fault in found[0])


def test_a_label_made_of_parts_stays_a_label() -> None:
    assert fill_url("https://api-{a}.example.com/", {"a": "eu"}, {}) == "https://api-eu.example.com/"
    with pytest.raises(BadUrlValue, match="a value that makes a host name"):
        fill_url("https://api-{a}.example.com/", {"a": "x" * 62}, {})
    for dots in (".", ".."):
        with pytest.raises(BadUrlValue, match="letters, digits and"):
            fill_url("https://example.com/{a}/x", {"a": dots}, {})
