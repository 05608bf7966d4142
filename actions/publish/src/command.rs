//! Runs commands that print a secret.

use std::process::Stdio;
use std::time::Duration;

use toolkit::Secret;

use crate::error::AuthError;

/// The output of `program`, as a secret. This program's inputs are removed from
/// its environment.
pub(crate) async fn secret(program: &str, args: &[&str], limit: Duration) -> Result<Secret, AuthError> {
    let failed = |why: String| AuthError::Command { command: program.to_owned(), why };
    let mut command = tokio::process::Command::new(program);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("INPUT_") {
            command.env_remove(name);
        }
    }
    let output = tokio::time::timeout(limit, command.output()).await;
    let output = output.map_err(|_| failed(format!("no answer for {} s", limit.as_secs())))?;
    let output = output.map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned();
        return Err(failed(format!("{}: {last}", output.status)));
    }
    let text = String::from_utf8(output.stdout).map_err(|_| failed("its answer is not UTF-8".to_owned()))?;
    Ok(Secret::new(text.trim()))
}
