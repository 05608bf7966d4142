"""All versions of the book are kept on the deployed branch."""

import json
import subprocess
from pathlib import Path

import pytest
from host_nixpkgs import run


class Site:
    """A repository, its remote, and the script."""

    def __init__(self, root: Path, place: Path) -> None:
        self.script = root / ".github/deploy-book.sh"
        self.place, self.clone = place, place / "clone"
        run("git", "init", "--quiet", "--bare", "origin", cwd=place)
        run("git", "clone", "--quiet", "origin", "clone", cwd=place)
        (self.clone / "source").write_text("not for the site")
        run("git", "add", "source", cwd=self.clone)
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        run("git", *who, "commit", "--quiet", "-m", "first", cwd=self.clone)

    def deploy(self, version: str, **pages: str) -> "subprocess.CompletedProcess[str]":
        book = self.place / "book"
        subprocess.run(["rm", "-rf", book], check=True)
        book.mkdir()
        for name, text in pages.items():
            (book / f"{name}.html").write_text(text)
        command = [self.script, book, version]
        return subprocess.run(command, cwd=self.clone, capture_output=True, text=True)

    def files(self) -> dict[str, str]:
        """The content of the branch."""
        git = ("git", "--git-dir", str(self.place / "origin"))
        names = run(*git, "ls-tree", "-r", "--name-only", "pages", cwd=self.place).split()
        return {name: run(*git, "show", f"pages:{name}", cwd=self.place) for name in names}


@pytest.fixture
def site(root: Path, tmp_path: Path) -> Site:
    return Site(root, tmp_path)


def test_versions_are_kept_and_the_newest_release_comes_first(site: Site) -> None:
    for version, pages in (
        ("main", {"index": "first", "old": "x"}),
        ("v0.9.0", {"index": "nine"}),
        ("v0.10.0", {"index": "ten"}),
        ("main", {"index": "second"}),
    ):
        done = site.deploy(version, **pages)
        assert done.returncode == 0, done.stderr
    files = site.files()
    assert files["main/index.html"] == "second"
    assert files["v0.9.0/index.html"] == "nine"
    assert json.loads(files["versions.json"]) == ["main", "v0.10.0", "v0.9.0"]
    assert "url=v0.10.0/" in files["index.html"]
    assert {"main/old.html", "source"} & files.keys() == set()
    history = run("git", "rev-list", "pages", cwd=site.place / "origin").split()
    assert len(history) == 4


def test_before_a_release_the_site_starts_with_main(site: Site) -> None:
    assert site.deploy("main", index="x").returncode == 0
    assert "url=main/" in site.files()["index.html"]
    assert json.loads(site.files()["versions.json"]) == ["main"]


def test_the_same_book_again_is_no_commit(site: Site) -> None:
    site.deploy("main", index="x")
    done = site.deploy("main", index="x")
    assert (done.returncode, done.stdout) == (0, "nothing changed\n")


@pytest.mark.parametrize("version", ["../x", "v1", "", "release"])
def test_a_name_that_is_not_a_version_is_rejected(site: Site, version: str) -> None:
    done = site.deploy(version, index="x")
    assert done.returncode == 2
    assert "is not a version" in done.stderr


def test_a_book_without_a_first_page_is_rejected(site: Site) -> None:
    assert site.deploy("main", other="x").returncode == 2
