"""What a person sees at the terminal: the first start, and one clear line for what goes wrong."""

import base64
import re
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.commands import heddle
from tests.e2e.processes import HeddleProcess, free_port


def the_one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    return lines[0]


def shown_keys(process: HeddleProcess) -> list[str]:
    """The keys that were printed, once all of the greeting was: it comes just after the first answer."""
    starts = process.starts
    for _ in range(200):
        output = process.output.read_text()
        if output.count("providers: ") == starts:
            break
        time.sleep(0.05)
    time.sleep(0.2)
    return re.findall(r"ak_live_[0-9a-f]{64}", process.output.read_text())


def test_the_first_start_prints_the_admin_key_once(tmp_path: Path) -> None:
    process = HeddleProcess.as_users_do(tmp_path)
    del process.environment["HEDDLE_BOOTSTRAP_ADMIN_KEY"]
    process.start()
    found = shown_keys(process)
    assert len(found) == 1
    with process.client(found[0]) as client:
        assert client.get("/v1/keys").status_code == 200
    assert process.stop() == 0
    process.start()
    assert shown_keys(process) == found
    process.close()


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = the_one_line(heddle(tmp_path, "serve", "--port", str(port)))
    assert str(port) in line
    assert "in use" in line


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"HEDDLE_PORT": "eighty"}, "HEDDLE_PORT"),
        ({"HEDDLE_VAULT_KEYS": "v1:short"}, "vault key v1"),
        ({"HEDDLE_VAULT_KEY_FILE": "/nonexistent/vault.key"}, "/nonexistent/vault.key"),
        ({"HEDDLE_DATABASE_URL": "mysql://localhost/x"}, "mysql"),
        ({"HEDDLE_DATABASE_URL": "postgresql://heddle:s3cret@127.0.0.1:1/x"}, "cannot use the database"),
        ({"HEDDLE_ALLOW_PRIVATE_TARGETS": "everything"}, "HEDDLE_ALLOW_PRIVATE_TARGETS"),
        ({"HEDDLE_FILE": "absent.toml"}, "absent.toml"),
        ({"HEDDLE_BOOTSTRAP_ADMIN_KEY": "short"}, "16 characters"),
        ({"HEDDLE_CATALOG_DIR": "/nonexistent"}, "/nonexistent"),
        ({"HEDDLE_PUBLIC_URL": "foo"}, "HEDDLE_PUBLIC_URL"),
        ({"HEDDLE_CORS_ORIGINS": "foo"}, "HEDDLE_CORS_ORIGINS"),
        ({"HEDDLE_EVENT_PREFIX": ""}, "^[a-z][a-z0-9]{0,31}$"),
    ],
)
def test_a_bad_setting_is_one_line(tmp_path: Path, variables: dict[str, str], expected: str) -> None:
    line = the_one_line(heddle(tmp_path, "serve", "--port", str(free_port()), **variables))
    assert expected in line
    assert "s3cret" not in line


def test_an_unreadable_key_file_is_one_line(tmp_path: Path) -> None:
    key_file = tmp_path / "vault.key"
    key_file.write_bytes(b"\xff\xfe")
    key_file.chmod(0o600)
    line = the_one_line(heddle(tmp_path, "serve", "--port", "0", HEDDLE_VAULT_KEY_FILE=str(key_file)))
    assert "vault.key" in line


def test_a_lost_key_file_stops_the_start_instead_of_making_a_new_one(tmp_path: Path) -> None:
    process = HeddleProcess(tmp_path)
    process.start()
    with process.client() as client:
        body = {"name": "t", "webhook_url": "http://127.0.0.1:9/"}
        assert client.post("/v1/tools", json=body).status_code == 201
    process.stop()
    (tmp_path / "data" / "vault.key").unlink()
    line = the_one_line(heddle(tmp_path, "serve", "--port", "0"))
    assert "does not exist" in line


