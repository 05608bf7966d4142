//! The workflow run as a value.

use std::path::PathBuf;

/// The workflow run that this process is part of. [`main`](crate::main) reads it once and
/// passes it on as a plain value. Optional fields are `None` outside of a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// `owner/name`.
    pub repository: Option<String>,
    /// The commit that triggered the run.
    pub sha: Option<String>,
    /// `main`, `v1.2.3` …
    pub ref_name: Option<String>,
    /// `branch` or `tag`.
    pub ref_type: Option<String>,
    /// `push`, `workflow_dispatch` …
    pub event: Option<String>,
    /// The API's URL, without a trailing slash.
    pub api_url: String,
    /// The server's URL, without a trailing slash.
    pub server_url: String,
    /// The checkout.
    pub workspace: Option<PathBuf>,
    /// A directory that the runner empties before and after each job.
    pub temp: Option<PathBuf>,
}

impl Default for Context {
    /// The context outside of a workflow, with the URLs of github.com.
    fn default() -> Self {
        Self {
            repository: None,
            sha: None,
            ref_name: None,
            ref_type: None,
            event: None,
            api_url: "https://api.github.com".into(),
            server_url: "https://github.com".into(),
            workspace: None,
            temp: None,
        }
    }
}

impl Context {
    /// The tag that triggered the run, if one did.
    pub fn tag(&self) -> Option<&str> {
        self.ref_name.as_deref().filter(|_| self.ref_type.as_deref() == Some("tag"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_tag_is_a_tag() {
        let run = |kind: &str| Context {
            ref_name: Some("v1.2.3".into()),
            ref_type: Some(kind.into()),
            ..Context::default()
        };
        assert_eq!(run("tag").tag(), Some("v1.2.3"));
        assert_eq!(run("branch").tag(), None);
        assert_eq!(Context::default().tag(), None);
    }
}
