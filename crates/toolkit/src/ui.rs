//! All output of an action.
//!
//! Under GitHub's runner, messages become workflow commands, and outputs go to the
//! runner's files (`GITHUB_OUTPUT`, …). Elsewhere messages go to standard error and
//! reports to standard output.
//! Format: GitHub's "Workflow commands for GitHub Actions".

use std::fs::OpenOptions;
use std::io::{IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::annotation::{Annotation, Level};
use crate::masks::Masks;
use crate::progress::Progress;
use crate::runner_log::Log;
use crate::{Env, FileError, Secret, Summary, random_hex};

/// GitHub shows at most this many annotations per level and step.
const MAX_ANNOTATIONS: usize = 10;

/// Output sink of an action; clones share it. Safe across threads.
#[derive(Clone)]
pub struct Ui {
    runner: bool,
    terminal: bool,
    output: Option<PathBuf>,
    summary: Option<PathBuf>,
    path: Option<PathBuf>,
    env: Option<PathBuf>,
    state: Arc<Mutex<State>>,
}

struct State {
    log: Log,
    report: Box<dyn Write + Send>,
    masks: Masks,
    shown: [usize; 3],
}

impl Ui {
    /// The output of this process; uses workflow commands if `GITHUB_ACTIONS` is `true`.
    pub fn from_env(env: &Env) -> Self {
        let runner = env.get("GITHUB_ACTIONS") == Some("true");
        // The runner reads commands from standard output.
        let log: Box<dyn Write + Send> =
            if runner { Box::new(std::io::stdout()) } else { Box::new(std::io::stderr()) };
        let terminal = !runner && std::io::stderr().is_terminal();
        Self::new(env, runner, terminal, log, Box::new(std::io::stdout()))
    }

    /// For tests: all output goes to the returned buffer.
    pub fn captured(env: &Env) -> (Self, Captured) {
        let captured = Captured::default();
        let runner = env.get("GITHUB_ACTIONS") == Some("true");
        let (log, report) = (Box::new(captured.clone()), Box::new(captured.clone()));
        (Self::new(env, runner, false, log, report), captured)
    }

    fn new(
        env: &Env,
        runner: bool,
        terminal: bool,
        log: Box<dyn Write + Send>,
        report: Box<dyn Write + Send>,
    ) -> Self {
        let file = |name| env.get(name).filter(|_| runner).map(PathBuf::from);
        Self {
            runner,
            terminal,
            output: file("GITHUB_OUTPUT"),
            summary: file("GITHUB_STEP_SUMMARY"),
            path: file("GITHUB_PATH"),
            env: file("GITHUB_ENV"),
            state: Arc::new(Mutex::new(State {
                log: Log::new(log, runner),
                report,
                masks: Masks::default(),
                shown: [0; 3],
            })),
        }
    }

    /// Whether standard error is a terminal.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Masks `secret` and its encoded forms in everything that is written from now on and, by
    /// the runner, in the whole log of the job.
    pub fn mask(&self, secret: &Secret) {
        let mut state = self.state();
        let forms = secret.forms();
        for form in forms.iter().filter(|_| self.runner) {
            state.log.command(&format!("::add-mask::{}", escape_data(form)));
        }
        state.masks.add(forms);
    }

    /// The masks, for text that is truncated before it is printed.
    pub fn masks(&self) -> Masks {
        self.state().masks.clone()
    }

    /// Replaces masked secrets in `text`, for files that the action writes itself.
    pub fn hide(&self, text: &str) -> String {
        self.state().hide(text)
    }

    /// Prints a line of progress or explanation.
    pub fn info(&self, text: impl AsRef<str>) {
        self.log(text.as_ref());
    }

    /// Prints the complete output of a tool, which cannot contain commands for the runner.
    pub fn foreign(&self, text: impl AsRef<str>) {
        let text = text.as_ref().trim_end();
        if !text.is_empty() {
            self.tool().line(text);
        }
    }

    /// Starts printing the output of a tool through the returned value. Until that is dropped,
    /// the runner accepts no commands. One token is used for all lines, because the runner masks
    /// each token in the rest of the log.
    pub fn tool(&self) -> ToolOutput {
        self.state().log.tool_starts();
        ToolOutput(self.clone())
    }

    /// Prints the result that the user asked for to standard output.
    pub fn report(&self, text: impl AsRef<str>) {
        if self.runner {
            self.foreign(text);
        } else {
            let mut state = self.state();
            let text = state.hide(text.as_ref().trim_end());
            let _ = writeln!(state.report, "{text}");
        }
    }

    /// Prints an annotation, or a plain line if GitHub's limit is reached.
    pub fn annotate(&self, annotation: &Annotation) {
        let word = annotation.level.word();
        let Annotation { title, message, file, .. } = annotation;
        if !self.runner {
            let place = file.as_deref().map(|file| format!("{file}: ")).unwrap_or_default();
            let title = if title.is_empty() { String::new() } else { format!("{title}: ") };
            self.log(&format!("{word}: {place}{title}{message}"));
            return;
        }
        let mut state = self.state();
        let shown = &mut state.shown[annotation.level as usize];
        *shown += 1;
        if *shown > MAX_ANNOTATIONS {
            drop(state);
            self.log(&format!("{word}: {title}: {message}"));
            return;
        }
        let mut properties = Vec::new();
        if let Some(file) = file {
            properties.push(format!("file={}", escape_property(&state.hide(file))));
        }
        if !title.is_empty() {
            properties.push(format!("title={}", escape_property(&state.hide(title))));
        }
        let space = if properties.is_empty() { "" } else { " " };
        let message = escape_data(&state.hide(message));
        state.log.command(&format!("::{word}{space}{}::{message}", properties.join(",")));
    }

    /// Prints a warning without a file.
    pub fn warning(&self, message: impl Into<String>) {
        let (title, message) = (String::new(), message.into());
        self.annotate(&Annotation { level: Level::Warning, title, message, file: None });
    }

    /// Prints an error without a file.
    pub fn error(&self, message: impl Into<String>) {
        let (title, message) = (String::new(), message.into());
        self.annotate(&Annotation { level: Level::Error, title, message, file: None });
    }

    /// Runs `work`; the runner folds its lines under `title`.
    pub fn group<T>(&self, title: &str, work: impl FnOnce() -> T) -> T {
        if self.runner {
            let mut state = self.state();
            let title = escape_data(&state.hide(title));
            state.log.command(&format!("::group::{title}"));
        } else {
            self.log(title);
        }
        let result = work();
        if self.runner {
            self.state().log.command("::endgroup::");
        }
        result
    }

    /// A progress bar, on a terminal only. `total` is in `unit`s; bytes if `unit`
    /// is `"B"`.
    pub fn progress(&self, label: &str, total: Option<u64>, unit: &str) -> Progress {
        if self.terminal { Progress::shown(label, total, unit) } else { Progress::hidden() }
    }

    /// Sets an output of the step; does nothing outside a workflow.
    pub fn output(&self, name: &str, value: impl AsRef<str>) -> Result<(), FileError> {
        self.append(self.output.as_deref(), name, value.as_ref())
    }

    /// Sets a variable for the job's later steps.
    pub fn set_env(&self, name: &str, value: impl AsRef<str>) -> Result<(), FileError> {
        self.append(self.env.as_deref(), name, value.as_ref())
    }

    /// Puts `directory` first on the PATH of the job's later steps.
    pub fn add_path(&self, directory: &Path) -> Result<(), FileError> {
        let Some(file) = &self.path else { return Ok(()) };
        append(file, &format!("{}\n", directory.display()))
    }

    /// Adds to the job's summary.
    pub fn summary(&self, summary: &Summary) -> Result<(), FileError> {
        let Some(file) = &self.summary else { return Ok(()) };
        let masks = self.masks();
        append(file, &summary.render(|text| masks.hide(text)))
    }

    /// Appends the value in heredoc form, so that it cannot set further outputs.
    fn append(&self, file: Option<&Path>, name: &str, value: &str) -> Result<(), FileError> {
        let Some(file) = file else { return Ok(()) };
        let value = self.state().hide(value);
        let end = format!("end-{}", random_hex(16));
        append(file, &format!("{name}<<{end}\n{value}\n{end}\n"))
    }

    fn log(&self, text: &str) {
        let mut state = self.state();
        let text = state.hide(text.trim_end());
        state.log.text(&text);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn hide(&self, text: &str) -> String {
        self.masks.hide(text)
    }
}

/// A tool's output, see [`Ui::tool`].
pub struct ToolOutput(Ui);

impl ToolOutput {
    /// Prints one or more lines.
    pub fn line(&self, text: impl AsRef<str>) {
        self.0.log(text.as_ref());
    }
}

impl Drop for ToolOutput {
    fn drop(&mut self) {
        self.0.state().log.tool_ends();
    }
}

fn append(file: &Path, text: &str) -> Result<(), FileError> {
    let open = OpenOptions::new().append(true).create(true).open(file);
    open.and_then(|mut open| open.write_all(text.as_bytes())).map_err(FileError::new("write", file))
}

fn escape_data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn escape_property(text: &str) -> String {
    escape_data(text).replace(':', "%3A").replace(',', "%2C")
}

/// The output so far of a [`Ui`] made by [`Ui::captured`].
#[derive(Debug, Clone, Default)]
pub struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// The text.
    pub fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn runner(dir: &Path) -> Env {
        let file = |name: &str| dir.join(name).display().to_string();
        Env::from_iter([
            ("GITHUB_ACTIONS", "true".to_owned()),
            ("GITHUB_OUTPUT", file("output")),
            ("GITHUB_STEP_SUMMARY", file("summary")),
        ])
    }

    /// Reads `GITHUB_OUTPUT` the way the runner does.
    fn parse_outputs(text: &str) -> Vec<(String, String)> {
        let mut outputs = Vec::new();
        let mut lines = text.split('\n');
        while let Some(line) = lines.next().filter(|line| !line.is_empty()) {
            let (name, end) = line.split_once("<<").expect("only the heredoc form is used");
            let value: Vec<&str> = lines.by_ref().take_while(|line| *line != end).collect();
            outputs.push((name.to_owned(), value.join("\n")));
        }
        outputs
    }

    proptest! {
        #[test]
        fn an_output_contains_exactly_its_value(value in "(?s).{0,80}", other in "[a-z]{1,5}=[a-z\n<]{1,9}") {
            let dir = tempfile::tempdir().unwrap();
            let (ui, _) = Ui::captured(&runner(dir.path()));
            ui.output("first", &value).unwrap();
            ui.output("second", &other).unwrap();
            let text = std::fs::read_to_string(dir.path().join("output")).unwrap();
            prop_assert_eq!(parse_outputs(&text), vec![("first".into(), value), ("second".into(), other)]);
        }

        #[test]
        fn a_masked_secret_is_never_written(secret in "[!-~]{8,40}") {
            let dir = tempfile::tempdir().unwrap();
            let (ui, log) = Ui::captured(&runner(dir.path()));
            ui.mask(&Secret::new(secret.clone()));
            let text = format!("token {secret} in a text");
            ui.info(&text);
            ui.error(&text);
            ui.output("o", &text).unwrap();
            ui.summary(&Summary::new().details("t", &text).paragraph(&text)).unwrap();
            let lines: Vec<String> = log.text().lines().filter(|l| !l.starts_with("::add-mask::")).map(str::to_owned).collect();
            prop_assert!(!lines.join("\n").contains(&secret));
            for file in ["output", "summary"] {
                let text = std::fs::read_to_string(dir.path().join(file)).unwrap();
                prop_assert!(!text.contains(&secret) && text.contains("\\*\\*\\*") == (file == "summary"), "{}", text);
            }
        }
    }

    #[test]
    fn a_clone_hides_secrets_that_are_masked_later() {
        let (ui, _) = Ui::captured(&Env::default());
        let masks = ui.masks();
        ui.mask(&Secret::new("pypi-a+b"));
        assert_eq!(masks.hide("pypi-a+b, pypi-a%2Bb and cHlwaS1hK2I="), "***, *** and ***");
    }

    #[test]
    fn annotations_are_escaped_and_counted() {
        let dir = tempfile::tempdir().unwrap();
        let (ui, log) = Ui::captured(&runner(dir.path()));
        let annotation = Annotation {
            level: Level::Error,
            title: "a: b, c".into(),
            message: "100%\n::set-output name=x::y".into(),
            file: Some("dist/x.whl".into()),
        };
        (0..11).for_each(|_| ui.annotate(&annotation));
        let text = log.text();
        let line = "::error file=dist/x.whl,title=a%3A b%2C c::100%25%0A::set-output name=x::y\n";
        assert_eq!(text.matches(line).count(), 10);
        assert!(text.contains("error: a: b, c: 100%\n\u{200b}::set-output"), "the eleventh is plain text");
    }
}
