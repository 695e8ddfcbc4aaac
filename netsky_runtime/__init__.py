"""netsky: a control room for many Codex agents (the part that knows no terminal)."""

__version__ = "0.1.0"
