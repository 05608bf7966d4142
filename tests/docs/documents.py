"""The repository's Markdown files, parsed."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Fence:
    """A block of code."""

    language: str
    text: str
    line: int


@dataclass
class Document:
    """A Markdown file of the repository."""

    path: Path
    links: list[str] = field(default_factory=list[str])
    anchors: set[str] = field(default_factory=set[str])
    fences: list[Fence] = field(default_factory=list[Fence])
    # Inline code, with its heading.
    code: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    # Rows of tables, with each cell's source, and their heading.
    rows: list[tuple[str, list[str]]] = field(default_factory=list[tuple[str, list[str]]])
    prose: str = ""

    @property
    def name(self) -> str:
        """The path within the repository."""
        return str(self.path.relative_to(ROOT))


def slug(heading: str) -> str:
    """GitHub's anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@cache
def documents() -> list[Document]:
    """All Markdown files that are or will be tracked."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "--", "*.md"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in sorted(set(names.split()))]
    return [parse(path) for path in paths if path.is_file() and not path.name.startswith("NOTE")]


def parse(path: Path) -> Document:
    """Parses a file."""
    text = path.read_text()
    document = Document(path, prose=text)
    heading = ""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    row: list[str] = []
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            heading = tokens[index + 1].content
            document.anchors.add(slug(heading))
        elif token.type == "fence":
            line = token.map[0] + 1 if token.map else 0
            document.fences.append(Fence(token.info.strip(), token.content, line))
        elif token.type == "tr_open":
            row = []
        elif token.type in ("td_open", "th_open"):
            row.append(tokens[index + 1].content)
        elif token.type == "tr_close":
            document.rows.append((heading, row))
        elif token.type == "inline":
            for child in flat(token):
                href = child.attrGet("href") if child.type == "link_open" else None
                source = child.attrGet("src") if child.type == "image" else None
                document.links += [link for link in (href, source) if isinstance(link, str)]
                if child.type == "code_inline":
                    document.code.append((heading, child.content))
    return document


def flat(token: Token) -> Iterator[Token]:
    """All descendants of an inline token."""
    for child in token.children or []:
        yield child
        yield from flat(child)


def by_name(document: Document) -> str:
    """The name of a document in test IDs."""
    return document.name
