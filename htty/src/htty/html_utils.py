"""Styled text as HTML, under the names of htty 0.2.30."""

import re

from htty.html import SGR, to_html

_OTHER = re.compile(r"\x1b\[[0-9;?]*[A-Za-ln-z@`]|\x1b[78=>]|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f]")

__all__ = ["clean_ansi_for_html", "simple_ansi_to_html"]


def clean_ansi_for_html(ansi_text: str) -> str:
    """Returns the text with its styles (SGR), but without any other sequences."""
    return _OTHER.sub("", ansi_text)


def simple_ansi_to_html(ansi_text: str) -> str:
    """Returns an HTML page with the styled text."""
    cleaned = clean_ansi_for_html(ansi_text)
    # A style without a number resets, as 0 does.
    return to_html(SGR.sub(lambda style: style[0].replace("[m", "[0m"), cleaned))
