//! The action's interface, and its inputs as values.

use std::path::PathBuf;

use pydist::tags::Platform;
use toolkit::{Env, Input, InputErrors, InputKind, Output, Reader, Spec};

use crate::target::Target;

/// What `action.yml`, the README and the command line are made from.
pub static SPEC: Spec = Spec {
    name: "build-wheel",
    about: "Builds a portable wheel or a source distribution: with Nix, with maturin, or from a wheel that is already there.",
    version: env!("CARGO_PKG_VERSION"),
    positional: Some("project"),
    inputs: &[
        Input::new("project", InputKind::Path, "The project's folder, or a wheel to repair.").or("."),
        Input::new(
            "backend",
            InputKind::Choice(&["auto", "maturin", "nix", "wheel", "sdist"]),
            "What builds: `maturin`; `nix` (`flake-attr`); `wheel` repairs an existing file; `sdist` makes a source distribution (by the project's build backend, or from `flake-attr`). `auto` looks at the project and says what it chose and why.",
        )
        .or("auto"),
        Input::new(
            "flake-attr",
            InputKind::Text,
            "The flake's attribute with exactly one distribution in its output, such as `htty-core-wheel`.",
        ),
        Input::new("target", InputKind::Text, "The Rust target, such as `aarch64-unknown-linux-gnu`; the machine's own by default."),
        Input::new(
            "compatibility",
            InputKind::Text,
            "The platform tag to build for, without the architecture: `manylinux_2_17`, `manylinux2014`, `musllinux_1_2`, `macosx_11_0`. A binary that needs more is an error. By default the tag follows from the content.",
        ),
        Input::new(
            "linker",
            InputKind::Choice(&["auto", "native", "zig", "gcc", "container"]),
            "What links for another target or an older glibc. `auto`: `native` where it can, else `zig`, else a cross `gcc`.",
        )
        .or("auto"),
        Input::new("container-image", InputKind::Text, "For `linker: container`: the image with maturin and Rust, by digest (`name@sha256:…`)."),
        Input::new("profile", InputKind::Text, "Cargo's profile.").or("release"),
        Input::new("maturin-args", InputKind::List, "Further arguments of `maturin build`, one a line."),
        Input::new(
            "no-build-isolation",
            InputKind::Flag,
            "For a source distribution: use the build backend that is installed beside `python`; nothing is downloaded.",
        )
        .or("false"),
        Input::new("python", InputKind::Text, "The Python to build a source distribution and to test with; `python3` from PATH, outside the Nix store, by default."),
        Input::new("out-dir", InputKind::Path, "Where the distribution goes.").or("dist"),
        Input::new("report-path", InputKind::Path, "Where the JSON report goes.").or("build-report.json"),
        Input::new(
            "remove-rpaths",
            InputKind::Flag,
            "Whether absolute RPATH entries outside the Nix store go too, not only those in it.",
        )
        .or("false"),
        Input::new(
            "graft",
            InputKind::Flag,
            "Whether libraries of the Nix store that a binary needs are copied into the wheel. By default such a library is an error.",
        )
        .or("false"),
        Input::new(
            "smoke",
            InputKind::Choice(&["auto", "required", "off"]),
            "Whether the wheel is installed and started in a clean environment with `/nix` masked. `required`: an error where that cannot be done.",
        )
        .or("auto"),
        Input::new(
            "smoke-command",
            InputKind::List,
            "Commands that must succeed where the wheel is installed, one a line. By default its modules are imported and its programs started with `--version`.",
        ),
        Input::new("source-date-epoch", InputKind::Number(315_532_800, 4_354_819_199), "The time that goes into the wheel, in seconds since 1970; by default `SOURCE_DATE_EPOCH`, else that of the last commit, else 1980."),
        Input::new("verify-reproducible", InputKind::Flag, "Build twice, in two folders, and fail at the first difference.").or("false"),
        Input::new("dry-run", InputKind::Flag, "Print the plan and do nothing.").or("false"),
    ],
    outputs: &[
        Output::new("path", "The distribution's path."),
        Output::new("filename", "Its file name."),
        Output::new("sha256", "Its SHA-256, in hexadecimal."),
        Output::new("package", "The normalised name of the package."),
        Output::new("version", "The package's version."),
        Output::new("tags", "The wheel's tags, separated by spaces."),
        Output::new("floor", "The lowest system it runs on, such as `glibc 2.17` or `macOS 11.0`."),
        Output::new("repaired", "What was repaired, as a JSON list."),
        Output::new("smoke", "`passed`, `emulated`, `not-isolated`, `skipped` or `off`."),
        Output::new("artifact-name", "`dist-<package>-<platform tag>`, a name for the upload."),
        Output::new("report", "The report's path."),
    ],
    commands: &[],
};

