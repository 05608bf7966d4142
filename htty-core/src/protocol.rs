//! The JSON lines of standard input and standard output.

use std::io;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cells::Run;
use crate::keys::KeyEvent;
use crate::mouse::Mouse;

/// The version of the protocol, which `init` contains. It is raised if existing clients would
/// misunderstand the new one, but not for new fields and events.
pub(crate) const VERSION: u32 = 1;

/// The maximum number of columns and of rows.
pub(crate) const MAX_SIZE: u16 = 1000;

/// A wide character must fit into a line: otherwise `alacritty_terminal` loops forever.
pub(crate) const MIN_COLS: u16 = 2;

/// A command on standard input.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(tag = "type", rename_all = "camelCase")]
pub(crate) enum Command {
    /// Types bytes.
    Input { payload: String },
    /// Types keys by name, or text.
    SendKeys {
        keys: Vec<String>,
        /// What happens to the keys.
        #[serde(default)]
        event: KeyEvent,
    },
    /// Changes the size.
    Resize { cols: u16, rows: u16 },
    /// Requests a `snapshot` event as soon as the command is ready and has written nothing for
    /// `settle` seconds, but at most after `timeout` seconds.
    TakeSnapshot {
        settle: Option<f64>,
        timeout: Option<f64>,
        /// What to include besides the text.
        #[serde(default)]
        include: Vec<Part>,
    },
    /// Pastes text.
    Paste { text: String },
    /// A mouse event.
    Mouse(Mouse),
    /// Scrolls the view that snapshots show; negative numbers scroll up.
    ScrollView { lines: i32 },
    /// Sets the style of later snapshots.
    SetStyleMode { mode: StyleMode },
    /// Exits ht.
    Exit,
}

impl Command {
    /// Whether it waits until the command on the terminal is ready.
    pub(crate) fn waits(&self) -> bool {
        self.types() || matches!(self, Self::TakeSnapshot { .. } | Self::ScrollView { .. })
    }

    /// Whether it types something.
    pub(crate) fn types(&self) -> bool {
        matches!(self, Self::Input { .. } | Self::SendKeys { .. } | Self::Paste { .. } | Self::Mouse(_))
    }
}

/// Whether a snapshot's text contains styles.
#[derive(Debug, Clone, Copy, Default, Deserialize, PartialEq, Eq, clap::ValueEnum)]
#[serde(rename_all = "camelCase")]
pub(crate) enum StyleMode {
    /// Plain text
    #[default]
    Plain,
    /// Text with SGR sequences (ECMA-48, 8.3.117)
    Styled,
}

/// An event on standard output.
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
    /// The command has exited, this many seconds after the start.
    CommandCompleted { time: f64 },
    /// The command's exit code.
    #[serde(rename_all = "camelCase")]
    ExitCode { exit_code: i32 },
    /// What ht does, for debugging.
    Debug { message: &'a str },
}

/// The screen at a moment.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Snapshot {
    pub(crate) cols: usize,
    pub(crate) rows: usize,
    /// The lines, in the current style mode.
    pub(crate) text: String,
    /// Output that makes an empty terminal of this size look the same.
    pub(crate) seq: String,
    /// Whether it had settled, if `settle` or `timeout` was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) settled: Option<bool>,
    #[serde(flatten)]
    pub(crate) details: Details,
}

/// What a snapshot can include besides its text.
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

/// What a snapshot includes besides its text, as requested.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Details {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<Cursor>,
    /// The text that the program copied last (OSC 52); `null` if it has not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) clipboard: Option<Value>,
    /// The window title; `null` if the program has set none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) title: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) modes: Option<Modes>,
    /// How often the bell has rung since the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bells: Option<u64>,
    /// The lines above the screen, oldest first, in the current style mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scrollback: Option<Vec<String>>,
    /// The shell's state, by its marks (OSC 133); `null` without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shell: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) view: Option<View>,
    /// The rows that are wrapped into the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wrapped: Option<Vec<usize>>,
    /// The runs of each row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cells: Option<Vec<Vec<Run>>>,
    /// The screen as an HTML element.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) html: Option<String>,
    /// The screen as an SVG image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) svg: Option<String>,
}

/// The cursor's position, counted from 0, and its shape.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Cursor {
    pub(crate) row: usize,
    pub(crate) col: usize,
    pub(crate) visible: bool,
    /// `block`, `underline` or `beam`.
    pub(crate) shape: &'static str,
}

/// The lines that a snapshot shows.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct View {
    /// How many lines above the screen the view starts.
    pub(crate) offset: usize,
    /// The number of lines above the screen.
    pub(crate) history: usize,
}

/// Terminal modes that the program has set.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::struct_excessive_bools, reason = "each is a mode that a program sets")]
pub(crate) struct Modes {
    pub(crate) alternate_screen: bool,
    pub(crate) application_cursor: bool,
    pub(crate) bracketed_paste: bool,
    pub(crate) focus_events: bool,
    /// Repeated and released keys are reported (kitty keyboard protocol).
    pub(crate) key_events: bool,
    /// `off`, `click`, `drag` or `motion`.
    pub(crate) mouse: &'static str,
    /// Mouse events are sent as SGR sequences (mode 1006).
    pub(crate) sgr_mouse: bool,
}

/// The kinds of events that clients can subscribe to.
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
        // Serialisation cannot fail, and `into` is memory.
        let _ = serde_json::to_writer(into, self);
    }
}

/// Rejects sizes that a terminal cannot have.
pub(crate) fn check_size(cols: u16, rows: u16) -> Result<(), String> {
    if (MIN_COLS..=MAX_SIZE).contains(&cols) && (1..=MAX_SIZE).contains(&rows) {
        return Ok(());
    }
    Err(format!("expected {MIN_COLS}x1 to {MAX_SIZE}x{MAX_SIZE} characters, found {cols}x{rows}"))
}

/// The events that a client has subscribed to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Subscription(Vec<Kind>);

impl std::str::FromStr for Subscription {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |name: &str| {
            let known = KINDS.iter().find(|(known, _)| *known == name);
            known.map(|(_, kind)| *kind).ok_or_else(|| {
                let names: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
                format!("unknown event `{name}`, expected one of {}", names.join(", "))
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
