//! The inputs of verify-dist.

use std::path::{Path, PathBuf};

use pydist::release_tag::ReleaseTag;
use toolkit::{
    Choice as _, Command, Input, InputErrors, InputKind, Invocation, Output, Reader, Spec, choice,
};

use crate::config::Lost;

/// The action's declaration.
pub static SPEC: Spec = Spec {
    name: "verify-dist",
    about: "Check a set of wheels and source distributions before it is published, and write its manifest.",
    version: env!("CARGO_PKG_VERSION"),
    positional: Some("paths"),
    inputs: &[
        Input::new("paths", InputKind::List, "Distributions, directories that hold them, or patterns such as `dist/*.whl`; one per line.")
            .or("dist"),
        Input::new(
            "manifest",
            InputKind::Path,
            "Write the manifest for publish to PATH if there is no error; `none` writes no manifest. By default `dist-manifest.json` beside the directory that holds the distributions, not in it.",
        ),
        Input::new(
            "format",
            InputKind::Choice(Format::WORDS),
            "Print the report as `table`, `json` or `sarif`.",
        )
        .or("table"),
        Input::new("report-path", InputKind::Path, "Write the report as JSON to PATH."),
        Input::new(
            "sarif-path",
            InputKind::Path,
            "Write the report as SARIF 2.1.0 to PATH, for code scanning.",
        ),
        Input::new(
            "config",
            InputKind::Path,
            "A TOML file with a table `tool.verify-dist`. By default `pyproject.toml`, if it exists.",
        ),
        Input::new(
            "matrix",
            InputKind::List,
            "Platform tags (`manylinux_*_x86_64`) or whole tags (`cp313-*-win_amd64`) that the wheels of each package with binaries must cover, one per line; `*` stands for any text.",
        ),
        Input::new(
            "expect-sdist",
            InputKind::List,
            "Packages that must have a source distribution, one per line; `all` for every package.",
        ),
        Input::new(
            "tag",
            InputKind::Text,
            "The git tag of the release (`v1.2.3`, `pkg-v1.2.3`, `pkg@1.2.3`, `pkg/v1.2.3`): every version must match it.",
        ),
        Input::new(
            "tag-prefix",
            InputKind::Text,
            "What precedes the version in `tag`, such as `pkg-v`. By default it is detected.",
        ),
        Input::new(
            "previous",
            InputKind::Text,
            "The release to compare with: `pypi`, `testpypi`, the URL of a Simple API, or a directory with the previous release. The new release must cover every platform of the previous one. Only an index needs the network.",
        ),
        Input::new(
            "lost",
            InputKind::Choice(Lost::WORDS),
            "The severity, `warning` (the default) or `error`, if an environment gets a worse file than from the release in `previous`, such as a source distribution instead of a wheel.",
        ),
        Input::new(
            "require",
            InputKind::List,
            "Environments that every package must have a wheel for, one per line: system, architecture and Python, such as `alpine-3.20 aarch64 cp312`; `*` stands for any text.",
        ),
        Input::new("svg-path", InputKind::Path, "Write the table of `installs` as SVG to PATH, for a README."),
        Input::new(
            "fail-on",
            InputKind::Choice(FailOn::WORDS),
            "The lowest severity that fails the run: `error` or `warning`.",
        )
        .or("error"),
        Input::new(
            "dry-run",
            InputKind::Flag,
            "Print which files would be checked against which rules, and check nothing.",
        )
        .or("false"),
    ],
    outputs: &[
        Output::new(
            "manifest-path",
            "The manifest's path; empty if there was an error or `manifest` is `none`.",
        ),
        Output::new(
            "manifest-sha256",
            "The manifest's SHA-256; empty if there was an error or `manifest` is `none`.",
        ),
        Output::new("errors", "Number of errors."),
        Output::new("warnings", "Number of warnings."),
    ],
    commands: &[
        Command::new("rules", "List the rules; as JSON with `--format json`."),
        Command::new("explain", "Explain a rule: what, why, source and fix.").argument("ID"),
        Command::new("installs", "Show only which file pip selects in each environment.")
            .positional()
            .options(&[Input::new(
                "why",
                InputKind::Text,
                "Explain the cells of an environment, such as `ubuntu-20.04 x86_64 cp38`: the tags it accepts, and why pip selects or skips each file.",
            )]),
    ],
    foreign_options: &[],
};

choice! {
    /// How the report is printed.
    pub(crate) enum Format {
        /// A table for terminals.
        Table = "table",
        /// `docs/schema/verify-report.json`.
        Json = "json",
        /// SARIF for code scanning.
        Sarif = "sarif",
    }
}

choice! {
    /// The least severity that fails the run.
    pub(crate) enum FailOn {
        /// Only errors fail.
        Error = "error",
        /// Warnings fail too.
        Warning = "warning",
    }
}

impl Format {
    /// Reads only the format, for commands.
    pub(crate) fn of(invocation: &Invocation) -> Result<Self, InputErrors> {
        let mut reader = Reader::new(&SPEC, &invocation.env);
        let format = reader.choice("format");
        reader.finish(format)
    }
}

/// Where the manifest is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ManifestPath {
    /// Beside the directory with the distributions.
    Default,
    /// Nowhere.
    None,
    /// To this file.
    At(PathBuf),
}

/// The parsed inputs.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) manifest: ManifestPath,
    pub(crate) format: Format,
    pub(crate) report_path: Option<PathBuf>,
    pub(crate) sarif_path: Option<PathBuf>,
    pub(crate) config: Option<PathBuf>,
    pub(crate) matrix: Vec<String>,
    pub(crate) expect_sdist: Vec<String>,
    pub(crate) tag: Option<String>,
    pub(crate) previous: Option<String>,
    pub(crate) lost: Option<Lost>,
    pub(crate) require: Vec<String>,
    pub(crate) svg_path: Option<PathBuf>,
    pub(crate) fail_on: FailOn,
    pub(crate) dry_run: bool,
}

impl Inputs {
    pub(crate) fn read(invocation: &Invocation) -> Result<Self, InputErrors> {
        let mut reader = Reader::new(&SPEC, &invocation.env);
        let inputs = Self {
            paths: reader.list("paths").into_iter().map(PathBuf::from).collect(),
            manifest: match reader.path("manifest") {
                None => ManifestPath::Default,
                Some(path) if path == Path::new("none") => ManifestPath::None,
                Some(path) => ManifestPath::At(path),
            },
            format: reader.choice("format"),
            report_path: reader.path("report-path"),
            sarif_path: reader.path("sarif-path"),
            config: reader.path("config"),
            matrix: reader.list("matrix"),
            expect_sdist: reader.list("expect-sdist"),
            tag: tag(&mut reader),
            previous: reader.text("previous"),
            lost: reader.optional_choice("lost"),
            require: reader.list("require"),
            svg_path: reader.path("svg-path"),
            fail_on: reader.choice("fail-on"),
            dry_run: reader.flag("dry-run"),
        };
        reader.finish(inputs)
    }
}

/// The tag, without the prefix if one is given.
fn tag(reader: &mut Reader<'_>) -> Option<String> {
    let tag = reader.text("tag")?;
    let Some(prefix) = reader.text("tag-prefix") else { return Some(tag) };
    match ReleaseTag::parse(&tag, Some(&prefix)) {
        Ok(tag) => Some(tag.version.to_string()),
        Err(error) => {
            reader.error("tag", error.to_string());
            None
        }
    }
}
