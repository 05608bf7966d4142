//! Key names and their encodings: xterm's sequences, or those of the kitty keyboard protocol
//! if the program has enabled it.

use serde::Deserialize;

/// How keys are encoded.
#[derive(Debug, Clone, Copy, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a mode that a program sets")]
pub(crate) struct Keyboard {
    /// Cursor keys in application mode (DECCKM).
    pub(crate) application: bool,
    /// Kitty: keys with an ambiguous encoding are sent as sequences.
    pub(crate) unambiguous: bool,
    /// Kitty: text is sent as sequences too.
    pub(crate) all_as_sequences: bool,
    /// Kitty: these sequences contain the text.
    pub(crate) with_text: bool,
    /// Kitty: repeated and released keys are reported.
    pub(crate) events: bool,
}

/// What happens to a key.
#[derive(Debug, Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) enum KeyEvent {
    #[default]
    Press,
    /// It is held down. Sent as another press if the program has not enabled these events.
    Repeat,
    /// It is released. Sent only if the program has enabled these events.
    Release,
}

/// The encoding of a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    /// Whether it is a lone Escape, which could be the start of a sequence.
    pub(crate) is_escape: bool,
}

const SHIFT: u8 = 1;
const ALT: u8 = 2;
const CONTROL: u8 = 4;

/// Encodes a key, or text that is not the name of a key.
pub(crate) fn encode(key: &str, event: KeyEvent, keyboard: Keyboard) -> Encoded {
    let event = if keyboard.events { event } else { KeyEvent::Press };
    let as_kitty = keyboard.unambiguous || event != KeyEvent::Press;
    let bytes = match parse(key) {
        Some((base, modifiers)) if as_kitty => kitty(base, modifiers, event, keyboard),
        Some((base, modifiers)) => legacy(base, modifiers, keyboard.application),
        None => None,
    };
    let bytes = bytes.unwrap_or_else(|| text(key, event, keyboard));
    Encoded { is_escape: bytes == [0x1b], bytes }
}

/// Encodes text.
fn text(text: &str, event: KeyEvent, keyboard: Keyboard) -> Vec<u8> {
    if !keyboard.all_as_sequences && event != KeyEvent::Release {
        return text.as_bytes().to_vec();
    }
    let keys = text.chars().map(|character| match character {
        '\r' | '\n' => kitty(Base::Plain("Enter"), 0, event, keyboard),
        '\t' => kitty(Base::Plain("Tab"), 0, event, keyboard),
        character => kitty(Base::Character(character), 0, event, keyboard),
    });
    keys.flatten().flatten().collect()
}

/// A key without its modifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base<'a> {
    /// A key with its own byte.
    Plain(&'a str),
    /// `CSI LETTER`.
    Letter(char),
    /// F1 to F4: `SS3 LETTER`.
    Function(char),
    /// `CSI NUMBER ~`.
    Number(u8),
    Character(char),
}

/// Parses a key and its modifiers, in any order; `None` for text.
fn parse(key: &str) -> Option<(Base<'_>, u8)> {
    if let Some(rest) = key.strip_prefix('^').filter(|rest| !rest.is_empty()) {
        return Some((base(rest).filter(|base| matches!(base, Base::Character(_)))?, CONTROL));
    }
    let mut name = key;
    let mut modifiers = 0;
    while let Some((modifier, rest)) = name.split_at_checked(2).filter(|(_, rest)| !rest.is_empty()) {
        modifiers |= match modifier {
            "S-" => SHIFT,
            "A-" => ALT,
            "C-" => CONTROL,
            _ => break,
        };
        name = rest;
    }
    let base = base(name)?;
    // A single character is text.
    (modifiers != 0 || !matches!(base, Base::Character(_))).then_some((base, modifiers))
}

fn base(name: &str) -> Option<Base<'_>> {
    Some(match name {
        "Enter" | "Tab" | "Escape" | "Backspace" | "Space" => Base::Plain(name),
        "Up" => Base::Letter('A'),
        "Down" => Base::Letter('B'),
        "Right" => Base::Letter('C'),
        "Left" => Base::Letter('D'),
        "Home" => Base::Letter('H'),
        "End" => Base::Letter('F'),
        "F1" => Base::Function('P'),
        "F2" => Base::Function('Q'),
        "F3" => Base::Function('R'),
        "F4" => Base::Function('S'),
        "Insert" => Base::Number(2),
        "Delete" => Base::Number(3),
        "PageUp" => Base::Number(5),
        "PageDown" => Base::Number(6),
        "F5" => Base::Number(15),
        "F6" => Base::Number(17),
        "F7" => Base::Number(18),
        "F8" => Base::Number(19),
        "F9" => Base::Number(20),
        "F10" => Base::Number(21),
        "F11" => Base::Number(23),
        "F12" => Base::Number(24),
        _ => {
            let mut characters = name.chars();
            let character = characters.next()?;
            characters.next().is_none().then_some(Base::Character(character))?
        }
    })
}

