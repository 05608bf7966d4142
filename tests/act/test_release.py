"""release.yml under act: builds with Nix, passes artifacts, publishes to a local index server."""

from package_index import Index
from under_act import Act

# act would treat this machine as a Mac.
LINUX = [
    *("--matrix", "host:x86_64-unknown-linux-musl"),
    *("--matrix", "target:x86_64-unknown-linux-gnu"),
    *("--matrix", "target:aarch64-unknown-linux-gnu"),
]


def test_a_tag_is_released(act: Act, index: Index, version: str) -> None:
    tag = f"htty-v{version}"
    event = {"ref": f"refs/tags/{tag}", "ref_name": tag}
    log = act("release.yml", event, *LINUX, "--var", f"PUBLISH_INDEX={index.url}")
    files = sorted(index.files())
    assert [name.split("-")[0] for name in files] == ["htty", "htty_core", "htty_core"], log
    assert files[0] == f"htty-{version}.tar.gz"
    assert files[1].endswith("_aarch64.whl")
    assert files[2].endswith("_x86_64.whl")
    assert "Artifact python-docs has been uploaded" in log
    assert "not aarch64: the wheel runs under QEMU" in log
