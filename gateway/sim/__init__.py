"""``sim``: a simulated model provider, a real HTTP server that speaks both vendors' dialects.

It lets Heddle be tried, tested and measured without a key, a cost or a network. What it answers is a pure
function of the request: it calls the tools that the user's text names (``gateway.sim.grammar``) and fails
in the ways the text asks for (``gateway.sim.directives``); anything else it echoes. ``docs/sim.md`` is the
guide. Run it as a process with ``python -m gateway.sim --port 8788``, or inside one with ``SimServer``.
"""