/// xterm's encoding; `None` for text.
fn legacy(base: Base<'_>, modifiers: u8, application: bool) -> Option<Vec<u8>> {
    let sequence = match (base, modifiers) {
        (Base::Letter(letter), 0) if application => format!("\x1bO{letter}"),
        (Base::Letter(letter), 0) => format!("\x1b[{letter}"),
        (Base::Function(letter), 0) => format!("\x1bO{letter}"),
        (Base::Letter(letter) | Base::Function(letter), _) => format!("\x1b[1;{}{letter}", modifiers + 1),
        (Base::Number(number), 0) => format!("\x1b[{number}~"),
        (Base::Number(number), _) => format!("\x1b[{number};{}~", modifiers + 1),
        (Base::Plain("Tab"), SHIFT) => "\x1b[Z".to_owned(),
        (Base::Plain("Space"), CONTROL) => "\0".to_owned(),
        (Base::Plain(name), 0 | ALT) => {
            let escape = if modifiers == ALT { "\x1b" } else { "" };
            format!("{escape}{}", char::from(plain(name)))
        }
        (Base::Character(character), CONTROL) => char::from(control(character)?).to_string(),
        (Base::Character(character), ALT) => format!("\x1b{character}"),
        (Base::Character(character), both) if both == ALT | CONTROL => {
            format!("\x1b{}", char::from(control(character)?))
        }
        _ => return None,
    };
    Some(sequence.into_bytes())
}

fn plain(name: &str) -> u8 {
    match name {
        "Enter" => b'\r',
        "Tab" => b'\t',
        "Escape" => 0x1b,
        "Backspace" => 0x7f,
        _ => b' ',
    }
}

/// The control character for a character (ASCII: the code without its upper bits).
fn control(character: char) -> Option<u8> {
    let byte = u8::try_from(character).ok()?;
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'@' | b'[' | b'\\' | b']' | b'^' | b'_' => Some(byte & 0x1f),
        b' ' => Some(0),
        b'/' => Some(0x1e),
        b'-' => Some(0x1f),
        b'?' => Some(0x7f),
        _ => None,
    }
}

/// The encoding of the kitty keyboard protocol; `None` for what stays text.
fn kitty(base: Base<'_>, modifiers: u8, event: KeyEvent, keyboard: Keyboard) -> Option<Vec<u8>> {
    let released = event == KeyEvent::Release;
    let is_text = modifiers == 0 && !keyboard.all_as_sequences;
    let how = how(modifiers, event);
    let sequence = match base {
        Base::Function('R') if how.is_empty() => "\x1b[13~".to_owned(),
        Base::Function('R') => format!("\x1b[13;{how}~"),
        Base::Letter(letter) | Base::Function(letter) if how.is_empty() => format!("\x1b[{letter}"),
        Base::Letter(letter) | Base::Function(letter) => format!("\x1b[1;{how}{letter}"),
        Base::Number(number) if how.is_empty() => format!("\x1b[{number}~"),
        Base::Number(number) => format!("\x1b[{number};{how}~"),
        // These keep their encoding, so that a shell stays usable if a program crashes.
        Base::Plain("Enter" | "Tab" | "Backspace") if is_text && released => String::new(),
        Base::Plain(name @ ("Enter" | "Tab" | "Backspace")) if is_text => char::from(plain(name)).to_string(),
        Base::Plain("Space") if is_text && !released => " ".to_owned(),
        Base::Plain("Space") => return kitty(Base::Character(' '), modifiers, event, keyboard),
        Base::Plain(name) => escape_u(plain(name).into(), &how, ""),
        Base::Character(_) if is_text && !released => return None,
        Base::Character(character) => {
            let lower = character.to_lowercase().next().unwrap_or(character);
            let shift = if lower == character { 0 } else { SHIFT };
            let modifiers = modifiers | shift;
            let typed = u32::from(character).to_string();
            let has_text = keyboard.with_text && modifiers & !SHIFT == 0 && !released;
            escape_u(lower.into(), &self::how(modifiers, event), if has_text { &typed } else { "" })
        }
    };
    Some(sequence.into_bytes())
}

/// The parameter for the modifiers and the event; empty if it is not needed.
fn how(modifiers: u8, event: KeyEvent) -> String {
    match event {
        KeyEvent::Press if modifiers == 0 => String::new(),
        KeyEvent::Press => format!("{}", modifiers + 1),
        KeyEvent::Repeat => format!("{}:2", modifiers + 1),
        KeyEvent::Release => format!("{}:3", modifiers + 1),
    }
}

