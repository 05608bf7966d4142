//! Project names.

/// The normalised form: lower case, runs of `-`, `_` and `.` become one `-`
/// (PEP 503). Two names are one project if their normalised forms are equal.
pub fn normalize(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        if matches!(c, '-' | '_' | '.') {
            if !out.ends_with('-') {
                out.push('-');
            }
        } else {
            out.extend(c.to_lowercase());
        }
    }
    out
}

/// The form in file names: normalised, with `_` for `-` (PEP 427, PEP 625).
pub fn escape(name: &str) -> String {
    normalize(name).replace('-', "_")
}

/// Whether `name` is valid: ASCII letters, digits, `-`, `_` and `.`, starting
/// and ending with a letter or digit (core metadata, field Name).
pub fn is_valid(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.chars().all(inner)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_separators_become_one() {
        assert_eq!(normalize("Foo-_.Bar"), "foo-bar");
        assert_eq!(escape("htty-core"), "htty_core");
        assert!(is_valid("a") && is_valid("A.b-c_9"));
        assert!(!is_valid("") && !is_valid("-a") && !is_valid("a.") && !is_valid("a b") && !is_valid("é"));
    }
}
