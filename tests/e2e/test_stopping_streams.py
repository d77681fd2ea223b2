"""A process that is told to stop ends its streams after whole frames, and another one goes on with them."""

import signal
import threading
from pathlib import Path

import httpx

from tests.e2e.processes import HeddleProcess
from tests.threads.streams.client import TurnClient


class Reader:
    """Reads an endless stream in the background."""

    def __init__(self, client: httpx.Client, method: str, path: str, **request: object) -> None:
        self.data, self.headers = b"", httpx.Headers()
        self.error: httpx.HTTPError | None = None
        self._begun = threading.Event()
        self._ask = (client, method, path, request)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        assert self._begun.wait(20)

    def _read(self) -> None:
        client, method, path, request = self._ask
        try:
            with client.stream(method, path, **request) as response:  # type: ignore[arg-type]
                self.headers = response.headers
                for data in response.iter_bytes():
                    self.data += data
                    self._begun.set()
        except httpx.HTTPError as error:
            self.error = error

    def ended(self, within_s: float) -> bool:
        self._thread.join(within_s)
        return not self._thread.is_alive()


def test_streams_end_whole_at_a_stop_and_go_on_in_the_next_process(tmp_path: Path) -> None:
    heddle = HeddleProcess(tmp_path)
    heddle.start()
    try:
        with heddle.client() as client:
            thread = f"/v1/threads/{client.post('/v1/threads', json={}).json()['id']}"
            body = {"model": "sim-small", "content": "[sim: pace=40ms words=400] x", "stream": True}
            turn = Reader(client, "POST", f"{thread}/messages", json=body)
            changes = Reader(client, "GET", f"{thread}/events")
            heddle.signal(signal.SIGTERM)
            assert changes.ended(3)
            assert not turn.ended(0)
            assert turn.ended(15)
            heddle.wait(20)
        assert (turn.error, changes.error, heddle.alive) == (None, None, False)
        before = TurnClient()
        before.feed(turn.data)
        assert changes.data.endswith(b"\n\n") and before._rest == b""
        assert before.done is None and before.steps[0].text
        heddle.start()
        with heddle.client() as client:
            path = f"{thread}/turns/{turn.headers['x-heddle-turn-id']}"
            client.post(f"{path}/cancel").raise_for_status()
            rest = client.get(f"{path}/events", headers={"last-event-id": str(before.last_id)})
            before.feed(rest.content)
            assert before.done is not None
            whole = client.get(f"{path}/events").content
        assert whole.startswith(turn.data)
        assert turn.data + rest.content == whole
    finally:
        heddle.close()
