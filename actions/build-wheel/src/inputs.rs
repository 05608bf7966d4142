//! The action's interface and its parsed inputs.

use std::path::PathBuf;

use pydist::digest::is_hex;
use pydist::target::System;
use toolkit::{Choice as _, Env, Input, InputErrors, InputKind, Output, Reader, Spec};

use crate::build_target::BuildTarget;
use crate::choices::{Backend, Linker, SmokeMode};
use crate::compatibility::Compatibility;
use crate::host::host;
use crate::interpreter::PythonRequest;
use crate::repair::GraftScope;
use crate::search_path::IS_WINDOWS;

/// The declaration from which `action.yml`, the README and the command line are
/// generated.
pub static SPEC: Spec = Spec {
    name: "build-wheel",
    about: "Build a portable wheel or a source distribution with Nix or maturin, or repair an existing wheel.",
    version: env!("CARGO_PKG_VERSION"),
    positional: Some("project"),
    inputs: &[
        Input::new("project", InputKind::Path, "The project's directory, a wheel to repair, or, with `flake-attr`, a flake reference such as `github:owner/name`.").or("."),
        Input::new(
            "backend",
            InputKind::Choice(Backend::WORDS_OR_AUTO),
            "The build backend: `maturin`; `nix` (needs `flake-attr`); `wheel`, which repairs an existing file; `sdist`, which makes a source distribution (with the project's build backend, or from `flake-attr`). `auto` chooses from the project's files and reports why.",
        )
        .or("auto"),
        Input::new(
            "flake-attr",
            InputKind::Text,
            "The flake attribute whose output contains the wheels of one package and version, or one source distribution, such as `htty-core-wheel`.",
        ),
        Input::new("target", InputKind::Text, "The Rust target, such as `aarch64-unknown-linux-gnu`, or a short name: `x86_64`, `x86`, `aarch64`, `armv7`, `armv6`, `ppc64le`, `riscv64`, `s390x`, `loongarch64` (of this machine's system, or of the one in `compatibility`), `universal2`. Wheels for other targets, such as those of iOS, Android and Pyodide, are built and tagged by maturin, and checked. The machine's own by default."),
        Input::new(
            "compatibility",
            InputKind::Text,
            "The platform tag to build for, without the architecture: `manylinux_2_17`, `manylinux2014`, `musllinux_1_2`, `macosx_11_0`. A binary that needs more is an error. By default the tag follows from the content; Linux wheels built by maturin are linked for manylinux2014 if zig is on PATH.",
        ),
        Input::new(
            "linker",
            InputKind::Choice(Linker::WORDS_OR_AUTO),
            "The linker. `auto`: for Linux, `zig` if it is on PATH, which links for manylinux2014; otherwise `native` if possible, otherwise a cross `gcc`.",
        )
        .or("auto"),
        Input::new("container-image", InputKind::Text, "For `linker: container`: the image with maturin and Rust, by digest (`name@sha256:…`)."),
        Input::new("profile", InputKind::Text, "Cargo's profile. By default that of `[tool.maturin]`, otherwise `release`."),
        Input::new("manifest-path", InputKind::Path, "The `Cargo.toml` to build, relative to `project`, if it is not beside the project's `pyproject.toml`."),
        Input::new("features", InputKind::Text, "Crate features to enable, such as `a,b`."),
        Input::new("maturin-args", InputKind::List, "More arguments for `maturin build`, one option per line, such as `--strip` or `--bindings cffi`."),
        Input::new(
            "no-build-isolation",
            InputKind::Flag,
            "For a source distribution: use the build backend installed with `python` and download nothing.",
        )
        .or("false"),
        Input::new("python", InputKind::Text, "The Python to build and test with. By default `python3` (on Windows `python`) on PATH, outside the Nix store. A wheel for another version is tested with that version if it is installed."),
        Input::new("interpreters", InputKind::List, "The Pythons to build wheels for, such as `3.11 3.12 3.13t pypy3.11`: one wheel for each, or one for all that the stable ABI serves. Each wheel is tested with its own Python if it is installed."),
        Input::new("find-interpreter", InputKind::Flag, "Build a wheel for each Python on this machine; for another `target`, for each that maturin knows.").or("false"),
        Input::new("sdist", InputKind::Flag, "Also make the source distribution.").or("false"),
        Input::new("out-dir", InputKind::Path, "Write the distributions to this directory.").or("dist"),
        Input::new("report-path", InputKind::Path, "Write the report as JSON to PATH.").or("build-report.json"),
        Input::new(
            "remove-rpaths",
            InputKind::Flag,
            "Also remove absolute RPATH entries outside the Nix store.",
        )
        .or("false"),
        Input::new(
            "graft",
            InputKind::Mode("store", GraftScope::WORDS),
            "Copy the libraries that binaries need into the wheel. `store`: those in the Nix store. `all`: also those of this machine that not every machine has; for Windows, DLLs on PATH and those of MinGW. With `off`, such a library is an error, and a missing DLL a warning.",
        )
        .or("off"),
        Input::new("exclude", InputKind::List, "Patterns of libraries that the user's machine provides, such as `libcuda.so.1 libnvidia-*`: they are neither copied nor an error."),
        Input::new(
            "smoke",
            InputKind::Choice(SmokeMode::WORDS),
            "Install the wheel into a clean environment with `/nix` masked, import its modules and start its programs. `required`: fail if any of that is impossible.",
        )
        .or("auto"),
        Input::new(
            "smoke-command",
            InputKind::List,
            "A shell script that must succeed where the wheel is installed, within an hour. With several lines, it stops at the first command that fails (`sh -e`). By default its modules and extension modules are imported, its entry points resolved, and its programs started with `--version`.",
        ),
        Input::new(
            "test-requires",
            InputKind::List,
            "Requirements to install with the wheel for the smoke test, one per line; `wheel` stands for the wheel's own requirements. By default none are installed, and tests that need them are not run.",
        ),
        Input::new(
            "test-index",
            InputKind::Text,
            "Where to find `test-requires`: the URL of an index, or a directory of wheels. By default the index that pip or uv is configured for.",
        ),
        Input::new(
            "test-sources",
            InputKind::List,
            "Files and directories of the project to copy to where `smoke-command` runs, one per line.",
        ),
        Input::new("source-date-epoch", InputKind::Number(315_532_800, 4_354_819_199), "The timestamp in the wheel, in seconds since 1970. By default `SOURCE_DATE_EPOCH`, otherwise the time of the last commit, otherwise 1980."),
        Input::new("verify-reproducible", InputKind::Flag, "Build twice, the second time in another directory with another home and time zone, and fail at the first difference.").or("false"),
        Input::new("dry-run", InputKind::Flag, "Print the plan and do nothing.").or("false"),
    ],
    outputs: &[
        Output::new("path", "The distribution's path; empty if there are several."),
        Output::new("filename", "Its file name; empty if there are several."),
        Output::new("sha256", "Its SHA-256, in hexadecimal; empty if there are several."),
        Output::new("paths", "The path of each distribution, one per line, the wheels first."),
        Output::new("filenames", "Their file names, in the same order."),
        Output::new("sha256s", "Their SHA-256, in the same order."),
        Output::new("package", "The normalised name of the package."),
        Output::new("version", "The package's version."),
        Output::new("tags", "The tags of all wheels, separated by spaces."),
        Output::new("floor", "The lowest system that all wheels run on, such as `glibc 2.17` or `macOS 11.0`."),
        Output::new("repaired", "What was repaired, as a JSON list."),
        Output::new("smoke", "`passed`, `partial`, `emulated`, `not-isolated`, `skipped` or `off`; of several wheels, the worst."),
        Output::new("artifact-name", "`dist-<package>-<platform tag>`, a name for the upload of all that was built."),
        Output::new("report", "The report's path."),
    ],
    commands: &[crate::init::COMMAND],
    foreign_options: FOREIGN_OPTIONS,
};

