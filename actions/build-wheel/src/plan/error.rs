//! Errors of planning.

use std::path::PathBuf;

use toolkit::{Exit, Failure};

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Nothing at the path.
    #[error("`{}` does not exist; expected a project directory or a wheel", .0.display())]
    Missing(PathBuf),
    /// A file that is not a wheel.
    #[error("`{}` is a file but not a wheel; expected a project directory or a `.whl`", .0.display())]
    NotAWheel(PathBuf),
    /// A directory without exactly one wheel.
    #[error("expected exactly one wheel in `{}`, found {}", dir.display(), listed(found))]
    Wheels {
        /// The directory.
        dir: PathBuf,
        /// The wheels in it.
        found: Vec<String>,
    },
    /// No project for the backend.
    #[error("no {kind} project at `{}`: expected {expected}, found {found}", path.display())]
    NoProject {
        /// The kind of project.
        kind: &'static str,
        /// The path.
        path: PathBuf,
        /// What such a project has.
        expected: &'static str,
        /// What was found.
        found: String,
    },
    /// The inputs contradict each other or the machine.
    #[error("{message}")]
    Conflict {
        /// The contradiction.
        message: String,
        /// The hint.
        hint: String,
    },
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names => format!("{}: {}", names.len(), names.join(", ")),
    }
}

impl Failure for PlanError {
    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing(_) | Self::NotAWheel(_) => Some("set `project` to the right path".into()),
            Self::Wheels { .. } => Some("set `project` to the wheel itself".into()),
            Self::NoProject { kind: "maturin", .. } => Some(
                "set `project` to the directory with the pyproject.toml, or choose another `backend`".into(),
            ),
            Self::NoProject { .. } => None,
            Self::Conflict { hint, .. } => Some(hint.clone()),
        }
    }
}
