"""How netsky introduces itself to a Codex it has started, and what is answered: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from netsky_runtime import __version__
from netsky_runtime.codex.binary import version_in
from netsky_runtime.codex.members import part

if TYPE_CHECKING:
    from collections.abc import Sequence

METHOD: Final = "initialize"
"""Of either door."""
_CLIENT: Final = "netsky"
_MCP_PROTOCOL: Final = "2025-06-18"
_PROMPTED: Final = "stdin is not a terminal"
"""What Codex says where a word is no command but a prompt, and there is nobody to show it to."""


def to_app_server(opt_out: Sequence[str] = ()) -> dict[str, Any]:
    """Return the parameters for an app-server that is not to send these notifications."""
    capabilities: dict[str, Any] = {"experimentalApi": True}
    if opt_out:
        capabilities["optOutNotificationMethods"] = list(opt_out)
    return {
        "clientInfo": {"name": _CLIENT, "title": _CLIENT, "version": __version__},
        "capabilities": capabilities,
    }


def to_mcp_server() -> dict[str, Any]:
    """Return the parameters for an mcp-server, whose questions are answered."""
    return {
        "protocolVersion": _MCP_PROTOCOL,
        "capabilities": {"elicitation": {}},
        "clientInfo": {"name": _CLIENT, "version": __version__},
    }


def takes_for_prompt(said: str) -> bool:
    """Whether a Codex that ended with these words has not the door it was asked for.

    Seen of ``codex mcp-server`` from 0.154 on.
    """
    return _PROMPTED in said.lower()


def app_server_version(answer: Any) -> str:
    """Return which Codex an app-server says it is, empty when it does not."""
    agent = str(answer.get("userAgent") or "") if isinstance(answer, dict) else ""
    # The agent is "<client>/<version of Codex> (…)".
    return version_in(agent.partition("/")[2]) or version_in(agent)


def mcp_server_version(answer: Any) -> str:
    """Return which Codex an mcp-server says it is, empty when it does not."""
    return version_in(str(part(answer, "serverInfo").get("version") or ""))
