"""What is refused of a URL that a tenant chose, before anything is called."""

import pytest

from kit.errors import InvalidRequest
from kit.outbound import OutboundPolicy, parse_networks

NOTHING_PRIVATE = OutboundPolicy()
LOOPBACK = OutboundPolicy(parse_networks("loopback"))


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://localhost/",
        "https://user:pass@example.com/",
        "https://user@example.com/",
        "https://:@example.com/",
        "https://example.com\\@127.0.0.1/",
        "https://example.com/\r\nx-evil: 1",
        "https://exa\tmple.com/",
        "https://example.com/a b",
        "file:///etc/passwd",
        "gopher://example.com/",
        "ftp://example.com/",
        "unix:///var/run/docker.sock",
        "http+unix://%2Fvar%2Frun%2Fdocker.sock/info",
        "dict://example.com:11211/stat",
        "ldap://example.com/",
        "javascript:alert(1)",
        "data:text/plain,hello",
        "jar:https://example.com/a.jar!/",
        "https:example.com",
        "https:///example.com",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://localhost./",
        "https://app.localhost/",
        "https://１２７.0.0.1/",
        "https://127。0。0。1/",
        "https://[fe80::1%25eth0]/",
        "https://[::127.0.0.1]/",
        "https://[64:ff9b::a9fe:a9fe]/",
        "https://[2002:7f00:1::]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[fd00:ec2::254]/",
        "https://168.63.129.16/",
        "https://100.100.100.200/",
        "https://256.256.256.256/",
        "https://example.com:65536/",
        "https://",
        "https://example.com:notaport/",
        "//example.com/",
        "",
    ],
)
def test_urls_that_could_never_be_called_are_refused_at_registration(url: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        NOTHING_PRIVATE.check_url(url, param="webhook_url")
    assert refusal.value.param == "webhook_url"


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/", "http://localhost/", "https://127.0.0.1/"])
def test_loopback_is_for_those_who_allow_it(url: str) -> None:
    LOOPBACK.check_url(url, param="url")


@pytest.mark.parametrize("text", ["everything", "10.0.0.0/99", "10.0.0.1/8"])
def test_bad_networks_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_networks(text)
