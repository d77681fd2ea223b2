"""Search, forks, and indices for long lists of threads

Revision: 0011, after 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    with op.batch_alter_table("thread") as thread:
        thread.add_column(sa.Column("forked_from", sa.String(), nullable=True))
        thread.add_column(sa.Column("forked_at_seq", sa.BigInteger(), nullable=True))
        thread.drop_index("ix_thread_account_id")
        thread.drop_index("ix_thread_end_user_id")
    op.create_index("thread_by_end_user", "thread", ["account_id", "end_user_id", "last_active_at", "id"])
    op.execute("CREATE INDEX thread_deleted ON thread (deleted_at) WHERE deleted_at IS NOT NULL")
    op.execute(
        "CREATE INDEX thread_empty ON thread (key_id, created_at) WHERE last_seq = 0 AND deleted_at IS NULL"
    )
    op.create_table(
        "search_entry",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            primary_key=True,
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("thread_id", sa.String(), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], ondelete="CASCADE"),
        sa.UniqueConstraint("message_id"),
    )
    op.create_table(
        "search_backlog",
        sa.Column("thread_id", sa.String(), nullable=False),
        sa.Column("after_seq", sa.BigInteger(), nullable=False),
        sa.Column("until_seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["thread_id"], ["thread.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("thread_id"),
    )
    op.execute(
        "INSERT INTO search_backlog (thread_id, after_seq, until_seq) "
        "SELECT id, 0, last_seq FROM thread WHERE last_seq > 0 AND deleted_at IS NULL"
    )
    if sqlite:
        _index_on_sqlite()
    else:
        _index_on_postgresql()


def downgrade() -> None:
    raise NotImplementedError("go back by restoring a backup")


def _index_on_sqlite() -> None:
    """A full-text table without a copy of the text. ``ascii`` takes everything beyond ASCII for a part of a
    word: the terms are made, and separated by spaces, before they come here."""
    op.execute(
        "CREATE VIRTUAL TABLE search_index USING fts5 "
        "(terms, content='', columnsize=0, detail=none, tokenize='ascii')"
    )
    op.execute(
        "CREATE TRIGGER search_entry_added AFTER INSERT ON search_entry BEGIN "
        "INSERT INTO search_index (rowid, terms) VALUES (new.id, new.terms); END"
    )
    op.execute(
        "CREATE TRIGGER search_entry_gone AFTER DELETE ON search_entry BEGIN "
        "INSERT INTO search_index (search_index, rowid, terms) VALUES ('delete', old.id, old.terms); END"
    )


def _index_on_postgresql() -> None:
    """The terms, and one that names a stretch of 2,048 consecutive entries: with it the newest entries can be
    asked for first, which an inverted index knows nothing about. Few rows may wait outside the index, because
    every search reads all of them."""
    op.execute(
        "CREATE FUNCTION search_lexemes(terms text, id bigint) RETURNS tsvector "
        "LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE RETURN "
        "array_to_tsvector(array_append(string_to_array(terms, ' '), chr(57346) || CAST(id >> 11 AS text)))"
    )
    op.execute(
        "CREATE INDEX search_entry_lexemes ON search_entry USING gin (search_lexemes(terms, id)) "
        "WITH (gin_pending_list_limit = 512)"
    )
