//! Runs commands that print a secret.

use std::process::Stdio;
use std::time::Duration;

use toolkit::{IS_WINDOWS, Secret};

use crate::error::AuthError;

/// The output of `program`, as a secret. This program's inputs are removed from
/// its environment.
pub(crate) async fn secret(program: &str, args: &[&str], limit: Duration) -> Result<Secret, AuthError> {
    let failed = |why: String| AuthError::Command { command: program.to_owned(), why };
    let mut command = tokio::process::Command::new(program);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    for (name, _) in std::env::vars_os() {
        if is_input(&name.to_string_lossy(), IS_WINDOWS) {
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

/// Whether the variable `name` is an input of an action. On Windows, this program reads
/// `Input_Password` too.
fn is_input(name: &str, ignores_case: bool) -> bool {
    const PREFIX: &str = "INPUT_";
    match name.get(..PREFIX.len()) {
        Some(start) if ignores_case => start.eq_ignore_ascii_case(PREFIX),
        start => start == Some(PREFIX),
    }
}

#[cfg(test)]
mod tests {
    use super::is_input;

    #[test]
    fn inputs_in_any_case_are_removed_on_windows() {
        for name in ["INPUT_PASSWORD", "Input_Password", "input_password"] {
            assert!(is_input(name, true), "{name}");
        }
        assert!(is_input("INPUT_PASSWORD", false) && !is_input("input_password", false));
        assert!(!is_input("INPUTS", true) && !is_input("ÍNPUT_A", true) && !is_input("IN", true));
    }
}
