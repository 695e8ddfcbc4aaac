"""The least a Textual app can be: what the room's first frame is measured against."""

from textual.app import App, ComposeResult
from textual.widgets import Header, Input, Static


class Bare(App[None]):
    def compose(self) -> ComposeResult:
        yield Header()
        yield Static("a bare Textual app")
        yield Input(placeholder="ready")


if __name__ == "__main__":
    Bare().run()
