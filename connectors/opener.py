"""The page that opened a connect link in a popup: the one origin that is told how it ended."""

import re
from urllib.parse import urlsplit

from kit.errors import InvalidRequest

LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1"}
_HOST = re.compile(r"[a-z0-9.-]+|[0-9a-f:.]+", re.ASCII)
EXPECTED = "opener_origin: expected an origin such as https://app.example (https, or http on this machine)"


def checked_origin(origin: str) -> str:
    """The origin as browsers write it (RFC 6454, section 6.1). Raises InvalidRequest for anything else, since
    a message to what is no exact origin would reach nobody, or everybody."""
    try:
        parts = urlsplit(origin)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InvalidRequest(EXPECTED, param="opener_origin") from None
    if not host or not _HOST.fullmatch(host):
        raise InvalidRequest(EXPECTED, param="opener_origin")
    if parts.scheme != "https" and (parts.scheme != "http" or host not in LOCAL_HOSTS):
        raise InvalidRequest(EXPECTED, param="opener_origin")
    shown = f"[{host}]" if ":" in host else host
    usual = {"https": 443, "http": 80}[parts.scheme]
    exact = f"{parts.scheme}://{shown}" + (f":{port}" if port not in {None, usual} else "")
    if origin.lower() not in {exact, f"{exact}:{usual}"}:
        raise InvalidRequest(EXPECTED, param="opener_origin")
    return exact
