"""Heddle as an MCP server."""
