//! What verify-dist can be told.

use std::path::PathBuf;

use pydist::release_tag::ReleaseTag;
use toolkit::{Command, Input, InputErrors, InputKind, Invocation, Output, Reader, Spec};

/// The action's declaration.
pub static SPEC: Spec = Spec {
    name: "verify-dist",
    about: "Prove that a set of wheels and source distributions is fit to publish, and write its manifest.",
    version: env!("CARGO_PKG_VERSION"),
    positional: Some("paths"),
    inputs: &[
        Input::new("paths", InputKind::List, "Distributions, or folders that hold them; one a line.")
            .or("dist"),
        Input::new(
            "manifest",
            InputKind::Path,
            "Where to write the manifest for publish, if there is no error. By default `dist-manifest.json` beside the first folder of `paths`.",
        ),
        Input::new("format", InputKind::Choice(&["table", "json", "sarif"]), "What is printed.").or("table"),
        Input::new("report-path", InputKind::Path, "Where to write the report as JSON."),
        Input::new(
            "sarif-path",
            InputKind::Path,
            "Where to write the report as SARIF 2.1.0, for code scanning.",
        ),
        Input::new(
            "config",
            InputKind::Path,
            "A TOML file with a table `tool.verify-dist`. By default `pyproject.toml`, if it is there.",
        ),
        Input::new(
            "matrix",
            InputKind::List,
            "Platform tags that the wheels of each package with binaries must cover, one a line; `*` stands for any text.",
        ),
        Input::new(
            "expect-sdist",
            InputKind::List,
            "Packages that must have a source distribution, one a line; `all` for each.",
        ),
        Input::new(
            "tag",
            InputKind::Text,
            "The git tag of the release (`v1.2.3`, `pkg-v1.2.3`, `pkg@1.2.3`, `pkg/v1.2.3`): every version must be the tag's.",
        ),
        Input::new(
            "tag-prefix",
            InputKind::Text,
            "What precedes the version in `tag`, such as `pkg-v`. By default found by itself.",
        ),
        Input::new(
            "previous",
            InputKind::Text,
            "What to compare with: `pypi`, `testpypi`, the URL of a Simple API, or a directory with the previous release. Every platform of the release before this one must be there again. Only an index needs the network.",
        ),
        Input::new(
            "lost",
            InputKind::Choice(&["warning", "error"]),
            "How much it weighs that an environment gets less than from the release `previous`, such as a source distribution in place of a wheel. `warning` by default.",
        ),
        Input::new(
            "require",
            InputKind::List,
            "Environments that every package must have a wheel for, one a line: system, architecture and Python, such as `alpine-3.20 aarch64 cp312`; `*` stands for any text.",
        ),
        Input::new("svg-path", InputKind::Path, "Where to write the table of `installs` as SVG, for a README."),
        Input::new(
            "fail-on",
            InputKind::Choice(&["error", "warning"]),
            "The least severity that fails the run.",
        )
        .or("error"),
        Input::new(
            "dry-run",
            InputKind::Flag,
            "Only print which files would be checked against which rules.",
        )
        .or("false"),
    ],
    outputs: &[
        Output::new("manifest-path", "The manifest's path; empty where there was an error."),
        Output::new("manifest-sha256", "The manifest's SHA-256; empty where there was an error."),
        Output::new("errors", "How many errors there are."),
        Output::new("warnings", "How many warnings there are."),
    ],
    commands: &[
        Command::new("rules", "List the rules."),
        Command::new("explain", "Explain a rule: what, why, source, and how to mend it.").argument("ID"),
        Command::new("installs", "Show which file pip takes in each environment, and nothing else.")
            .positional()
            .options(&[Input::new(
                "why",
                InputKind::Text,
                "Explain the cells of an environment, such as `ubuntu-20.04 x86_64 cp38`: the tags it accepts, and what becomes of each file.",
            )]),
    ],
};

/// How the report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Table,
    Json,
    Sarif,
}

/// The inputs, read.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) manifest: Option<PathBuf>,
    pub(crate) format: Format,
    pub(crate) report_path: Option<PathBuf>,
    pub(crate) sarif_path: Option<PathBuf>,
    pub(crate) config: Option<PathBuf>,
    pub(crate) matrix: Vec<String>,
    pub(crate) expect_sdist: Vec<String>,
    pub(crate) tag: Option<String>,
    pub(crate) previous: Option<String>,
    pub(crate) lost: Option<String>,
    pub(crate) require: Vec<String>,
    pub(crate) svg_path: Option<PathBuf>,
    pub(crate) strict: bool,
    pub(crate) dry_run: bool,
}

impl Inputs {
    pub(crate) fn read(invocation: &Invocation) -> Result<Self, InputErrors> {
        let mut reader = Reader::new(&SPEC, &invocation.env);
        let inputs = Self {
            paths: reader.list("paths").into_iter().map(PathBuf::from).collect(),
            manifest: reader.path("manifest"),
            format: match reader.word("format") {
                "json" => Format::Json,
                "sarif" => Format::Sarif,
                _ => Format::Table,
            },
            report_path: reader.path("report-path"),
            sarif_path: reader.path("sarif-path"),
            config: reader.path("config"),
            matrix: reader.list("matrix"),
            expect_sdist: reader.list("expect-sdist"),
            tag: tag(&mut reader),
            previous: reader.text("previous"),
            lost: reader.text("lost"),
            require: reader.list("require"),
            svg_path: reader.path("svg-path"),
            strict: reader.word("fail-on") == "warning",
            dry_run: reader.flag("dry-run"),
        };
        reader.finish(inputs)
    }
}

/// The tag; with a named prefix, what follows it.
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
