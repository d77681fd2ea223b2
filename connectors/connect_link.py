"""What a connect session is to those outside: its link, why a link cannot be used, and how a flow ended."""

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from connectors.models import ConnectSession


@dataclass(frozen=True)
class ConnectLink:
    """What a developer gets: the link is the only place where its token exists in clear."""

    id: str
    connect_url: str = field(repr=False)
    expires_at: int


class LinkUnusable(Exception):
    """The link, or the callback, cannot be used; ``reason`` is one of the kind pages."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Declined:
    """Who did not want to connect what."""

    account_id: str
    connector: str
    end_user_id: str
    label: str = ""


@dataclass(frozen=True)
class FlowEnd:
    """Where a flow ended: ``connected``, ``cancelled`` or ``failed``."""

    status: str
    session: ConnectSession
    connection_id: str | None = None
    problem: str | None = None

    @property
    def redirect(self) -> str | None:
        """The developer's ``return_url`` with the outcome, or None if there is none."""
        if self.session.return_url is None:
            return None
        parts = urlsplit(self.session.return_url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        query["status"] = self.status
        if self.connection_id is not None:
            query["connection_id"] = self.connection_id
        return urlunsplit(parts._replace(query=urlencode(query)))
