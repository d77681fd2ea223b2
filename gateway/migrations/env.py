"""Alembic's entry point: runs the migrations in one transaction on the engine that ``migrate`` made.

Of several processes that start together one migrates; the others wait and find it done.
"""

from alembic import context

from gateway.migrations.tables import METADATA, declared_here
from kit.db import one_at_a_time

with context.config.attributes["engine"].connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        transactional_ddl=True,  # on SQLite, too, where Alembic would end the transaction after each revision
        include_name=declared_here,
    )
    with context.begin_transaction():
        one_at_a_time(connection, "migration")
        context.run_migrations()
    connection.commit()
