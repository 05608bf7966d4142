//! Key names, and the bytes a terminal sends for them (xterm's sequences).

/// The bytes for one key, or for text that is no key's name. `application`
/// tells whether cursor keys are in application mode (DECCKM).
pub(crate) fn encode(key: &str, application: bool) -> Vec<u8> {
    if let Some(bytes) = named(key, application) {
        return bytes;
    }
    if let Some(rest) = key.strip_prefix('^').or_else(|| key.strip_prefix("C-"))
        && let Some(byte) = control(rest)
    {
        return vec![byte];
    }
    if let Some(rest) = key.strip_prefix("A-") {
        let mut chars = rest.chars();
        if let (Some(_), None) = (chars.next(), chars.next()) {
            return [b"\x1b", rest.as_bytes()].concat();
        }
        if rest == "Enter" || rest == "Space" || rest == "Tab" || rest == "Backspace" || rest == "Escape" {
            return [b"\x1b".to_vec(), encode(rest, application)].concat();
        }
    }
    key.as_bytes().to_vec()
}

/// What Ctrl makes of one character (ASCII: the code without its upper bits).
fn control(rest: &str) -> Option<u8> {
    if rest == "Space" {
        return Some(0);
    }
    let [byte] = *rest.as_bytes() else { return None };
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'@' | b'[' | b'\\' | b']' | b'^' | b'_' => Some(byte & 0x1f),
        b' ' => Some(0),
        b'/' => Some(0x1e),
        b'-' => Some(0x1f),
        b'?' => Some(0x7f),
        _ => None,
    }
}

fn named(key: &str, application: bool) -> Option<Vec<u8>> {
    let plain: &[u8] = match key {
        "Enter" => b"\r",
        "Tab" => b"\t",
        "S-Tab" => b"\x1b[Z",
        "Space" => b" ",
        "Escape" => b"\x1b",
        "Backspace" => b"\x7f",
        _ => return special(key, application),
    };
    Some(plain.to_vec())
}

/// Cursor, editing and function keys, with modifiers in any order.
fn special(key: &str, application: bool) -> Option<Vec<u8>> {
    let mut name = key;
    let mut modifiers = 0;
    while let Some((modifier, rest)) = name.split_once('-').filter(|(modifier, _)| modifier.len() == 1) {
        modifiers |= match modifier {
            "S" => 1,
            "A" => 2,
            "C" => 4,
            _ => return None,
        };
        name = rest;
    }
    if let Some(letter) = match name {
        "Up" => Some('A'),
        "Down" => Some('B'),
        "Right" => Some('C'),
        "Left" => Some('D'),
        "Home" => Some('H'),
        "End" => Some('F'),
        _ => None,
    } {
        return Some(
            match modifiers {
                0 if application => format!("\x1bO{letter}"),
                0 => format!("\x1b[{letter}"),
                _ => format!("\x1b[1;{}{letter}", modifiers + 1),
            }
            .into_bytes(),
        );
    }
    if let Some(letter) = match name {
        "F1" => Some('P'),
        "F2" => Some('Q'),
        "F3" => Some('R'),
        "F4" => Some('S'),
        _ => None,
    } {
        return Some(
            match modifiers {
                0 => format!("\x1bO{letter}"),
                _ => format!("\x1b[1;{}{letter}", modifiers + 1),
            }
            .into_bytes(),
        );
    }
    let number = match name {
        "Insert" => 2,
        "Delete" => 3,
        "PageUp" => 5,
        "PageDown" => 6,
        "F5" => 15,
        "F6" => 17,
        "F7" => 18,
        "F8" => 19,
        "F9" => 20,
        "F10" => 21,
        "F11" => 23,
        "F12" => 24,
        _ => return None,
    };
    Some(
        match modifiers {
            0 => format!("\x1b[{number}~"),
            _ => format!("\x1b[{number};{}~", modifiers + 1),
        }
        .into_bytes(),
    )
}

#[cfg(test)]
mod tests {
    use super::encode;

    #[test]
    fn keys_and_text() {
        let cases: [(&str, &[u8]); 16] = [
            ("Enter", b"\r"),
            ("C-c", b"\x03"),
            ("^C", b"\x03"),
            ("C-Space", b"\0"),
            ("C-/", b"\x1e"),
            ("C--", b"\x1f"),
            ("A-x", b"\x1bx"),
            ("A- ", b"\x1b "),
            ("Left", b"\x1b[D"),
            ("C-S-Left", b"\x1b[1;6D"),
            ("A-S-Home", b"\x1b[1;4H"),
            ("F1", b"\x1bOP"),
            ("F12", b"\x1b[24~"),
            ("S-PageUp", b"\x1b[5;2~"),
            ("plain text", b"plain text"),
            ("X-Left", b"X-Left"),
        ];
        for (key, bytes) in cases {
            assert_eq!(encode(key, false), bytes, "{key}");
        }
        assert_eq!(encode("Left", true), b"\x1bOD");
        assert_eq!(encode("S-Left", true), b"\x1b[1;2D");
    }
}
