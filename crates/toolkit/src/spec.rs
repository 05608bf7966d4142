//! The declaration of an action's interface.

use serde::Serialize;

/// An action's interface: the only source of its `action.yml`, its README tables,
/// its command line and the inputs that its code reads.
#[derive(Debug, Clone, Serialize)]
pub struct Spec {
    /// The name of the directory under `actions/` and of the binary.
    pub name: &'static str,
    /// One sentence.
    pub about: &'static str,
    /// The crate's version.
    pub version: &'static str,
    /// The input that receives positional arguments.
    pub positional: Option<&'static str>,
    /// All inputs, in the order of the documentation.
    pub inputs: &'static [Input],
    /// All outputs, in the order of the documentation.
    pub outputs: &'static [Output],
    /// Subcommands. Without one, the action does its main work.
    pub commands: &'static [Command],
    /// Options of other tools that users may try, each with a hint.
    #[serde(skip)]
    pub foreign_options: &'static [(&'static str, &'static str)],
}

/// One input: `INPUT_NAME` in the environment, `--name` on the command line.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Input {
    /// In kebab-case.
    pub name: &'static str,
    /// A description of one or two sentences, in Markdown.
    pub about: &'static str,
    /// What it accepts.
    pub kind: InputKind,
    /// The default; `""` for none.
    pub default: &'static str,
    /// Whether a missing value is an error.
    pub required: bool,
}

/// What an input accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum InputKind {
    /// Any text, unchanged.
    Text,
    /// A path on this machine.
    Path,
    /// One item per line; blank lines are ignored.
    List,
    /// Exactly `true` or `false`. `--name` alone is `true`.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// One of the words in the second field; `--name` alone is the first field.
    Mode(&'static str, &'static [&'static str]),
    /// A whole number within these bounds.
    Number(u64, u64),
    /// A token or password: read from the environment only, never an argument.
    Secret,
}

/// One output of the action.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Output {
    /// In kebab-case.
    pub name: &'static str,
    /// What it contains.
    pub about: &'static str,
}

/// A subcommand of the binary.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Command {
    /// The word on the command line.
    pub name: &'static str,
    /// One sentence.
    pub about: &'static str,
    /// The name of its argument, if it takes one.
    pub argument: Option<&'static str>,
    /// Whether it takes the arguments of [`Spec::positional`].
    pub is_positional: bool,
    /// What these arguments are for this command; `None` if they are as for the action.
    pub positional_about: Option<&'static str>,
    /// Its own options, which are not inputs of the action.
    pub options: &'static [Input],
    /// The action's inputs that it accepts as options; `None` for all.
    pub inputs: Option<&'static [&'static str]>,
}

impl Input {
    /// An optional input without a default.
    pub const fn new(name: &'static str, kind: InputKind, about: &'static str) -> Self {
        Self { name, about, kind, default: "", required: false }
    }

    /// Sets the default.
    #[must_use]
    pub const fn or(mut self, default: &'static str) -> Self {
        self.default = default;
        self
    }

    /// Makes a missing value an error.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Its environment variable. Hyphens become underscores, because dash drops variables with
    /// hyphens in their names.
    pub fn variable(&self) -> String {
        format!("INPUT_{}", self.name.to_uppercase().replace('-', "_"))
    }

    /// The accepted words, if it is a choice.
    pub fn words(&self) -> Option<&'static [&'static str]> {
        match self.kind {
            InputKind::Flag => Some(&["true", "false"]),
            InputKind::Choice(words) | InputKind::Mode(_, words) => Some(words),
            _ => None,
        }
    }

    /// The value of `--name` without a value, if that is allowed.
    pub(crate) fn bare(&self) -> Option<&'static str> {
        match self.kind {
            InputKind::Flag => Some("true"),
            InputKind::Mode(bare, _) => Some(bare),
            _ => None,
        }
    }
}

impl Command {
    /// A subcommand without arguments.
    pub const fn new(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            about,
            argument: None,
            is_positional: false,
            positional_about: None,
            options: &[],
            inputs: None,
        }
    }

    /// Adds a required argument.
    #[must_use]
    pub const fn argument(mut self, name: &'static str) -> Self {
        self.argument = Some(name);
        self
    }

    /// Accepts the positional arguments of the action.
    #[must_use]
    pub const fn positional(mut self) -> Self {
        self.is_positional = true;
        self
    }

    /// Describes the positional arguments for this command.
    #[must_use]
    pub const fn positional_about(mut self, about: &'static str) -> Self {
        self.positional_about = Some(about);
        self
    }

    /// Accepts only these inputs.
    #[must_use]
    pub const fn inputs(mut self, inputs: &'static [&'static str]) -> Self {
        self.inputs = Some(inputs);
        self
    }

    /// Whether it takes an input of the action.
    pub(crate) fn takes(&self, input: &Input) -> bool {
        self.inputs.is_none_or(|inputs| inputs.contains(&input.name))
    }

    /// Adds its own options.
    #[must_use]
    pub const fn options(mut self, options: &'static [Input]) -> Self {
        self.options = options;
        self
    }
}

impl Output {
    /// An output.
    pub const fn new(name: &'static str, about: &'static str) -> Self {
        Self { name, about }
    }
}

impl Spec {
    /// The declared input `name`.
    ///
    /// # Panics
    /// If the action reads an input that it does not declare.
    pub fn input(&self, name: &str) -> &'static Input {
        let found = self.inputs.iter().find(|input| input.name == name);
        found.unwrap_or_else(|| panic!("{} declares no input `{name}`", self.name))
    }
}
