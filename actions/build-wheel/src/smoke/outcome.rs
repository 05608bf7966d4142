//! Interprets how a started program ended.

use toolkit::{CommandOutput, ProcessError};

use super::result::SmokeError;
use crate::repair::Contents;
use crate::search_path::IS_WINDOWS;

/// What a program may expect, and what the test machine may lack.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'c> {
    /// The wheel's contents.
    pub(super) contents: &'c Contents,
    /// Whether the wheel depends on distributions that are not installed.
    pub(super) requires: bool,
}

impl Expected<'_> {
    /// Whether the user's machine or another distribution provides the library.
    fn is_provided(self, library: &str) -> bool {
        let file = library.rsplit(['/', '\\']).next().unwrap_or_default();
        let Contents { external, libraries, .. } = self.contents;
        let is_external = external.contains(library) || external.contains(file);
        is_external || self.requires && !libraries.contains(file)
    }
}

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

/// The library that a loader does not find, if a line is the message of glibc, musl or dyld.
fn missing_library(line: &str) -> Option<&str> {
    let after = |text: &str| line.split_once(text).map(|(_, rest)| rest);
    if let Some((before, _)) = line.split_once(": cannot open shared object file") {
        return before.rsplit(' ').next();
    }
    let musl = after("Error loading shared library ").and_then(|rest| rest.split(':').next());
    musl.or_else(|| after("Library not loaded: ").and_then(|rest| rest.split_whitespace().next()))
}

/// The module that Python does not find, if a line is the message of the exception.
fn missing_module(line: &str) -> Option<&str> {
    line.split_once("ModuleNotFoundError: No module named '")?.1.split('\'').next()
}

/// Whether a line is Python's message that a library or a module of the wheel is missing. A file in
/// a package that is started by its path can hide the package.
fn lacks_own_part(line: &str, expected: Expected<'_>) -> bool {
    let is_own = |module| expected.contents.is_own(module) && !line.contains("is not a package");
    let is_error = line.starts_with("OSError: ") || line.starts_with("ImportError: ");
    missing_module(line).is_some_and(is_own) || is_error && missing_library(line).is_some()
}

/// Whether a program that ended with this exit code was running. Shells and `env` exit with 126 or
/// 127 if they cannot start a program, and so does a loader that does not find a library. Windows
/// exits with an error or warning of NTSTATUS if it cannot load a library, but a program may end
/// with any other number.
fn has_started(code: i32, stderr: &str, is_windows: bool) -> bool {
    match code {
        0..126 => true,
        128..256 => !is_reported(code, stderr),
        126 | 127 => false,
        code => is_windows && ![0x8, 0xC].contains(&(code.cast_unsigned() >> 28)),
    }
}

/// The outcome of starting Python, by its messages about the files `*.pth`, which it executes;
/// `None` if there is nothing to report.
pub(super) fn import_outcome(stderr: &str, expected: Expected<'_>) -> Option<CheckOutcome> {
    let message = &stderr[stderr.find("Error processing line ")?..];
    let message = message.split("Remainder of file ignored").next().unwrap_or_default().trim();
    let module = message.lines().find_map(missing_module);
    if let Some(module) = module.filter(|module| expected.requires && !expected.contents.is_own(module)) {
        return Some(CheckOutcome::NotRun(format!("`{module}` is not installed")));
    }
    Some(CheckOutcome::Fails(SmokeError::Import(message.to_owned())))
}

/// The outcome of a program that must start, but need not succeed: not every
/// program has `--version`.
pub(super) fn start_outcome(
    result: Result<CommandOutput, ProcessError>,
    expected: Expected<'_>,
) -> CheckOutcome {
    let Err(error) = result else { return CheckOutcome::Works("ok".to_owned()) };
    let outcome = match &error {
        ProcessError::Failed { stderr, .. }
            if stderr.lines().filter_map(missing_library).any(|library| expected.is_provided(library)) =>
        {
            let mut lines = stderr.lines();
            let line =
                lines.find(|line| missing_library(line).is_some_and(|library| expected.is_provided(library)));
            Some(CheckOutcome::NotRun(line.unwrap_or_default().trim().to_owned()))
        }
        ProcessError::Failed { stderr, .. } if LOADER_MESSAGES.iter().any(|text| stderr.contains(text)) => {
            None
        }
        // A program may handle a missing library or module, but an error that it prints last has
        // ended it.
        ProcessError::Failed { stderr, .. }
            if stderr.trim_end().lines().last().is_some_and(|line| lacks_own_part(line, expected)) =>
        {
            None
        }
        ProcessError::Failed { stderr, .. }
            if expected.requires && stderr.contains("ModuleNotFoundError") =>
        {
            let line = stderr.lines().rfind(|line| line.contains("ModuleNotFoundError"));
            Some(CheckOutcome::NotRun(line.unwrap_or_default().trim().to_owned()))
        }
        // A signal has no code.
        ProcessError::Failed { status, stderr, .. }
            if status.code().is_some_and(|code| has_started(code, stderr, IS_WINDOWS)) =>
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
            let contents = Contents::default();
            let expected = Expected { contents: &contents, requires: false };
            matches!(start_outcome(Err(error), expected), CheckOutcome::Works(_))
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

#[cfg(test)]
mod message_tests {
    use super::*;

    #[test]
    fn windows_reports_its_own_errors_as_exit_codes() {
        let of = |code: u32| has_started(code.cast_signed(), "", true);
        assert!(of(256) && of(1000) && of(0xFFFF_FFFF) && of(0xE000_0001));
        assert!(!of(0xC000_0135) && !of(0xC000_0005) && !of(0x8000_0003));
        assert!(!has_started(-1, "", false));
    }

    #[test]
    fn the_messages_of_loaders_name_the_library() {
        for (line, expected) in [
            (
                "a: error while loading shared libraries: libx.so.1: cannot open shared object file: No such file",
                Some("libx.so.1"),
            ),
            ("OSError: /a/libx.so: cannot open shared object file: No such file", Some("/a/libx.so")),
            (
                "Error loading shared library libx.so: No such file or directory (needed by a)",
                Some("libx.so"),
            ),
            ("  Library not loaded: @rpath/libx.dylib", Some("@rpath/libx.dylib")),
            ("No such file or directory", None),
        ] {
            assert_eq!(missing_library(line), expected, "{line}");
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
            let contents = Contents::default();
            let expected = Expected { contents: &contents, requires: false };
            matches!(start_outcome(Err(error), expected), CheckOutcome::Works(_))
        };
        assert!(works(1) && works(2) && works(255));
        // A missing DLL, a missing function of a DLL, a failed `DllMain`, an access violation.
        for code in [0xC000_0135, 0xC000_0139, 0xC000_0142, 0xC000_0005] {
            assert!(!works(code), "{code:x}");
        }
    }
}