/// Options of `maturin build` and maturin-action, with the hint for each.
const FOREIGN_OPTIONS: &[(&str, &str)] = &[
    ("--strip", TO_MATURIN),
    ("-F", "use `--features`"),
    ("--all-features", TO_MATURIN),
    ("--no-default-features", TO_MATURIN),
    ("--locked", TO_MATURIN),
    ("--frozen", TO_MATURIN),
    ("--offline", TO_MATURIN),
    ("--bindings", TO_MATURIN),
    ("-b", TO_MATURIN),
    ("-m", "use `--manifest-path`"),
    ("--release", "it is the default; `--profile` chooses another one"),
    ("-r", "it is the default; `--profile` chooses another one"),
    ("--interpreter", "use `--interpreters`, such as `--interpreters '3.12 3.13t'`"),
    ("-i", "use `--interpreters`, such as `--interpreters '3.12 3.13t'`"),
    ("-f", "use `--find-interpreter`"),
    ("--manylinux", "use `--compatibility`, such as `manylinux2014`"),
    ("--zig", "use `--linker zig`"),
    ("--out", "use `--out-dir`"),
    ("-o", "use `--out-dir`"),
];
const TO_MATURIN: &str =
    "this is an option of maturin: use `--maturin-args`, such as `--maturin-args '--strip --locked'`";

