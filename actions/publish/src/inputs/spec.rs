//! The action's interface: its inputs and outputs, declared once.

use toolkit::{Choice as _, Input, InputKind, Output, Spec};

use super::choices::{Attestations, DryRun, Latest, ReleaseMode};

/// The action's interface.
pub static SPEC: Spec = Spec {
    name: "publish",
    about: "Publish Python distributions to an index in order, and resume after a failure.",
    version: env!("CARGO_PKG_VERSION"),
    positional: Some("paths"),
    inputs: &[
        Input::new("paths", InputKind::List, "Distributions, directories that hold them, or patterns such as `dist/*.whl`; one per line.").or("dist"),
        Input::new(
            "manifest",
            InputKind::Path,
            "The `dist-manifest.json` that verify-dist wrote; a file that is missing from it or differs is rejected. `none` publishes files that nothing has verified.",
        )
        .required(),
        Input::new(
            "manifest-sha256",
            InputKind::Text,
            "The manifest's SHA-256, from verify-dist's output `manifest-sha256`: a manifest that was replaced is rejected.",
        ),
        Input::new("index", InputKind::Text, "`pypi`, `testpypi`, or the URL of an index's legacy upload API.").or("pypi"),
        Input::new(
            "simple-url",
            InputKind::Text,
            "The index's Simple API, if `index` is a URL and the API is not at `simple/` beside or below it.",
        ),
        Input::new("username", InputKind::Text, "The user for `password`.").or("__token__"),
        Input::new(
            "password",
            InputKind::Secret,
            "An API token or password. Without one, trusted publishing is used (`permissions: id-token: write`), then `.pypirc` and netrc.",
        ),
        Input::new(
            "password-file",
            InputKind::Path,
            "A file that holds the password; `-` for standard input.",
        ),
        Input::new(
            "keyring",
            InputKind::Flag,
            "Ask the command `keyring` for the password of `username`, if nothing else gives one.",
        )
        .or("false"),
        Input::new(
            "simple-username",
            InputKind::Text,
            "The user for the Simple API, if it is on another host than `index` and private.",
        ),
        Input::new("simple-password", InputKind::Secret, "The password for the Simple API."),
        Input::new(
            "oidc-audience",
            InputKind::Text,
            "The audience of an index other than PyPI and TestPyPI whose audience is not its host name.",
        ),
        Input::new(
            "attestations",
            InputKind::Choice(Attestations::WORDS),
            "PEP 740 attestations. `auto`: for PyPI and TestPyPI with trusted publishing. `required`: fail rather than publish without.",
        )
        .or("auto"),
        Input::new(
            "attestations-path",
            InputKind::Path,
            "A directory for the attestations: written after publishing, read with `github-release: only`.",
        ),
        Input::new(
            "trust-config",
            InputKind::Path,
            "A sigstore `ClientTrustConfig` (JSON) for a sigstore instance other than the public one.",
        ),
        Input::new(
            "dry-run",
            InputKind::Mode("probe", DryRun::WORDS),
            "Send nothing. `offline`: only the files; `probe` or `true`: ask the index too; `auth`: get a token as well.",
        )
        .or("false"),
        Input::new(
            "package-order",
            InputKind::List,
            "Package names in upload order, if their metadata does not determine it; separated by spaces, commas or lines.",
        ),
        Input::new(
            "max-file-size",
            InputKind::Number(1, 1_000_000),
            "The file size limit of the projects, in MiB, if the index has raised it. By default 100, as on PyPI, or more if the project has larger files.",
        ),
        Input::new(
            "retry-for",
            InputKind::Number(0, 7200),
            "Seconds to keep retrying while the index or the network fails.",
        )
        .or("300"),
        Input::new("concurrency", InputKind::Number(1, 16), "The number of files to upload at the same time.")
            .or("4"),
        Input::new("timeout", InputKind::Number(1, 3600), "Seconds to wait for the index's answer to an upload.").or("250"),
        Input::new(
            "verify-timeout",
            InputKind::Number(0, 7200),
            "Seconds to wait until the index shows an uploaded file with its hash. PyPI's answers are cached for 600 seconds.",
        )
        .or("660"),
        Input::new(
            "github-release",
            InputKind::Choice(ReleaseMode::WORDS),
            "Create a GitHub Release with the distributions: `after` the index has them all, or `only` the release, without an upload to the index.",
        )
        .or("off"),
        Input::new(
            "github-token",
            InputKind::Secret,
            "The token for the GitHub Release; needs `contents: write`.",
        ),
        Input::new(
            "tag",
            InputKind::Text,
            "The release's tag (`v1.2.3`, `pkg-v1.2.3`, `pkg@1.2.3`, `pkg/v1.2.3`); by default the tag that started the workflow.",
        ),
        Input::new(
            "tag-prefix",
            InputKind::Text,
            "What precedes the version in the tag, such as `pkg-v`. By default it is detected.",
        ),
        Input::new("release-notes", InputKind::Path, "A Markdown file with the release's notes."),
        Input::new(
            "changelog",
            InputKind::Path,
            "A Markdown file whose section about the version becomes the notes, if `release-notes` is not given.",
        ),
        Input::new("name", InputKind::Text, "The release's title; by default the tag."),
        Input::new(
            "generate-notes",
            InputKind::Flag,
            "Let GitHub generate the release's notes; those given come first.",
        )
        .or("false"),
        Input::new("draft", InputKind::Flag, "Leave the release a draft.").or("false"),
        Input::new(
            "make-latest",
            InputKind::Choice(Latest::WORDS),
            "Mark the release as the latest. `auto`: unless it is a pre-release; `legacy`: GitHub decides by date and version.",
        )
        .or("auto"),
        Input::new(
            "target",
            InputKind::Text,
            "The branch or commit to tag, if the tag does not exist; by default this run's commit.",
        ),
        Input::new(
            "extra-assets",
            InputKind::List,
            "More files for the release (binaries, an SBOM): paths or patterns, one per line.",
        ),
        Input::new("report-path", InputKind::Path, "Write the report as JSON to PATH.").or("publish-report.json"),
        Input::new(
            "allow-insecure-loopback",
            InputKind::Flag,
            "Allow plain HTTP to this machine itself. For tests.",
        )
        .or("false"),
    ],
    outputs: &[
        Output::new("result", "`published`, `unchanged`, `dry-run`, `partial` or `failed`."),
        Output::new("uploaded", "How many files this run has sent."),
        Output::new("files", "JSON: for each file its package, version, state, URL and sha256."),
        Output::new("requirements", "Lines for a requirements file with hashes."),
        Output::new("report-path", "The JSON report."),
        Output::new("release-url", "The GitHub Release's page."),
    ],
    commands: &[],
    foreign_options: &[],
};
