"""Tools' input schemas as each provider takes them, and their arguments as the tools declared them."""