/// `CSI CODE ; HOW ; TEXT u`, without unneeded parameters.
fn escape_u(code: u32, how: &str, text: &str) -> String {
    match (how, text) {
        ("", "") => format!("\x1b[{code}u"),
        (how, "") => format!("\x1b[{code};{how}u"),
        (how, text) => format!("\x1b[{code};{how};{text}u"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Encoded, KeyEvent, Keyboard};

    fn encode(key: &str, keyboard: Keyboard) -> Encoded {
        super::encode(key, KeyEvent::Press, keyboard)
    }

    #[test]
    fn encodes_keys_and_text() {
        let cases: [(&str, &str); 22] = [
            ("Enter", "\r"),
            ("S-Tab", "\x1b[Z"),
            ("C-c", "\x03"),
            ("^C", "\x03"),
            ("^", "^"),
            ("C-Space", "\0"),
            ("C-/", "\x1e"),
            ("C--", "\x1f"),
            ("A-x", "\x1bx"),
            ("A- ", "\x1b "),
            ("A--", "\x1b-"),
            ("A-Enter", "\x1b\r"),
            ("C-A-x", "\x1b\x18"),
            ("Left", "\x1b[D"),
            ("C-S-Left", "\x1b[1;6D"),
            ("A-S-Home", "\x1b[1;4H"),
            ("F1", "\x1bOP"),
            ("F12", "\x1b[24~"),
            ("S-PageUp", "\x1b[5;2~"),
            ("plain text", "plain text"),
            ("X-Left", "X-Left"),
            ("C-é", "C-é"),
        ];
        for (key, bytes) in cases {
            assert_eq!(encode(key, Keyboard::default()).bytes, bytes.as_bytes(), "{key}");
        }
        let application = Keyboard { application: true, ..Keyboard::default() };
        assert_eq!(encode("Left", application).bytes, b"\x1bOD");
        assert_eq!(encode("S-Left", application).bytes, b"\x1b[1;2D");
    }

    #[test]
    fn only_a_lone_escape_is_ambiguous() {
        let escapes = |keyboard| {
            let keys = ["Escape", "C-[", "A-x", "Left", "x"];
            keys.map(|key| encode(key, keyboard).is_escape)
        };
        assert_eq!(escapes(Keyboard::default()), [true, true, false, false, false]);
        assert_eq!(escapes(Keyboard { unambiguous: true, ..Keyboard::default() }), [false; 5]);
    }

    #[test]
    fn kitty_keyboard_protocol() {
        let some = Keyboard { unambiguous: true, ..Keyboard::default() };
        let all = Keyboard { all_as_sequences: true, ..some };
        let text = Keyboard { with_text: true, ..all };
        let cases = [
            ("Escape", some, "\x1b[27u"),
            ("Enter", some, "\r"),
            ("Enter", all, "\x1b[13u"),
            ("S-Tab", some, "\x1b[9;2u"),
            ("C-c", some, "\x1b[99;5u"),
            ("C-A", some, "\x1b[97;6u"),
            ("A-x", some, "\x1b[120;3u"),
            ("Space", some, " "),
            ("C-Space", some, "\x1b[32;5u"),
            ("Left", Keyboard { application: true, ..some }, "\x1b[D"),
            ("F3", some, "\x1b[13~"),
            ("F1", some, "\x1b[P"),
            ("aB", some, "aB"),
            ("aB", all, "\x1b[97u\x1b[98;2u"),
            ("aB", text, "\x1b[97;;97u\x1b[98;2;66u"),
        ];
        for (key, keyboard, bytes) in cases {
            assert_eq!(String::from_utf8(encode(key, keyboard).bytes).unwrap(), bytes, "{key}");
        }
    }

    #[test]
    fn encodes_repeated_and_released_keys() {
        let events = Keyboard { events: true, ..Keyboard::default() };
        let some = Keyboard { unambiguous: true, ..events };
        let all = Keyboard { all_as_sequences: true, ..some };
        let text = Keyboard { with_text: true, ..all };
        let none = Keyboard { unambiguous: true, ..Keyboard::default() };
        let cases = [
            ("Up", events, "\x1b[1;1:2A", "\x1b[1;1:3A"),
            ("C-S-Left", some, "\x1b[1;6:2D", "\x1b[1;6:3D"),
            ("F3", some, "\x1b[13;1:2~", "\x1b[13;1:3~"),
            ("Delete", some, "\x1b[3;1:2~", "\x1b[3;1:3~"),
            ("Escape", some, "\x1b[27;1:2u", "\x1b[27;1:3u"),
            ("Enter", some, "\r", ""),
            ("Enter", all, "\x1b[13;1:2u", "\x1b[13;1:3u"),
            ("Space", some, " ", "\x1b[32;1:3u"),
            ("a", some, "a", "\x1b[97;1:3u"),
            ("C-c", some, "\x1b[99;5:2u", "\x1b[99;5:3u"),
            ("ab", all, "\x1b[97;1:2u\x1b[98;1:2u", "\x1b[97;1:3u\x1b[98;1:3u"),
            ("B", text, "\x1b[98;2:2;66u", "\x1b[98;2:3u"),
            // Not enabled: sent as another press.
            ("Up", none, "\x1b[A", "\x1b[A"),
        ];
        for (key, keyboard, repeated, released) in cases {
            for (event, bytes) in [(KeyEvent::Repeat, repeated), (KeyEvent::Release, released)] {
                let sent = String::from_utf8(super::encode(key, event, keyboard).bytes).unwrap();
                assert_eq!(sent, bytes, "{key} {event:?}");
            }
        }
        assert_eq!(super::encode("Up", KeyEvent::Press, events).bytes, b"\x1b[A");
    }
}
