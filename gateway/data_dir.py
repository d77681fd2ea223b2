"""The folder that holds the database and the vault key."""

from gateway.settings import DATABASE_FILE, BadSettings, Settings


def prepare_data_dir(settings: Settings) -> None:
    """Make the data folder and the file of its database, readable by their owner only. Raises BadSettings."""
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        if settings.database_url is None:
            (settings.data_dir / DATABASE_FILE).touch(mode=0o600, exist_ok=True)
    except OSError as error:
        raise BadSettings(f"cannot use the data folder {settings.data_dir}: {error.strerror}") from None
