"""The terminal's size in htty, under the names of 0.2.30."""

DEFAULT_TERMINAL_COLS = 60
DEFAULT_TERMINAL_ROWS = 30

__all__ = ["DEFAULT_TERMINAL_COLS", "DEFAULT_TERMINAL_ROWS"]
