"""The programs packed as a release packs them."""

import hashlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml
from released import ACTIONS

TARGET = "x86_64-unknown-linux-musl"


@dataclass
class Release:
    """The files and the command of the job `wheels` of actions-release.yml."""

    root: Path
    directory: Path
    env: dict[str, str]
    version: str

    def pins(self, programs: Path, target: str = TARGET) -> dict[str, str]:
        """Fills binaries.json with the hashes of programs, and returns these."""
        hashes = {
            action: hashlib.sha256((programs / action).read_bytes()).hexdigest()
            for action in ACTIONS
        }
        entries = {f"{action} {target}": {"sha256": digest} for action, digest in hashes.items()}
        pins = {"schema": 1, "version": self.version, "binaries": entries}
        (self.directory / "actions/binaries.json").write_text(json.dumps(pins))
        return hashes

    def download(self, programs: Path, target: str = TARGET) -> None:
        """The files as `gh release download` writes them, not executable."""
        place = self.directory / "binaries"
        place.mkdir(exist_ok=True)
        for action in ACTIONS:
            file = place / f"{action}-{target}"
            file.write_bytes((programs / action).read_bytes())
            file.chmod(0o644)

    def pack(self, target: str = TARGET) -> "subprocess.CompletedProcess[str]":
        """The step `Pack` of the workflow."""
        workflow = yaml.safe_load((self.root / ".github/workflows/actions-release.yml").read_text())
        (step,) = (one for one in workflow["jobs"]["wheels"]["steps"] if one.get("id") == "pack")
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", step["run"]],
            cwd=self.directory,
            env=self.env | {"TARGET": target},
            capture_output=True,
            text=True,
        )

    def wheel(self) -> Path:
        """The packed wheel, from the step's output."""
        lines = (self.directory / "outputs").read_text().splitlines()
        return self.directory / lines[-1].removeprefix("wheel=")


def repaired(binaries: Path, wheel: Path, place: Path, env: dict[str, str]) -> Path:
    """The wheel after build-wheel, with the workflow's inputs."""
    command = [binaries / "build-wheel", wheel, "--backend", "wheel", "--out-dir", place / "dist"]
    command += ["--report-path", place / "build-report.json", "--source-date-epoch", "1790000000"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = (place / "dist").iterdir()
    return built
