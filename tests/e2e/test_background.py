"""What runs in the background outlives its process: whoever comes next finishes it, and it is paid once."""

import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.processes import ADMIN_KEY, HeddleProcess

HEADERS = {"x-api-key": ADMIN_KEY}
RESPONSE = {
    "model": "sim-small",
    "input": "[sim: words=40 pace=40ms] hi",
    "background": True,
    "stream": True,
}
JOB = {
    "endpoint": "/v1/messages",
    "body": {
        "model": "sim-small",
        "max_tokens": 20,
        "messages": [{"role": "user", "content": "[sim: latency=2s] hi"}],
    },
}


def events_of(lines: Any) -> Any:
    return (json.loads(line[6:]) for line in lines if line.startswith("data: "))


def begin(url: str) -> tuple[str, list[dict[str, Any]]]:
    """A job and a response that are under way: the job's id, and the first events of the response."""
    job = httpx.post(f"{url}/v1/jobs", json=JOB, headers=HEADERS).json()["id"]
    seen: list[dict[str, Any]] = []
    with httpx.stream("POST", f"{url}/v1/responses", json=RESPONSE, headers=HEADERS, timeout=30) as answer:
        for event in events_of(answer.iter_lines()):
            seen.append(event)
            if len(seen) == 12:
                break
    time.sleep(0.1)  # what was told is logged by now
    assert httpx.get(f"{url}/v1/jobs/{job}", headers=HEADERS).json()["status"] == "running"
    return job, seen


def end_of(url: str, job_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        job: dict[str, Any] = httpx.get(f"{url}/v1/jobs/{job_id}", headers=HEADERS).json()
        if job["status"] not in ("queued", "running"):
            return job
        time.sleep(0.1)
    raise AssertionError(f"the job did not end: {job}")


def test_a_killed_process_leaves_a_response_and_a_job_that_the_next_one_finishes(tmp_path: Path) -> None:
    process = HeddleProcess(tmp_path)
    process.start()
    try:
        job_id, seen = begin(process.url)
        process.kill()
        process.start()
        path = f"{process.url}/v1/responses/{seen[0]['response']['id']}"
        after = {"stream": "true", "starting_after": str(seen[-1]["sequence_number"])}
        with httpx.stream("GET", path, params=after, headers=HEADERS, timeout=60) as answer:
            seen += events_of(answer.iter_lines())
        numbers = [event["sequence_number"] for event in seen]
        assert numbers == sorted(set(numbers))
        done = [event["item"] for event in seen if event["type"] == "response.output_item.done"]
        assert [item["status"] for item in done] == ["incomplete", "completed"]
        last = seen[-1]
        assert (last["type"], last["response"]["status"]) == ("response.completed", "completed")
        (item,) = last["response"]["output"]
        assert item["content"] == done[1]["content"]
        assert httpx.get(path, headers=HEADERS).json() == last["response"]

        job = end_of(process.url, job_id)
        assert (job["status"], job["attempts"], job["interruptions"]) == ("completed", 2, 1)
        assert job["result"]["body"]["content"][0]["text"] == "You said: hi"
        with sqlite3.connect(tmp_path / "data" / "heddle.db") as books:
            query = "SELECT status, error_code FROM usage_event WHERE id {} LIKE 'job%' ORDER BY created_at"
            of_job, of_turn = (books.execute(query.format(word)).fetchall() for word in ("", "NOT"))
        assert of_job == [("ok", None)]
        assert of_turn == [("error", "process_died"), ("ok", None)]
    finally:
        process.kill()
