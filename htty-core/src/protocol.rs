//! The JSON lines of standard input and standard output.

use std::io;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cells::Run;
use crate::keys::KeyEvent;
use crate::mouse::Mouse;

/// The version of the protocol, which `init` carries: raised when a client that
/// knows the one before would misunderstand it. New fields and events do not count.
pub(crate) const VERSION: u32 = 1;

/// A terminal has at most so many columns, and so many rows.
pub(crate) const LARGEST: u16 = 1000;

/// A wide character must fit into a line: without that `alacritty_terminal` does not end.
pub(crate) const FEWEST_COLS: u16 = 2;

/// A command on standard input.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(tag = "type", rename_all = "camelCase")]
pub(crate) enum Command {
    /// Bytes for the terminal.
    Input { payload: String },
    /// Keys by name, or text.
    SendKeys {
        keys: Vec<String>,
        /// What happens to them.
        #[serde(default)]
        event: KeyEvent,
    },
    /// A new size.
    Resize { cols: u16, rows: u16 },
    /// Asks for a `snapshot` event: when the command is ready, and nothing was
    /// written for `settle` seconds, but after `timeout` seconds at the latest.
    TakeSnapshot {
        settle: Option<f64>,
        timeout: Option<f64>,
        /// What it has beside its text.
        #[serde(default)]
        include: Vec<Part>,
    },
    /// Text, as a terminal types what is pasted.
    Paste { text: String },
    /// What the mouse does.
    Mouse(Mouse),
    /// Moves what snapshots show: up into the history for a negative number of lines.
    ScrollView { lines: i32 },
    /// How later snapshots look.
    SetStyleMode { mode: StyleMode },
    /// Ends ht.
    Exit,
}

impl Command {
    /// Whether it waits until the command on the terminal is ready for it.
    pub(crate) fn waits(&self) -> bool {
        self.types() || matches!(self, Self::TakeSnapshot { .. } | Self::ScrollView { .. })
    }

    /// Whether it types something.
    pub(crate) fn types(&self) -> bool {
        matches!(self, Self::Input { .. } | Self::SendKeys { .. } | Self::Paste { .. } | Self::Mouse(_))
    }
}

/// Whether a snapshot's text carries the terminal's styles.
#[derive(Debug, Clone, Copy, Default, Deserialize, PartialEq, Eq, clap::ValueEnum)]
#[serde(rename_all = "camelCase")]
pub(crate) enum StyleMode {
    /// Text alone
    #[default]
    Plain,
    /// Text with SGR sequences (ECMA-48, 8.3.117)
    Styled,
}

/// An event, as it is written.
#[derive(Debug, Serialize)]
#[serde(tag = "type", content = "data", rename_all = "camelCase")]
pub(crate) enum Event<'a> {
    /// The screen at the start, the command's process ID, and this protocol's version.
    Init {
        #[serde(flatten)]
        screen: Snapshot,
        pid: u32,
        protocol: u32,
    },
    /// The command's process ID.
    Pid { pid: u32 },
    /// What the command wrote.
    Output { seq: &'a str },
    /// The terminal's new size.
    Resize { cols: u16, rows: u16 },
    /// The screen.
    Snapshot(Snapshot),
    /// The command has ended, so many seconds after the start.
    CommandCompleted { time: f64 },
    /// How the command ended.
    #[serde(rename_all = "camelCase")]
    ExitCode { exit_code: i32 },
    /// What ht does, for whoever looks for a fault.
    Debug { message: &'a str },
}

/// The screen at one moment.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Snapshot {
    pub(crate) cols: usize,
    pub(crate) rows: usize,
    /// The lines, as the style mode says.
    pub(crate) text: String,
    /// What makes an empty terminal of this size look like it.
    pub(crate) seq: String,
    /// Whether it had settled when it was taken, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) settled: Option<bool>,
    #[serde(flatten)]
    pub(crate) details: Details,
}

/// What a snapshot can have beside its text.
#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Part {
    Bells,
    Cells,
    Clipboard,
    Cursor,
    Html,
    Modes,
    Scrollback,
    Shell,
    Svg,
    Title,
    View,
    Wrapped,
}

/// What a snapshot has beside its text, as far as it was asked for.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Details {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<Cursor>,
    /// What the program has copied (OSC 52); `null` where it has not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) clipboard: Option<Value>,
    /// What the program has named its window; `null` where it has not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) title: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) modes: Option<Modes>,
    /// How often the bell has rung since the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bells: Option<u64>,
    /// The lines above the screen, the oldest first, as the style mode says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scrollback: Option<Vec<String>>,
    /// What the shell has marked (OSC 133); `null` where it marks nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shell: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) view: Option<View>,
    /// The rows that go on in the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wrapped: Option<Vec<usize>>,
    /// The runs of each row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cells: Option<Vec<Vec<Run>>>,
    /// The screen as an element of HTML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) html: Option<String>,
    /// The screen as an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) svg: Option<String>,
}

/// Where the cursor is, counted from 0, and how it looks.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Cursor {
    pub(crate) row: usize,
    pub(crate) col: usize,
    pub(crate) visible: bool,
    /// `block`, `underline` or `beam`.
    pub(crate) shape: &'static str,
}

/// Which lines a snapshot shows.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct View {
    /// How many lines above the screen it begins.
    pub(crate) offset: usize,
    /// How many lines there are above the screen.
    pub(crate) history: usize,
}

/// What the program has asked the terminal for.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::struct_excessive_bools, reason = "each is a mode that a program sets")]
pub(crate) struct Modes {
    pub(crate) alternate_screen: bool,
    pub(crate) application_cursor: bool,
    pub(crate) bracketed_paste: bool,
    pub(crate) focus_events: bool,
    /// Repeated and released keys are told (kitty keyboard protocol).
    pub(crate) key_events: bool,
    /// `off`, `click`, `drag` or `motion`.
    pub(crate) mouse: &'static str,
    /// Mouse events come as SGR sequences (mode 1006).
    pub(crate) sgr_mouse: bool,
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

impl Event<'_> {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Init { .. } => Kind::Init,
            Self::Pid { .. } => Kind::Pid,
            Self::Output { .. } => Kind::Output,
            Self::Resize { .. } => Kind::Resize,
            Self::Snapshot(_) => Kind::Snapshot,
            Self::CommandCompleted { .. } => Kind::CommandCompleted,
            Self::ExitCode { .. } => Kind::ExitCode,
            Self::Debug { .. } => Kind::Debug,
        }
    }

    /// Writes the event as JSON, without a newline.
    pub(crate) fn write(&self, into: impl io::Write) {
        // Nothing of it can fail to be written as JSON, and `into` is memory.
        let _ = serde_json::to_writer(into, self);
    }
}

/// Whether a terminal can have this size.
pub(crate) fn check_size(cols: u16, rows: u16) -> Result<(), String> {
    if (FEWEST_COLS..=LARGEST).contains(&cols) && (1..=LARGEST).contains(&rows) {
        return Ok(());
    }
    Err(format!("expected {FEWEST_COLS}x1 to {LARGEST}x{LARGEST} characters, found {cols}x{rows}"))
}

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
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.map(parse).collect::<Result<_, _>>().map(Self)
    }
}

impl Subscription {
    pub(crate) fn wants(&self, kind: Kind) -> bool {
        self.0.contains(&kind)
    }
}