/// The parsed inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is an input of its own")]
pub struct Inputs {
    /// The project's directory, or a wheel.
    pub project: PathBuf,
    /// `None`: chosen automatically.
    pub backend: Option<Backend>,
    /// The attribute of the flake in `project`.
    pub flake_attr: Option<String>,
    /// `None`: this machine's.
    pub target: Option<BuildTarget>,
    /// The platform to build for.
    pub compatibility: Option<Compatibility>,
    /// `None`: chosen automatically.
    pub linker: Option<Linker>,
    /// An image by digest.
    pub container_image: Option<String>,
    /// Cargo's profile; `None`: the project's own.
    pub profile: Option<String>,
    /// The `Cargo.toml` to build, below `project`.
    pub manifest_path: Option<PathBuf>,
    /// In Cargo's format.
    pub features: Option<String>,
    /// Passed to maturin.
    pub maturin_args: Vec<String>,
    /// Whether to build with PEP 517 without an isolated environment.
    pub no_build_isolation: bool,
    /// A path or a program's name.
    pub python: Option<String>,
    /// The Pythons to build for.
    pub interpreters: Vec<PythonRequest>,
    /// Whether to build for all Pythons that maturin finds.
    pub find_interpreter: bool,
    /// Whether to make the source distribution too.
    pub sdist: bool,
    /// The output directory.
    pub out_dir: PathBuf,
    /// The path of the report.
    pub report_path: PathBuf,
    /// Whether to also remove absolute RPATH entries outside the store.
    pub remove_rpaths: bool,
    /// The libraries to copy into the wheel.
    pub graft: GraftScope,
    /// Patterns of libraries that are not copied.
    pub exclude: Vec<String>,
    /// Whether the wheel is smoke-tested.
    pub smoke: SmokeMode,
    /// Shell commands.
    pub smoke_commands: Vec<String>,
    /// Requirements; `wheel` stands for the wheel's own.
    pub test_requires: Vec<String>,
    /// A URL or a directory.
    pub test_index: Option<String>,
    /// Paths in the project.
    pub test_sources: Vec<PathBuf>,
    /// Seconds since 1970, within what a zip archive can hold.
    pub source_date_epoch: Option<u64>,
    /// Whether to build twice and compare.
    pub verify_reproducible: bool,
    /// Whether to print only the plan.
    pub dry_run: bool,
}

impl Inputs {
    /// Reads the inputs and reports all errors at once.
    pub fn read(env: &Env) -> Result<Self, InputErrors> {
        let mut reader = Reader::new(&SPEC, env);
        let compatibility = reader.parse("compatibility", Compatibility::parse);
        let system = match compatibility {
            Some(Compatibility::Manylinux(_)) => System::Gnu,
            Some(Compatibility::Musllinux(_)) => System::Musl,
            Some(Compatibility::Macos(_)) => System::Macos,
            None => host(env).map_or(System::Gnu, |host| host.system),
        };
        let inputs = Self {
            project: reader.path("project").unwrap_or_default(),
            backend: reader.choice_or_auto("backend"),
            flake_attr: reader.parse("flake-attr", flake_attr),
            target: reader.parse("target", |name| BuildTarget::parse(name, system)),
            compatibility,
            linker: reader.choice_or_auto("linker"),
            container_image: reader.parse("container-image", container_image),
            profile: reader.text("profile"),
            manifest_path: reader.path("manifest-path"),
            features: reader.text("features"),
            maturin_args: maturin_args(&mut reader),
            no_build_isolation: reader.flag("no-build-isolation"),
            python: reader.text("python"),
            interpreters: interpreters(&mut reader),
            find_interpreter: reader.flag("find-interpreter"),
            sdist: reader.flag("sdist"),
            out_dir: reader.path("out-dir").unwrap_or_default(),
            report_path: reader.path("report-path").unwrap_or_default(),
            remove_rpaths: reader.flag("remove-rpaths"),
            graft: reader.choice("graft"),
            exclude: exclude(&mut reader),
            smoke: reader.choice("smoke"),
            smoke_commands: reader.lines("smoke-command"),
            test_requires: reader.list("test-requires"),
            test_index: reader.text("test-index"),
            test_sources: test_sources(&mut reader),
            source_date_epoch: reader.number("source-date-epoch"),
            verify_reproducible: reader.flag("verify-reproducible"),
            dry_run: reader.flag("dry-run"),
        };
        if inputs.linker == Some(Linker::Container) && inputs.container_image.is_none() {
            reader.error("container-image", "`linker: container` needs an image by digest, found none");
        }
        if inputs.backend == Some(Backend::Nix) && inputs.flake_attr.is_none() {
            reader.error("flake-attr", "`backend: nix` needs the attribute to build, found none");
        }
        if inputs.find_interpreter && !inputs.interpreters.is_empty() {
            reader.error(
                "find-interpreter",
                "expected only one of `interpreters` and `find-interpreter`, found both",
            );
        }
        reader.finish(inputs)
    }
}

