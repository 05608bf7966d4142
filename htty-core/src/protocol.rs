//! The JSON lines of standard input and standard output.

use serde::Deserialize;
use serde_json::{Value, json};

/// A command on standard input.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(tag = "type", rename_all = "camelCase")]
pub(crate) enum Command {
    /// Bytes for the terminal.
    Input { payload: String },
    /// Keys by name, or text.
    SendKeys { keys: Vec<String> },
    /// A new size.
    Resize { cols: u16, rows: u16 },
    /// Asks for a `snapshot` event.
    TakeSnapshot,
    /// How later snapshots look.
    SetStyleMode { mode: StyleMode },
    /// Ends ht.
    Exit,
}

/// Whether a snapshot's text carries the terminal's styles.
#[derive(Debug, Clone, Copy, Default, Deserialize, PartialEq, Eq, clap::ValueEnum)]
#[serde(rename_all = "camelCase")]
pub(crate) enum StyleMode {
    /// Text alone.
    #[default]
    Plain,
    /// Text with SGR sequences (ECMA-48, 8.3.117).
    Styled,
}

/// The kinds of events that can be subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Init,
    Output,
    Resize,
    Snapshot,
    Pid,
    ExitCode,
    CommandCompleted,
    Debug,
}

const KINDS: [(&str, Kind); 8] = [
    ("init", Kind::Init),
    ("output", Kind::Output),
    ("resize", Kind::Resize),
    ("snapshot", Kind::Snapshot),
    ("pid", Kind::Pid),
    ("exitCode", Kind::ExitCode),
    ("commandCompleted", Kind::CommandCompleted),
    ("debug", Kind::Debug),
];

/// The events that the client wants.
#[derive(Debug, Clone, Default)]
pub(crate) struct Subscription(Vec<Kind>);

impl std::str::FromStr for Subscription {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |name: &str| {
            let known = KINDS.iter().find(|(known, _)| *known == name);
            known.map(|(_, kind)| *kind).ok_or_else(|| {
                let names: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
                format!("there is no event `{name}`, only {}", names.join(", "))
            })
        };
        text.split(',').map(|name| parse(name.trim())).collect::<Result<_, _>>().map(Self)
    }
}

impl Subscription {
    pub(crate) fn wants(&self, kind: Kind) -> bool {
        self.0.contains(&kind)
    }
}

/// One event as a line, without its newline.
pub(crate) fn line(kind: Kind, data: &Value) -> String {
    let name = KINDS.iter().find(|(_, known)| *known == kind).map_or("", |(name, _)| name);
    json!({"type": name, "data": data}).to_string()
}
