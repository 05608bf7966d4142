//! YAML text, with quotes if needed.

/// An input with one item per line; empty if there are none.
pub(super) fn list(name: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let lines: String = lines.iter().map(|line| format!("            {}\n", one_line(line.trim()))).collect();
    format!("          {name}: |\n{lines}")
}

pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A YAML scalar, quoted if it could be misread.
pub(super) fn scalar(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '.' || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_./-".contains(c))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .contains(&text.to_ascii_lowercase().as_str());
    if is_plain { text.to_owned() } else { quoted(text) }
}

/// A quoted string: JSON strings are valid YAML.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_what_yaml_would_misread() {
        for (text, expected) in [
            ("ubuntu-latest", "ubuntu-latest"),
            (".", "."),
            ("3.10", "\"3.10\""),
            ("", "\"\""),
            ("on", "\"on\""),
            ("a: b", "\"a: b\""),
            ("--features a #b", "\"--features a #b\""),
            ("it's \"x\"\n", "\"it's \\\"x\\\"\\n\""),
        ] {
            assert_eq!(scalar(text), expected);
            let read: serde_json::Value = serde_saphyr::from_str(&scalar(text)).unwrap();
            assert_eq!(read, text);
        }
    }
}