/// The patterns, several per line.
fn exclude(reader: &mut Reader<'_>) -> Vec<String> {
    let lines = reader.list("exclude");
    let words: Vec<String> =
        lines.iter().flat_map(|line| line.split([' ', ','])).map(str::to_owned).collect();
    let words: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
    for word in &words {
        if let Err(error) = globset::Glob::new(word) {
            reader.error("exclude", format!("`{word}` is not a valid pattern: {error}"));
        }
    }
    words
}

/// The Pythons, several per line, without duplicates.
fn interpreters(reader: &mut Reader<'_>) -> Vec<PythonRequest> {
    let mut requests = Vec::new();
    for line in reader.list("interpreters") {
        let Some(words) = interpreter_words(&line, IS_WINDOWS) else {
            reader.error("interpreters", format!("a quotation mark is not closed in `{line}`"));
            continue;
        };
        for word in words {
            match PythonRequest::parse(&word) {
                Ok(request) if requests.contains(&request) => {}
                Ok(request) => requests.push(request),
                Err(error) => reader.error("interpreters", error),
            }
        }
    }
    requests
}

/// The versions and paths in a line. On Windows, a path such as
/// `C:\Program Files\Python312\python.exe` ends with the next word in `.exe`.
fn interpreter_words(line: &str, is_windows: bool) -> Option<Vec<String>> {
    let words = quoted_words(line, &[' ', '\t', ','])?;
    if !is_windows {
        return Some(words);
    }
    let is_absolute = |word: &str| word.get(1..3).is_some_and(|colon| [":\\", ":/"].contains(&colon));
    let is_program = |word: &str| word.to_ascii_lowercase().ends_with(".exe");
    let mut paths: Vec<String> = Vec::new();
    let mut rest = words.as_slice();
    while let Some((word, after)) = rest.split_first() {
        let end = after.iter().take_while(|word| !is_absolute(word)).position(|word| is_program(word));
        let more = end.filter(|_| is_absolute(word) && !is_program(word)).map_or(0, |end| end + 1);
        paths.push(rest[..=more].join(" "));
        rest = &after[more..];
    }
    Some(paths)
}

/// The words of a line between separators. Quotation marks protect separators; `\` is an ordinary
/// character. `None` if a quotation mark is not closed.
fn quoted_words(line: &str, separators: &[char]) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let (mut word, mut quote) = (None::<String>, None);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match quote {
            // `\` is the separator of paths, but escapes quotation marks.
            _ if c == '\\' && chars.peek().is_some_and(|next| "\"'".contains(*next)) => {
                word.get_or_insert_default().extend(chars.next());
            }
            Some(open) if open == c => quote = None,
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if separators.contains(&c) => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// Checks an attribute path: Nix would read other characters as options or outputs.
fn flake_attr(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.'\"^+*,".contains(c);
    if text.chars().all(plain) && !text.starts_with('-') {
        Ok(text.trim_start_matches('.').to_owned())
    } else {
        Err(format!("expected an attribute such as `packages.x86_64-linux.wheel`, found `{text}`"))
    }
}

/// Checks that an image has a digest: a mutable tag could change the compiler
/// between two builds.
fn container_image(text: &str) -> Result<String, String> {
    let digest = text.split_once("@sha256:").map(|(_, digest)| digest);
    match digest {
        Some(digest) if is_hex(digest, 64) => Ok(text.to_owned()),
        _ => Err(format!(
            "expected an image by digest (`name@sha256:<64 hexadecimal digits>`), found `{text}`"
        )),
    }
}

/// The words of each line, so that `--features a` and `--features=a` work alike.
fn maturin_args(reader: &mut Reader<'_>) -> Vec<String> {
    let lines = reader.list("maturin-args");
    let words = lines.iter().map(|line| argument_words(line, IS_WINDOWS).ok_or(line));
    match words.collect::<Result<Vec<_>, _>>() {
        Ok(words) => words.concat(),
        Err(line) => {
            reader.error("maturin-args", format!("a quotation mark is not closed in `{line}`"));
            Vec::new()
        }
    }
}

/// Splits like a POSIX shell, but on Windows, `\` is the separator of paths.
fn argument_words(line: &str, is_windows: bool) -> Option<Vec<String>> {
    if is_windows { quoted_words(line, &[' ', '\t']) } else { shlex::split(line) }
}

/// Paths in the project.
fn test_sources(reader: &mut Reader<'_>) -> Vec<PathBuf> {
    let lines = reader.list("test-sources");
    let is_inside = |path: &&String| {
        std::path::Path::new(path).components().all(|part| matches!(part, std::path::Component::Normal(_)))
    };
    if let Some(path) = lines.iter().find(|path| !is_inside(path)) {
        reader.error("test-sources", format!("expected paths in the project, found `{path}`"));
    }
    lines.into_iter().map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests;
