"""Line endings of a checkout on Windows."""

from pathlib import Path

from host_nixpkgs import run

TEXTS = {".json", ".md", ".nix", ".py", ".rs", ".sh", ".snap", ".toml", ".txt", ".yml"}
# Files that must keep whatever they contain.
BYTE_EXACT = Path("fuzz/corpus")


def test_a_checkout_on_windows_has_unix_line_endings(root: Path, tmp_path: Path) -> None:
    # What `actions/checkout` does on Windows runners, where Git sets this.
    run(
        "git",
        "-c",
        "core.autocrlf=true",
        "checkout-index",
        "--all",
        f"--prefix={tmp_path}/",
        cwd=root,
    )
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    texts = [path for path in files if path.suffix in TEXTS and BYTE_EXACT not in path.parents]
    assert len(texts) > 500
    assert [path for path in texts if b"\r" in (tmp_path / path).read_bytes()] == []
    exact = [path for path in files if BYTE_EXACT in path.parents]
    assert exact
    for path in exact:
        assert (tmp_path / path).read_bytes() == (root / path).read_bytes(), path
