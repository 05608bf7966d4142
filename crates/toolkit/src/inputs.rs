//! Reads inputs strictly: an invalid value is an error and never replaced by the default, and
//! all errors are reported at once.

use std::fmt;
use std::path::PathBuf;

use crate::{Choice, Env, Exit, Failure, Input, InputKind, Secret, Spec};

/// An error in one input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputError {
    /// The input's name.
    pub name: String,
    /// What was expected and what was found.
    pub message: String,
}

/// All errors in the inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputErrors(pub Vec<InputError>);

impl fmt::Display for InputErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let line = if index == 0 { "" } else { "\n" };
            write!(f, "{line}input `{}`: {}", error.name, error.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for InputErrors {}

impl Failure for InputErrors {
    fn exit(&self) -> Exit {
        Exit::Usage
    }
}

/// Reads the inputs that a [`Spec`] declares, and collects errors.
#[derive(Debug)]
pub struct Reader<'a> {
    spec: &'a Spec,
    env: &'a Env,
    errors: Vec<InputError>,
}

/// The secrets of all actions: a shell exports them once, for every binary. `cargo xtask gen`
/// compares them with the actions' declarations.
pub const SECRETS: [&str; 4] =
    ["INPUT_ACCESS_TOKENS", "INPUT_GITHUB_TOKEN", "INPUT_PASSWORD", "INPUT_SIMPLE_PASSWORD"];

impl<'a> Reader<'a> {
    /// A reader of `env`. Outside of a workflow, undeclared `INPUT_…` variables are errors. In a
    /// workflow they are not, because `action.yml` lists what is passed on, the runner warns about
    /// unknown `with:` entries, and act sets further variables (`INPUT_DRY-RUN`, those of an outer
    /// action).
    pub fn new(spec: &'a Spec, env: &'a Env) -> Self {
        let mut reader = Self { spec, env, errors: Vec::new() };
        let known: Vec<String> = spec.inputs.iter().map(Input::variable).collect();
        let workflow = env.get("GITHUB_ACTIONS") == Some("true");
        for (name, _) in env.iter().filter(|_| !workflow) {
            let is_known = known.iter().any(|known| known == name) || SECRETS.contains(&name);
            if name.starts_with("INPUT_") && !is_known {
                let input = name["INPUT_".len()..].to_lowercase().replace('_', "-");
                let names = spec.inputs.iter().map(|input| input.name);
                let message = match closest(&input, names) {
                    Some(close) => format!("unknown input; did you mean `{close}`?"),
                    None => "unknown input".to_owned(),
                };
                reader.error(&input, message);
            }
        }
        reader
    }

    /// Records an error in the input `name` that the action found itself.
    pub fn error(&mut self, name: &str, message: impl Into<String>) {
        self.errors.push(InputError { name: name.to_owned(), message: message.into() });
    }

    /// The value of a text without surrounding white space, if there is one.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let input = self.spec.input(name);
        let given = self.env.get(&input.variable()).map(str::trim).filter(|value| !value.is_empty());
        let value = given.or(Some(input.default).filter(|default| !default.is_empty()));
        if value.is_none() && input.required {
            self.error(name, "a value is required");
        }
        value.map(str::to_owned)
    }

    /// A text that has a default or is required. `""` after an error.
    pub fn string(&mut self, name: &str) -> String {
        self.text(name).unwrap_or_default()
    }

    /// A path, if there is one.
    pub fn path(&mut self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    /// The items of a list, one per line.
    pub fn list(&mut self, name: &str) -> Vec<String> {
        let text = self.string(name);
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// The lines of a text as they are, because a shell or another program reads them, without
    /// empty ones at its start and end.
    pub fn lines(&mut self, name: &str) -> Vec<String> {
        let input = self.spec.input(name);
        if self.text(name).is_none() {
            return Vec::new();
        }
        let given = self.env.get(&input.variable()).filter(|value| !value.trim().is_empty());
        let lines: Vec<&str> = given.unwrap_or(input.default).lines().collect();
        let is_text = |line: &&str| !line.trim().is_empty();
        let start = lines.iter().position(is_text).unwrap_or_default();
        let end = lines.iter().rposition(is_text).map_or(0, |last| last + 1);
        lines[start..end].iter().map(|line| (*line).to_owned()).collect()
    }

    /// A flag: exactly `true` or `false`.
    pub fn flag(&mut self, name: &str) -> bool {
        self.word(name) == "true"
    }

    /// The value of a choice that has a default or is required. After an error it is the first
    /// choice, and [`finish`](Self::finish) returns the error.
    ///
    /// # Panics
    /// If the input is declared with other words than those of `C`.
    pub fn choice<C: Choice>(&mut self, name: &str) -> C {
        self.optional_choice(name).unwrap_or(C::VALUES[0])
    }

    /// The value of a choice, if there is one.
    ///
    /// # Panics
    /// If the input is declared with other words than those of `C`.
    pub fn optional_choice<C: Choice>(&mut self, name: &str) -> Option<C> {
        self.choice_of(name, C::WORDS)
    }

    /// The value of a choice; `None` is `auto`.
    ///
    /// # Panics
    /// If the input is declared with other words than `auto` and those of `C`.
    pub fn choice_or_auto<C: Choice>(&mut self, name: &str) -> Option<C> {
        self.choice_of(name, C::WORDS_OR_AUTO)
    }

    fn choice_of<C: Choice>(&mut self, name: &str, words: &[&str]) -> Option<C> {
        let declared = self.spec.input(name).words();
        assert_eq!(declared, Some(words), "{}: `{name}` is declared with other words", self.spec.name);
        C::from_word(self.word(name))
    }

    /// One of the declared words; `""` if there is none or after an error.
    pub(crate) fn word(&mut self, name: &str) -> &'static str {
        let input = self.spec.input(name);
        let words = input.words().unwrap_or_default();
        let Some(value) = self.text(name) else { return "" };
        if let Some(word) = words.iter().find(|word| **word == value) {
            return word;
        }
        let expected = words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        let close = closest(&value, words.iter().copied());
        let hint = close.map(|close| format!("; did you mean `{close}`?")).unwrap_or_default();
        self.error(name, format!("expected one of {expected}, found `{value}`{hint}"));
        ""
    }

    /// A whole number within the declared bounds.
    pub fn number(&mut self, name: &str) -> Option<u64> {
        let InputKind::Number(low, high) = self.spec.input(name).kind else { return None };
        let value = self.text(name)?;
        match value.parse() {
            Ok(number) if (low..=high).contains(&number) => Some(number),
            _ => {
                self.error(name, format!("expected a number from {low} to {high}, found `{value}`"));
                None
            }
        }
    }

    /// A secret, if there is one.
    pub fn secret(&mut self, name: &str) -> Option<Secret> {
        self.text(name).map(Secret::new)
    }

    /// The value of `name` as parsed by `parse`; records its error.
    pub fn parse<T, E: fmt::Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.text(name)?;
        match parse(&value) {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.error(name, error.to_string());
                None
            }
        }
    }

    /// Returns `inputs`, or the recorded errors.
    pub fn finish<T>(self, inputs: T) -> Result<T, InputErrors> {
        if self.errors.is_empty() { Ok(inputs) } else { Err(InputErrors(self.errors)) }
    }
}

