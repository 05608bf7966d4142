//! Why there is no plan.

use std::path::PathBuf;

use toolkit::{Exit, Failure};

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Nothing at the path.
    #[error("there is nothing at `{}`; expected a project directory or a wheel", .0.display())]
    Missing(PathBuf),
    /// A file that is no wheel.
    #[error("`{}` is a file but no wheel; expected a project directory or a `.whl`", .0.display())]
    NotAWheel(PathBuf),
    /// A folder where a wheel is needed.
    #[error("expected exactly one wheel in `{}`, found {}", folder.display(), listed(found))]
    Wheels {
        /// The folder.
        folder: PathBuf,
        /// The wheels in it.
        found: Vec<String>,
    },
    /// No project of the backend's kind.
    #[error("no {kind} project at `{}`: expected {expected}, found {found}", path.display())]
    NoProject {
        /// Of what kind.
        kind: &'static str,
        /// Where.
        path: PathBuf,
        /// What makes such a project.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// The inputs contradict each other or the machine.
    #[error("{message}")]
    Conflict {
        /// What does not fit.
        message: String,
        /// What to do.
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