def test_the_keys_of_another_database_stop_the_start(tmp_path: Path) -> None:
    process = HeddleProcess(tmp_path)
    process.start()
    with process.client() as client:
        body = {"name": "t", "webhook_url": "http://127.0.0.1:9/"}
        assert client.post("/v1/tools", json=body).status_code == 201
    process.stop()
    key = base64.b64encode(bytes(32)).decode()
    for version, expected in (("v1", "not the one of this database"), ("v9", "sealed with vault key v1")):
        keys = {"HEDDLE_VAULT_KEYS": f"{version}:{key}"}
        assert expected in the_one_line(heddle(tmp_path, "serve", "--port", "0", **keys))


def test_a_file_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "heddle.db").write_text("garbage " * 100)
    assert "not a database" in the_one_line(heddle(tmp_path, "serve", "--port", "0"))


def test_the_database_is_its_owners_alone(tmp_path: Path) -> None:
    assert heddle(tmp_path, "migrate").returncode == 0
    assert (tmp_path / "data" / "heddle.db").stat().st_mode & 0o077 == 0


def test_what_was_typed_is_never_taken_for_markup(tmp_path: Path) -> None:
    assert "[red]5" in the_one_line(heddle(tmp_path, "credits", "grant", "[red]5"))
    assert "[a].toml" in the_one_line(heddle(tmp_path, "serve", "--config", "[a].toml"))


def test_the_version_is_shown(tmp_path: Path) -> None:
    assert re.fullmatch(r"heddle \d+\.\d+\.\d+\n", heddle(tmp_path, "--version").stdout)


@pytest.mark.parametrize("command", [(), ("serve",), ("demo",), ("migrate",), ("ledger", "verify")])
def test_help_is_friendly(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = heddle(tmp_path, *command, "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout


def test_credit_is_granted_and_the_ledger_verified(tmp_path: Path) -> None:
    process = HeddleProcess(tmp_path)
    process.start()
    process.stop()
    granted = heddle(tmp_path, "credits", "grant", "12.50", "--reference", "invoice 7")
    assert "17.5 USD" in granted.stdout, granted.stderr
    verified = heddle(tmp_path, "ledger", "verify")
    assert verified.returncode == 0
    assert "sound" in verified.stdout
    assert "between" in the_one_line(heddle(tmp_path, "credits", "grant", "0"))
    assert "AMOUNT" in the_one_line(heddle(tmp_path, "credits", "grant", "NaN"))


def test_an_idle_connection_is_kept_as_long_as_the_setting_says(tmp_path: Path) -> None:
    process = HeddleProcess(tmp_path, HEDDLE_KEEP_ALIVE_S="1")
    process.start()
    with socket.create_connection(("127.0.0.1", process.port), timeout=20) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: heddle\r\n\r\n")
        answer = b""
        while not answer.endswith(b"}"):
            answer += connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 200")
        idle_since = time.monotonic()
        assert connection.recv(65536) == b""
        assert time.monotonic() - idle_since > 0.9
    process.close()


def test_test_mode_runs_beside_real_providers(tmp_path: Path) -> None:
    """Without anybody having asked for the simulated provider: live keys do not see it."""
    process = HeddleProcess(tmp_path, ANTHROPIC_API_KEY="real", ANTHROPIC_BASE_URL="http://127.0.0.1:9")
    process.start()
    call = {"max_tokens": 20, "messages": [{"role": "user", "content": "hello"}]}
    with process.client() as live:
        secret = live.post("/v1/keys", json={"name": "t", "mode": "test"}).json()["secret"]
        hidden = live.post("/v1/messages", json={"model": "sim-small", **call})
        assert hidden.json()["error"]["code"] == "model_not_found"
        with process.client(secret) as test:
            for model in ("claude-sonnet-4-5", "sim-small"):
                answer = test.post("/v1/messages", json={"model": model, **call})
                assert "You said: hello" in answer.text, answer.text
    assert "providers: anthropic\n" in process.output.read_text()
    process.close()


def test_a_second_server_on_the_same_file_is_one_line(tmp_path: Path) -> None:
    """It would take the first one's holds and turns for what a dead process left."""
    process = HeddleProcess(tmp_path)
    process.start()
    second = heddle(tmp_path, "serve", HEDDLE_PORT=str(free_port()))
    assert "another heddle serves" in the_one_line(second)
    process.kill()
    process.start()  # what a killed one held is free at once
    process.close()
