"""``python -m gateway.sim --port 8788``: the simulated provider as a process of its own."""

import argparse
import asyncio
import signal
import sys

from gateway.sim.server import SimServer


async def run(host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    server = SimServer()
    try:
        url = await server.start(host, port)
    except OSError as error:
        sys.exit(f"cannot listen on {host}:{port}: {error.strerror}")
    sys.stdout.write(f"the simulated provider listens on {url} (Ctrl-C ends it)\n")
    sys.stdout.flush()
    await stop.wait()
    await server.stop()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m gateway.sim", description="A simulated model provider: no key, no cost, no network."
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8788, help="the port; 0 picks a free one (8788)")
    options = parser.parse_args()

    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(options.host, options.port))


if __name__ == "__main__":
    main()
