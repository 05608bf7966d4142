//! Interprets how a started program ended.

use toolkit::{CommandOutput, ProcessError};

use super::result::SmokeError;

/// The outcome of a check.
#[derive(Debug)]
pub(super) enum CheckOutcome {
    /// It works, with a description.
    Works(String),
    /// It was not run, with the reason.
    NotRun(String),
    /// It does not work.
    Fails(SmokeError),
}

/// Messages of loaders that cannot load a program (glibc's ld.so, musl's, dyld, QEMU),
/// and of shells that do not find its interpreter.
const LOADER_MESSAGES: [&str; 12] = [
    "error while loading shared libraries",
    "symbol lookup error",
    "version `GLIBC",
    "Error loading shared library",
    "Error relocating ",
    "dyld[",
    "Library not loaded",
    "bad interpreter",
    "No such file or directory: '/nix/store/",
    "No such file or directory: '/gnu/store/",
    "Invalid ELF image for this architecture",
    "qemu: uncaught target signal",
];

/// The signals that end a program that crashes or is killed, on Linux and macOS, and a part of
/// what shells print about each, in lower case.
const SIGNALS: [(i32, &str); 11] = [
    (4, "illegal"),
    (5, "trap"),
    (6, "abort"),
    (7, "bus error"),
    (8, "floating point exception"),
    (9, "killed"),
    (10, "bus error"),
    (11, "segmentation fault"),
    (12, "bad system call"),
    (15, "terminated"),
    (31, "bad system call"),
];

/// Whether a shell or QEMU reports by this exit code and its messages that the program in it
/// did not end by its own exit code. The code alone would not tell: a program may end with it.
fn is_reported(code: i32, stderr: &str) -> bool {
    let is_qemus = code == 255 && stderr.lines().any(|line| line.starts_with("qemu-"));
    let stderr = stderr.to_ascii_lowercase();
    is_qemus || SIGNALS.iter().any(|(signal, text)| code == 128 + signal && stderr.contains(text))
}

/// The outcome of a program that must start, but need not succeed: not every
/// program has `--version`. `requires`: the wheel depends on distributions that
/// are not installed.
pub(super) fn start_outcome(result: Result<CommandOutput, ProcessError>, requires: bool) -> CheckOutcome {
    let Err(error) = result else { return CheckOutcome::Works("ok".to_owned()) };
    let outcome = match &error {
        ProcessError::Failed { stderr, .. } if LOADER_MESSAGES.iter().any(|text| stderr.contains(text)) => {
            None
        }
        ProcessError::Failed { stderr, .. } if requires && stderr.contains("ModuleNotFoundError") => {
            let line = stderr.lines().rfind(|line| line.contains("ModuleNotFoundError"));
            Some(CheckOutcome::NotRun(line.unwrap_or_default().trim().to_owned()))
        }
        // Shells and `env` exit with 126 or 127 if they cannot start a program,
        // and so does a loader that does not find a library. A signal has no code,
        // and Windows exits with a negative code if it cannot load a library.
        ProcessError::Failed { status, stderr, .. }
            if status.code().is_some_and(|code| {
                (0..126).contains(&code) || (128..256).contains(&code) && !is_reported(code, stderr)
            }) =>
        {
            Some(CheckOutcome::Works(format!("started, then ended with {status}")))
        }
        ProcessError::Timeout { limit, .. } => {
            Some(CheckOutcome::NotRun(format!("still running after {} s", limit.as_secs())))
        }
        _ => None,
    };
    outcome.unwrap_or(CheckOutcome::Fails(error.into()))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    #[test]
    fn a_program_has_started_if_it_ends_by_its_own_exit_code() {
        let works = |wait_status: i32, stderr: &str| {
            let status = ExitStatus::from_raw(wait_status);
            let (command, stdout, stderr) = ("a".to_owned(), String::new(), stderr.to_owned());
            let error = ProcessError::Failed { command, status, stdout, stderr };
            matches!(start_outcome(Err(error), false), CheckOutcome::Works(_))
        };
        let exit = |code: i32| code << 8;
        for (status, stderr, expected) in [
            (exit(1), "", true),
            (exit(125), "", true),
            (exit(126), "", false),
            (exit(127), "", false),
            (exit(128), "", true),
            (exit(139), "usage: a [--help]", true),
            (exit(255), "", true),
            // Segmentation fault, without and with a core.
            (11, "", false),
            (0x8b, "", false),
            // What dash, bash and zsh print about a program that they started.
            (exit(139), "Segmentation fault (core dumped)", false),
            (exit(134), "/bin/tool: line 2:    12 Aborted                 tool \"$@\"", false),
            (exit(132), "a: illegal hardware instruction  tool", false),
            // The description of another signal.
            (exit(139), "Aborted: there is no configuration", true),
            (exit(255), "qemu-aarch64: Could not open '/lib/ld-linux-aarch64.so.1': No such file", false),
            (exit(139), "qemu: uncaught target signal 11 (Segmentation fault) - core dumped", false),
        ] {
            assert_eq!(works(status, stderr), expected, "{status} {stderr}");
        }
    }
}

#[cfg(all(test, windows))]
mod tests {
    use std::os::windows::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    use super::*;

    #[test]
    fn a_program_without_its_dlls_has_not_started() {
        let works = |code: u32| {
            let status = ExitStatus::from_raw(code);
            let (command, stdout, stderr) = ("a".to_owned(), String::new(), String::new());
            let error = ProcessError::Failed { command, status, stdout, stderr };
            matches!(start_outcome(Err(error), false), CheckOutcome::Works(_))
        };
        assert!(works(1) && works(2) && works(255));
        // A missing DLL, a missing function of a DLL, a failed `DllMain`, an access violation.
        for code in [0xC000_0135, 0xC000_0139, 0xC000_0142, 0xC000_0005] {
            assert!(!works(code), "{code:x}");
        }
    }
}
