"""Processes that are forked off a server process which has imported everything: a start from nothing takes
seconds."""

import multiprocessing

FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(["tests.crash.warm", "tests.crash.doomed", "tests.commands"])
