"""Alembic's entry point: runs the migrations in one transaction on the engine that ``migrate`` made."""

from alembic import context

from gateway.migrations.tables import METADATA

with context.config.attributes["engine"].connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
