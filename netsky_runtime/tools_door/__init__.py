"""netsky's tools for Codex threads, as an MCP server on standard input and output.

Codex starts one for each thread that is given it. It is light (no pydantic, no database) and keeps
nothing: what may be done, and what was done, the daemon knows.
"""
