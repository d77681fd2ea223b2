"""One namespace of names per account: webhook tools and MCP servers share it, operator servers stand above.

``server/tool`` names need no row of their own: a slash is in no webhook tool's and no server's name.
"""

from sqlalchemy import text
from sqlmodel import Session, select

from broker.models import McpServer, Tool
from kit.errors import Conflict


def claim_name(session: Session, account_id: str, name: str, reserved: frozenset[str]) -> None:
    """Make sure, inside the write that takes it, that a name is free. Raises Conflict.

    Two tables cannot share a unique constraint, so claims of one account wait for each other: SQLite's
    writes do anyway, PostgreSQL's by an advisory lock that ends with the transaction.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.connection().execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"),
            {"key": f"tool-names:{account_id}"},
        )
    if name in reserved:
        raise taken(name, "an MCP server of the operator")
    for table, what in ((Tool, "a tool"), (McpServer, "an MCP server")):
        if session.exec(select(table.id).where(table.account_id == account_id, table.name == name)).first():
            raise taken(name, what)


def taken(name: str, what: str) -> Conflict:
    return Conflict(f"there is {what} named {name} already", code="name_taken", param="name")
