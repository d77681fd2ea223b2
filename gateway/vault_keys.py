"""Where the vault's keys come from: the environment, or a file outside the database."""

from gateway.settings import BadSettings, Settings
from vault.aws_kms import AwsKms
from vault.key_file import KeyFile
from vault.keyring import BadKeyRing, KeyProvider, KeyRing

KEY_FILE = "vault.key"


def load_keys(settings: Settings, *, secrets_exist: bool) -> KeyProvider:
    """The keys of this installation. On the very first start a key file is generated.

    Raises BadSettings with one clear line: an unreadable or malformed file, or a missing file although
    the database holds sealed secrets (a new key could not open them).
    """
    try:
        if settings.vault_keys:
            if settings.vault_kms_key is not None:
                raise BadSettings(
                    "HEDDLE_VAULT_KEYS holds keys in clear: with HEDDLE_VAULT_KMS_KEY, use a key file"
                )
            return KeyRing.parse(settings.vault_keys)
        path = settings.vault_key_file or settings.data_dir / KEY_FILE
        wrapper = AwsKms(settings.vault_kms_key) if settings.vault_kms_key is not None else None
        if path.exists():
            return KeyFile(path, wrapper)
        if settings.vault_key_file is not None or secrets_exist:
            why = ", though the database holds secrets that only it can open" if secrets_exist else ""
            raise BadSettings(
                f"the vault key file {path} does not exist{why}; restore it or set HEDDLE_VAULT_KEYS"
            )
        return KeyFile.generate(path, wrapper)
    except BadKeyRing as error:
        raise BadSettings(str(error)) from None
    except OSError as error:
        raise BadSettings(f"cannot read the vault key file {error.filename}: {error.strerror}") from None
