"""A counter with Textual: two buttons and a number; `q` quits."""

# The linters' environment has no Textual.
# pyright: basic, reportMissingImports=false

from textual.app import App, ComposeResult
from textual.containers import Horizontal
from textual.widgets import Button, Digits, Footer


class Counter(App[int]):
    """The application."""

    BINDINGS = [("q", "quit_with_count", "Quit")]  # noqa: RUF012

    count = 0

    def compose(self) -> ComposeResult:
        yield Digits("0")
        with Horizontal():
            yield Button("Less", id="less")
            yield Button("More", id="more")
        yield Footer()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.count += 1 if event.button.id == "more" else -1
        self.query_one(Digits).update(str(self.count))
        self.title = f"count {self.count}"

    def action_quit_with_count(self) -> None:
        self.exit(self.count)


if __name__ == "__main__":
    print("counted to", Counter().run())