/// The closest word within an edit distance of two.
fn closest<'w>(word: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    words
        .map(|known| (strsim::osa_distance(word, known), known))
        .min()
        .filter(|(edits, _)| *edits <= 2)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: Spec = Spec {
        name: "sample",
        about: "A sample.",
        version: "0.0.0",
        positional: None,
        inputs: &[
            Input::new("dry-run", InputKind::Flag, "Only the plan.").or("false"),
            Input::new("paths", InputKind::List, "Files.").or("dist"),
            Input::new("index", InputKind::Text, "The index.").required(),
            Input::new("jobs", InputKind::Number(1, 8), "How many.").or("4"),
        ],
        outputs: &[],
        commands: &[],
        foreign_options: &[],
    };

    #[test]
    fn all_errors_are_reported_at_once() {
        let env = Env::from_iter([("INPUT_DRY_RUN", "ture"), ("INPUT_JOBS", "9"), ("INPUT_PATH", "x")]);
        let mut reader = Reader::new(&SPEC, &env);
        let read = (reader.flag("dry-run"), reader.string("index"), reader.number("jobs"));
        let errors = reader.finish(read).unwrap_err().to_string();
        assert_eq!(
            errors,
            "input `path`: unknown input; did you mean `paths`?\n\
             input `dry-run`: expected one of `true`, `false`, found `ture`; did you mean `true`?\n\
             input `index`: a value is required\n\
             input `jobs`: expected a number from 1 to 8, found `9`"
        );
    }

    #[test]
    fn ignores_an_exported_secret_of_another_action() {
        for secret in ["INPUT_ACCESS_TOKENS", "INPUT_PASSWORD"] {
            let env = Env::from_iter([(secret, "x"), ("INPUT_INDEX", "pypi")]);
            let mut reader = Reader::new(&SPEC, &env);
            let index = reader.string("index");
            assert_eq!(reader.finish(index), Ok("pypi".into()), "{secret}");
        }
    }

    #[test]
    fn ignores_other_variables_in_a_workflow() {
        let env =
            Env::from_iter([("GITHUB_ACTIONS", "true"), ("INPUT_DRY-RUN", "true"), ("INPUT_INDEX", "pypi")]);
        let mut reader = Reader::new(&SPEC, &env);
        let read = (reader.flag("dry-run"), reader.string("index"));
        assert_eq!(reader.finish(read), Ok((false, "pypi".into())));
    }

    /// A shell script may contain one in another language.
    #[test]
    fn the_lines_of_a_script_keep_their_indentation() {
        let env = Env::from_iter([("INPUT_PATHS", "\n  \n  a\r\n\n    b  \n\n"), ("INPUT_INDEX", "pypi")]);
        let mut reader = Reader::new(&SPEC, &env);
        assert_eq!(reader.lines("paths"), ["  a", "", "    b  "]);
        let env = Env::from_iter([("INPUT_PATHS", " \n"), ("INPUT_INDEX", "pypi")]);
        assert_eq!(Reader::new(&SPEC, &env).lines("paths"), ["dist"], "the default");
    }

    #[test]
    fn empty_is_none_and_defaults_apply() {
        let env = Env::from_iter([("INPUT_INDEX", " pypi "), ("INPUT_PATHS", "")]);
        let mut reader = Reader::new(&SPEC, &env);
        let read =
            (reader.flag("dry-run"), reader.list("paths"), reader.string("index"), reader.number("jobs"));
        assert_eq!(reader.finish(read), Ok((false, vec!["dist".into()], "pypi".into(), Some(4))));
    }
}
