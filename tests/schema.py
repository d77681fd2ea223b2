"""Creates the schema in a test database."""

import importlib

from sqlmodel import SQLModel

from kit.db import parse_database_url, sync_engine

TABLES = (
    "vault.models",
    "connectors.models",
    "broker.models",
    "threads.models",
    "gateway.accounts.models",
    "gateway.billing.models",
)


def create_schema(url: str) -> None:
    for module in TABLES:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not module.startswith(error.name):
                raise
    engine = sync_engine(parse_database_url(url))
    SQLModel.metadata.create_all(engine)
    engine.dispose()