/// What builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// `maturin build`.
    Maturin,
    /// `nix build`.
    Nix,
    /// Nothing: the wheel is there.
    Wheel,
    /// The project's PEP 517 backend, or `nix build`.
    Sdist,
}

/// What links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Linker {
    /// Cargo's own choice.
    Native,
    /// `zig cc`, by maturin and cargo-zigbuild.
    Zig,
    /// `<target>-gcc`.
    Gcc,
    /// Everything happens in a container.
    Container,
}

/// Whether the wheel is tried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SmokeMode {
    /// Where it can be done.
    Auto,
    /// Or it is an error.
    Required,
    /// Not at all.
    Off,
}

/// The inputs, checked one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is an input of its own")]
pub struct Inputs {
    /// The project's folder, or a wheel.
    pub project: PathBuf,
    /// `None`: to be found out.
    pub backend: Option<Backend>,
    /// The attribute of the flake in `project`.
    pub flake_attr: Option<String>,
    /// `None`: the machine's own.
    pub target: Option<Target>,
    /// The platform to build for; its architecture is empty.
    pub compatibility: Option<Platform>,
    /// `None`: to be chosen.
    pub linker: Option<Linker>,
    /// An image by digest.
    pub container_image: Option<String>,
    /// Cargo's profile.
    pub profile: String,
    /// Handed on to maturin.
    pub maturin_args: Vec<String>,
    /// PEP 517 without a fresh environment.
    pub no_build_isolation: bool,
    /// A path or a program's name.
    pub python: Option<String>,
    /// Where the distribution goes.
    pub out_dir: PathBuf,
    /// Where the report goes.
    pub report_path: PathBuf,
    /// Absolute RPATH entries outside the store go too.
    pub remove_rpaths: bool,
    /// Libraries of the store go into the wheel.
    pub graft: bool,
    /// Whether the wheel is tried out.
    pub smoke: SmokeMode,
    /// Each a command as a POSIX shell splits it into words.
    pub smoke_commands: Vec<Vec<String>>,
    /// Seconds since 1970, within what a zip archive can hold.
    pub source_date_epoch: Option<u64>,
    /// Build twice and compare.
    pub verify_reproducible: bool,
    /// Only the plan.
    pub dry_run: bool,
}

impl Inputs {
    /// Reads the inputs; every fault is told.
    pub fn read(env: &Env) -> Result<Self, InputErrors> {
        let mut reader = Reader::new(&SPEC, env);
        let inputs = Self {
            project: reader.path("project").unwrap_or_default(),
            backend: match reader.word("backend") {
                "maturin" => Some(Backend::Maturin),
                "nix" => Some(Backend::Nix),
                "wheel" => Some(Backend::Wheel),
                "sdist" => Some(Backend::Sdist),
                _ => None,
            },
            flake_attr: reader.parse("flake-attr", flake_attr),
            target: reader.parse("target", Target::parse),
            compatibility: reader.parse("compatibility", compatibility),
            linker: match reader.word("linker") {
                "native" => Some(Linker::Native),
                "zig" => Some(Linker::Zig),
                "gcc" => Some(Linker::Gcc),
                "container" => Some(Linker::Container),
                _ => None,
            },
            container_image: reader.parse("container-image", container_image),
            profile: reader.string("profile"),
            maturin_args: reader.list("maturin-args"),
            no_build_isolation: reader.flag("no-build-isolation"),
            python: reader.text("python"),
            out_dir: reader.path("out-dir").unwrap_or_default(),
            report_path: reader.path("report-path").unwrap_or_default(),
            remove_rpaths: reader.flag("remove-rpaths"),
            graft: reader.flag("graft"),
            smoke: match reader.word("smoke") {
                "required" => SmokeMode::Required,
                "off" => SmokeMode::Off,
                _ => SmokeMode::Auto,
            },
            smoke_commands: smoke_commands(&mut reader),
            source_date_epoch: reader.number("source-date-epoch"),
            verify_reproducible: reader.flag("verify-reproducible"),
            dry_run: reader.flag("dry-run"),
        };
        if inputs.linker == Some(Linker::Container) && inputs.container_image.is_none() {
            reader.error("container-image", "`linker: container` needs an image by digest, none was given");
        }
        if inputs.backend == Some(Backend::Nix) && inputs.flake_attr.is_none() {
            reader.error("flake-attr", "`backend: nix` needs the attribute to build, none was given");
        }
        reader.finish(inputs)
    }
}

