"""The built book in Chromium: links, search, narrow screens, no errors."""

import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urldefrag, urljoin

import pytest
from browser import Page, browser

pytestmark = pytest.mark.book
PHONE = (390, 844)


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def book(target: Path) -> Path:
    assert (target / "book/index.html").is_file(), "run `cargo xtask docs --check`"
    return target / "book"


@pytest.fixture(scope="module")
def site(book: Path) -> Iterator[str]:
    """The URL of the served book."""
    serve = partial(Silent, directory=str(book))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


LINKS = "[...document.querySelectorAll('a[href]')].map((a) => a.href)"
NAMES = "[...document.querySelectorAll('[id],[name]')].flatMap((e) => [e.id, e.name])"


def test_every_page_loads_and_every_link_leads_somewhere(page: Page, site: str, book: Path) -> None:
    """Follows each link within the book, starting at the first page."""
    page.resize(1280, 900)
    waiting, names = [site], dict[str, set[str]]()
    wanted: list[tuple[str, str]] = []
    while waiting:
        url = waiting.pop()
        if url in names:
            continue
        file = book / url.removeprefix(site)
        file = file / "index.html" if file.is_dir() else file
        assert file.is_file(), f"nothing is at {url}, which {wanted[-1:]} leads to"
        names[url] = set()
        if file.suffix != ".html":
            continue
        page.open(url)
        assert page.problems == [], url
        names[url] = set(page.evaluate(NAMES))
        for link in page.evaluate(LINKS):
            there, anchor = urldefrag(urljoin(url, link))
            if there.startswith(site):
                waiting.append(there)
                wanted.append((url, there + (f"#{anchor}" if anchor else "")))
    for url, link in wanted:
        there, anchor = urldefrag(link)
        # Scroll positions of pdoc's own search, and of mdBook's source lines.
        if anchor and there.endswith(".html") and "/api/" not in there:
            assert anchor in names[there], f"{url}: {link} has no such heading"
    pages = {url.removeprefix(site) for url in names}
    for some in ("docs/rules/NIX001.html", "docs/reference/reports.html", "api/htty.html"):
        assert some in pages, some
    lonely = {str(file.relative_to(book)) for file in book.glob("docs/**/*.html")} - pages
    assert {name for name in lonely if not name.endswith("index.html")} == set()


def test_search_finds_a_rule(page: Page, site: str) -> None:
    page.resize(1280, 900)
    page.open(f"{site}index.html?search=NIX001")
    found = page.evaluate("""new Promise((done, failed) => {
        const end = Date.now() + 30000;
        const look = () => {
            const links = [...document.querySelectorAll('[id$=searchresults] a')];
            if (links.length) done(links.map((link) => link.href));
            else if (Date.now() > end) failed(new Error('no result'));
            else setTimeout(look, 50);
        };
        look();
    })""")
    assert any("rules/NIX001.html" in link for link in found), found
    assert page.problems == []


@pytest.mark.parametrize(
    "name",
    [
        "index.html",
        "actions/build-wheel/index.html",
        "docs/rules/index.html",
        "docs/rules/NIX001.html",
        "docs/reference/verify-dist.html",
        "docs/reference/reports.html",
        "docs/benchmarks.html",
        "docs/guides/gitlab.html",
    ],
)
def test_nothing_moves_sideways_on_a_phone(page: Page, site: str, name: str) -> None:
    page.resize(*PHONE, mobile=True)
    page.open(site + name)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= PHONE[0], f"{name} is {width} pixels wide"
    assert page.problems == []


def test_a_broken_page_is_seen(page: Page, tmp_path: Path) -> None:
    broken = tmp_path / "broken.html"
    broken.write_text("<img src=missing.png><script>nonsense()</script>")
    page.open(broken.as_uri())
    assert any("nonsense" in problem for problem in page.problems)
    assert any("missing.png" in problem for problem in page.problems)
