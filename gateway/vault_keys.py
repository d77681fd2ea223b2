"""Where the vault's keys come from: the environment, or a file outside the database."""

from pathlib import Path

from gateway.settings import BadSettings, Settings
from vault.keyring import BadKeyRing, KeyRing

KEY_FILE = "vault.key"


def load_key_ring(settings: Settings, *, secrets_exist: bool) -> KeyRing:
    """The key ring of this installation. On the very first start a key file is generated.

    Raises BadSettings with one clear line: an unreadable or malformed file, or a missing file although
    the database holds sealed secrets (a new key could not open them).
    """
    try:
        if settings.vault_keys:
            return KeyRing.parse(settings.vault_keys)
        path = settings.vault_key_file or settings.data_dir / KEY_FILE
        if path.exists():
            return KeyRing.from_file(path)
        if settings.vault_key_file is not None or secrets_exist:
            raise BadSettings(_missing(path, secrets_exist=secrets_exist))
        return KeyRing.generate_file(path)
    except BadKeyRing as error:
        raise BadSettings(str(error)) from None
    except OSError as error:
        raise BadSettings(f"cannot read the vault key file {error.filename}: {error.strerror}") from None


def _missing(path: Path, *, secrets_exist: bool) -> str:
    why = ", though the database holds secrets that only it can open" if secrets_exist else ""
    return f"the vault key file {path} does not exist{why}; restore it or set HEDDLE_VAULT_KEYS"