/// An attribute path; Nix would take other characters for options or outputs.
fn flake_attr(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.'\"^+".contains(c);
    if text.chars().all(plain) && !text.starts_with('-') {
        Ok(text.trim_start_matches('.').to_owned())
    } else {
        Err(format!("expected an attribute such as `packages.x86_64-linux.wheel`, found `{text}`"))
    }
}

fn compatibility(text: &str) -> Result<Platform, String> {
    // The tag's form needs an architecture; the target has it.
    match Platform::parse(&format!("{text}_any")) {
        Platform::Manylinux { glibc, .. } => Ok(Platform::Manylinux { glibc, arch: String::new() }),
        Platform::Musllinux { musl, .. } => Ok(Platform::Musllinux { musl, arch: String::new() }),
        Platform::Macos { version, .. } => Ok(Platform::Macos { version, arch: String::new() }),
        _ => Err(format!(
            "expected `manylinux_<major>_<minor>`, `manylinux2014`, `musllinux_<major>_<minor>` or `macosx_<major>_<minor>`, found `{text}`"
        )),
    }
}

/// A mutable tag could swap the compiler between two builds.
fn container_image(text: &str) -> Result<String, String> {
    let digest = text.split_once("@sha256:").map(|(_, digest)| digest);
    match digest {
        Some(digest) if digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()) => {
            Ok(text.to_owned())
        }
        _ => Err(format!(
            "expected an image by digest (`name@sha256:<64 hexadecimal digits>`), found `{text}`"
        )),
    }
}

fn smoke_commands(reader: &mut Reader<'_>) -> Vec<Vec<String>> {
    let lines = reader.list("smoke-command");
    let split = lines.iter().map(|line| shlex::split(line).filter(|words| !words.is_empty()).ok_or(line));
    match split.collect() {
        Ok(commands) => commands,
        Err(line) => {
            reader.error("smoke-command", format!("a quotation mark is not closed in `{line}`"));
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(env: &[(&str, &str)]) -> Result<Inputs, String> {
        Inputs::read(&Env::from_iter(env.iter().copied())).map_err(|errors| errors.to_string())
    }

    #[test]
    fn every_fault_is_told() {
        let env = [
            ("INPUT_DRY_RUN", "ture"),
            ("INPUT_TARGET", "sparc-sun-solaris"),
            ("INPUT_LINKER", "container"),
            ("INPUT_COMPATIBILITY", "manylinux"),
            ("INPUT_FLAKE_ATTR", "a b"),
            ("INPUT_SMOKE_COMMAND", "x 'y"),
        ];
        let errors = read(&env).unwrap_err();
        for expected in [
            "`dry-run`: expected one of `true`, `false`, found `ture`; did you mean `true`?",
            "`target`: `sparc-sun-solaris` is not a target this program knows",
            "`container-image`: `linker: container` needs an image by digest",
            "`compatibility`: expected `manylinux_<major>_<minor>`",
            "`flake-attr`: expected an attribute such as",
            "`smoke-command`: a quotation mark is not closed",
        ] {
            assert!(errors.contains(expected), "{expected} is not in\n{errors}");
        }
    }

    #[test]
    fn an_image_needs_its_digest() {
        let digest = "0123456789abcdef".repeat(4);
        let image = format!("quay.example/maturin@sha256:{digest}");
        let read = |image: &str| read(&[("INPUT_LINKER", "container"), ("INPUT_CONTAINER_IMAGE", image)]);
        assert_eq!(read(&image).unwrap().container_image, Some(image.clone()));
        assert!(read("quay.example/maturin:latest").unwrap_err().contains("by digest"));
    }

    #[test]
    fn compatibility_is_understood() {
        let read = |text: &str| read(&[("INPUT_COMPATIBILITY", text)]).unwrap().compatibility.unwrap();
        assert_eq!(read("manylinux2014"), Platform::Manylinux { glibc: (2, 17), arch: String::new() });
        assert_eq!(read("macosx_11_0"), Platform::Macos { version: (11, 0), arch: String::new() });
    }
}
