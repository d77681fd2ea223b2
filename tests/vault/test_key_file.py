"""The key file: private, read anew when it changes, and its keys wrapped by a service if there is one."""

import base64
import os
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from vault.aws_kms import AwsKms
from vault.key_file import LOOK_EVERY_S, KeyFile
from vault.keyring import BadKeyRing


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vault.key"


def test_a_key_file_is_private_and_read_back(path: Path) -> None:
    made = KeyFile.generate(path).current()
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert KeyFile(path).current().key("v1") == made.key("v1")
    with pytest.raises(BadKeyRing, match="cannot write"):
        KeyFile.generate(path)


def test_a_key_file_open_to_others_is_refused(path: Path) -> None:
    KeyFile.generate(path)
    path.chmod(0o644)
    with pytest.raises(BadKeyRing, match="chmod 600"):
        KeyFile(path)
    with pytest.raises(BadKeyRing, match="cannot read"):
        KeyFile(path.with_name("absent"))


def test_keys_are_added_on_top_and_dropped_when_they_are_not_the_newest(path: Path) -> None:
    file = KeyFile.generate(path)
    first = file.current().key("v1")
    assert (file.add_key(), file.add_key()) == ("v2", "v3")
    assert file.current().versions == ["v3", "v2", "v1"] and file.current().key("v1") == first
    with pytest.raises(BadKeyRing, match="newest"):
        file.drop_key("v3")
    with pytest.raises(BadKeyRing, match="no key v9"):
        file.drop_key("v9")
    file.drop_key("v1")
    assert KeyFile(path).current().versions == ["v3", "v2"]
    assert file.add_key() == "v4"  # never the name of a key that is still there
    assert os.stat(path).st_mode & 0o777 == 0o600 and [*path.parent.iterdir()] == [path]


def test_another_process_sees_a_new_key(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = KeyFile.generate(path)
    KeyFile(path).add_key()
    assert here.current().newest == "v1"  # it looks once a second
    assert here.reloaded().newest == "v2"  # unless it meets a secret of a key that it does not know
    KeyFile(path).add_key()
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + LOOK_EVERY_S + 0.1)
    assert here.current().newest == "v3"


@pytest.mark.parametrize("content", ["", "v1:AAAA", "nonsense", "v1:\xff", "v1:aws-kms:AAAA"])
def test_a_file_that_becomes_unreadable_leaves_the_keys_as_they_were(
    path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = KeyFile.generate(path)
    key = file.current().key("v1")
    path.write_text(content, encoding="latin-1")
    assert file.reloaded().key("v1") == key
    assert "goes on with the keys that it has" in caplog.text
    with pytest.raises(BadKeyRing, match=r"vault\.key"):
        KeyFile(path)
    path.unlink()
    assert file.reloaded().key("v1") == key


@pytest.fixture
def kms_key(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with mock_aws():
        yield boto3.client("kms").create_key()["KeyMetadata"]["Arn"]


def test_keys_wrapped_by_aws_kms(path: Path, kms_key: str) -> None:
    file = KeyFile.generate(path, AwsKms(kms_key))
    assert file.add_key() == "v2"
    keys = [file.current().key(version) for version in ("v1", "v2")]
    assert all(key is not None and base64.b64encode(key).decode() not in path.read_text() for key in keys)
    again = KeyFile(path, AwsKms(kms_key))
    assert [again.current().key(version) for version in ("v1", "v2")] == keys
    with pytest.raises(BadKeyRing, match="not configured"):
        KeyFile(path)


def test_an_installation_moves_to_aws_kms(path: Path, kms_key: str) -> None:
    clear = KeyFile.generate(path).current().key("v1")
    moved = KeyFile(path, AwsKms(kms_key))
    assert moved.add_key() == "v2"
    assert moved.current().key("v1") == clear and path.read_text().startswith("v2:aws-kms:")


def test_a_wrapped_key_does_not_take_another_ones_place(path: Path, kms_key: str) -> None:
    file = KeyFile.generate(path, AwsKms(kms_key))
    file.add_key()
    newest, oldest = path.read_text().splitlines()
    path.write_text(f"v1:{newest.partition(':')[2]}\nv2:{oldest.partition(':')[2]}\n")
    with pytest.raises(BadKeyRing, match="does not decrypt vault key v1"):
        KeyFile(path, AwsKms(kms_key))
    with pytest.raises(BadKeyRing, match="does not generate_data_key"):
        KeyFile.generate(path.with_name("other.key"), AwsKms("alias/nobody"))
