//! Mouse events and their encodings (xterm control sequences, "Mouse Tracking").

use serde::Deserialize;

use crate::keys::{self, KeyEvent, Keyboard};

/// A mouse event. Rows and columns count from 0.
#[derive(Debug, Clone, Copy, Deserialize, PartialEq)]
pub(crate) struct Mouse {
    pub(crate) action: Action,
    pub(crate) row: u16,
    pub(crate) col: u16,
    /// The button that is pressed, released or held; optional for `move`.
    #[serde(default)]
    pub(crate) button: Option<Button>,
    #[serde(default)]
    pub(crate) shift: bool,
    #[serde(default)]
    pub(crate) alt: bool,
    #[serde(default)]
    pub(crate) control: bool,
}

#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Action {
    Press,
    Release,
    Move,
    ScrollUp,
    ScrollDown,
    ScrollLeft,
    ScrollRight,
}

#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Button {
    Left,
    Middle,
    Right,
}

/// The mouse events that the program has enabled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tracking {
    #[default]
    Off,
    Click,
    Drag,
    Motion,
}

/// How mouse events are encoded.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MouseMode {
    pub(crate) tracking: Tracking,
    /// As SGR sequences (mode 1006).
    pub(crate) sgr: bool,
    /// With positions as UTF-8 (mode 1005).
    pub(crate) utf8: bool,
    /// Without tracking, the wheel sends cursor keys (mode 1007, on the alternate screen).
    pub(crate) wheel_keys: bool,
}

const MOTION: u8 = 32;

/// Encodes an event; fails if the program has not enabled it.
pub(crate) fn encode(mouse: Mouse, mode: MouseMode, keyboard: Keyboard) -> Result<Vec<u8>, &'static str> {
    if mode.tracking == Tracking::Off {
        let key = match mouse.action {
            Action::ScrollUp => "Up",
            Action::ScrollDown => "Down",
            _ => "",
        };
        if mode.wheel_keys && !key.is_empty() {
            return Ok(keys::encode(key, KeyEvent::Press, keyboard).bytes);
        }
        return Err("the command has not asked for mouse events");
    }
    let held = mouse.button.map_or(3, |button| button as u8);
    let pressed = mouse.button.map_or(0, |button| button as u8);
    let code = match mouse.action {
        Action::Move if mode.tracking == Tracking::Motion => held + MOTION,
        Action::Move if mode.tracking == Tracking::Drag && mouse.button.is_some() => held + MOTION,
        Action::Move => return Err("the command has not asked for the mouse's motion"),
        Action::Release if !mode.sgr => 3,
        Action::Press | Action::Release => pressed,
        Action::ScrollUp => 64,
        Action::ScrollDown => 65,
        Action::ScrollLeft => 66,
        Action::ScrollRight => 67,
    };
    let modifiers = [(mouse.shift, 4), (mouse.alt, 8), (mouse.control, 16)];
    let code = modifiers.iter().filter(|(set, _)| *set).fold(code, |code, (_, bit)| code | bit);
    if mode.sgr {
        let last = if mouse.action == Action::Release { 'm' } else { 'M' };
        return Ok(format!("\x1b[<{code};{};{}{last}", mouse.col + 1, mouse.row + 1).into_bytes());
    }
    let mut bytes = vec![0x1b, b'[', b'M', 32 + code];
    for position in [mouse.col, mouse.row] {
        // One byte per position, or one character (1005).
        let value = u32::from(position) + 33;
        match (u8::try_from(value), char::from_u32(value)) {
            (_, Some(character)) if mode.utf8 => {
                bytes.extend(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            (Ok(byte), _) => bytes.push(byte),
            _ => return Err("the position is too large for the command's mouse protocol"),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::{Action, Button, Mouse, MouseMode, Tracking, encode};
    use crate::keys::Keyboard;

    const LEFT: Option<Button> = Some(Button::Left);

    fn at(action: Action, button: Option<Button>) -> Mouse {
        Mouse { action, row: 2, col: 4, button, shift: false, alt: false, control: false }
    }

    fn sent(mouse: Mouse, mode: MouseMode) -> Result<String, &'static str> {
        let bytes = encode(mouse, mode, Keyboard::default())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    #[test]
    fn sgr_sequences() {
        let mode = MouseMode { tracking: Tracking::Motion, sgr: true, ..MouseMode::default() };
        let cases = [
            (at(Action::Press, LEFT), "\x1b[<0;5;3M"),
            (at(Action::Press, None), "\x1b[<0;5;3M"),
            (at(Action::Release, Some(Button::Right)), "\x1b[<2;5;3m"),
            (at(Action::Move, LEFT), "\x1b[<32;5;3M"),
            (at(Action::Move, None), "\x1b[<35;5;3M"),
            (at(Action::ScrollUp, None), "\x1b[<64;5;3M"),
            (at(Action::ScrollDown, None), "\x1b[<65;5;3M"),
            (Mouse { control: true, shift: true, ..at(Action::Press, LEFT) }, "\x1b[<20;5;3M"),
        ];
        for (mouse, expected) in cases {
            assert_eq!(sent(mouse, mode).as_deref(), Ok(expected), "{mouse:?}");
        }
    }

    #[test]
    fn older_sequences() {
        let mode = MouseMode { tracking: Tracking::Click, ..MouseMode::default() };
        assert_eq!(sent(at(Action::Press, LEFT), mode).as_deref(), Ok("\x1b[M %#"));
        assert_eq!(sent(at(Action::Release, LEFT), mode).as_deref(), Ok("\x1b[M#%#"));
        let far = Mouse { col: 300, ..at(Action::Press, LEFT) };
        assert!(sent(far, mode).is_err());
        let utf8 = MouseMode { utf8: true, ..mode };
        assert_eq!(sent(far, utf8).as_deref(), Ok("\x1b[M \u{14d}#"));
    }

    #[test]
    fn rejects_events_that_are_not_enabled() {
        let click = MouseMode { tracking: Tracking::Click, sgr: true, ..MouseMode::default() };
        assert!(sent(at(Action::Move, LEFT), click).is_err());
        let drag = MouseMode { tracking: Tracking::Drag, ..click };
        assert!(sent(at(Action::Move, LEFT), drag).is_ok());
        assert!(sent(at(Action::Move, None), drag).is_err());
        assert!(sent(at(Action::Press, LEFT), MouseMode::default()).is_err());
        let pager = MouseMode { wheel_keys: true, ..MouseMode::default() };
        assert_eq!(sent(at(Action::ScrollDown, None), pager).as_deref(), Ok("\x1b[B"));
        assert!(sent(at(Action::ScrollDown, None), MouseMode::default()).is_err());
    }
}
