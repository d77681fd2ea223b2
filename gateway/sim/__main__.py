"""``python -m gateway.sim --port 8788``: the simulated provider as a process of its own."""

import argparse

import uvicorn

from gateway.sim.server import SimApp

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A simulated model provider (no key, no cost).")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8788)
    options = parser.parse_args()
    uvicorn.run(SimApp(), host=options.host, port=options.port, access_log=False, lifespan="off")
