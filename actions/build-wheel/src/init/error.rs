//! Errors of `build-wheel init`.

use std::path::PathBuf;

use toolkit::{Exit, Failure, FileError};

/// Why no workflow is written.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A workflow is not YAML.
    #[error("`{}` is not valid YAML", path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// The error and its position.
        source: Box<serde_saphyr::Error>,
    },
    /// A manifest is not TOML.
    #[error("`{}` is not valid TOML", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// The error and its position.
        source: Box<toml::de::Error>,
    },
    /// A YAML file that is not a workflow.
    #[error("`{}` is not a workflow: it has no `jobs`", .0.display())]
    NoJobs(PathBuf),
    /// Nothing in the workflow builds wheels.
    #[error("`{}` has no step with maturin-action, `maturin build` or cibuildwheel", .0.display())]
    NothingToTranslate(PathBuf),
    /// No package to release.
    #[error("no package to release below `{}`: expected a pyproject.toml with `[build-system]` and `project.name`", .0.display())]
    NoPackage(PathBuf),
    /// No package is built from Rust.
    #[error("no package below `{}` has `build-backend = \"maturin\"`, and no flake builds a wheel", .0.display())]
    NoRust(PathBuf),
    /// The workflow was not written by this command.
    #[error("`{}` exists and was not written by this command", .0.display())]
    Foreign(PathBuf),
    /// One of the two marker lines is missing.
    #[error("`{}` has only one of the lines `{begin}` and `{end}`", path.display())]
    Marker {
        /// The file.
        path: PathBuf,
        /// The first line.
        begin: &'static str,
        /// The last line.
        end: &'static str,
    },
    /// The marker lines are duplicate.
    #[error("`{}` has the line `{begin}` or `{end}` more than once", path.display())]
    Markers {
        /// The file.
        path: PathBuf,
        /// The first line.
        begin: &'static str,
        /// The last line.
        end: &'static str,
    },
    /// An invalid package name.
    #[error("`{}`: expected a project name of ASCII letters, digits, `.`, `-` and `_`, found `{name}`", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// A maturin project without a crate.
    #[error("`{}` does not exist; `{}` expects the manifest of its crate there", manifest.display(), pyproject.display())]
    NoManifest {
        /// The crate's manifest.
        manifest: PathBuf,
        /// The project's manifest.
        pyproject: PathBuf,
    },
    /// A maturin project whose manifest is that of a workspace.
    #[error("`{}` has no `[package]`, but `{}` builds it", manifest.display(), pyproject.display())]
    NoCrate {
        /// The manifest.
        manifest: PathBuf,
        /// The project's manifest.
        pyproject: PathBuf,
    },
    /// With `--check`, the file is not up to date.
    #[error("`{}` is not up to date", .0.display())]
    Outdated(PathBuf),
    /// An option has an invalid value.
    #[error("`--{option}`: expected {expected}, found `{found}`")]
    Option {
        /// The option.
        option: &'static str,
        /// The expected values.
        expected: &'static str,
        /// The value found.
        found: String,
    },
}

impl Failure for InitError {
    fn exit(&self) -> Exit {
        match self {
            Self::File(error) => error.exit(),
            Self::Foreign(_) | Self::Marker { .. } | Self::Markers { .. } | Self::Outdated(_) => {
                Exit::Findings
            }
            _ => Exit::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::File(_) | Self::Yaml { .. } | Self::Toml { .. } | Self::Option { .. } => return None,
            Self::NoJobs(_) => "pass the path of a workflow in .github/workflows".into(),
            Self::NothingToTranslate(_) => "run `build-wheel init` without `--from-maturin-action`".into(),
            Self::NoPackage(_) => "set PROJECT to the directory of the repository".into(),
            Self::NoRust(_) => "set `--flake-attr` to the attribute that builds the wheel".into(),
            Self::Foreign(path) => format!(
                "write to another file with `--workflow PATH`; `--from-maturin-action {}` translates this one",
                path.display()
            ),
            Self::Marker { .. } => "restore the missing line, or remove the other one with the block".into(),
            Self::Markers { .. } => "remove all but one of the blocks between these lines".into(),
            Self::Name { .. } => "set `project.name`".into(),
            Self::NoManifest { .. } | Self::NoCrate { .. } => {
                "set `manifest-path` in `[tool.maturin]` to the manifest of the crate".into()
            }
            Self::Outdated(_) => "run `build-wheel init`; `--dry-run` shows what would change".into(),
        })
    }
}
