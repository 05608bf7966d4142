//! `entry_points.txt` (PyPA "Entry points specification"), parsed like Python's
//! `configparser` with `=` as the only delimiter.

use std::collections::BTreeSet;

/// The entry points of a wheel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntryPoints {
    /// In the order of the file.
    pub entries: Vec<EntryPoint>,
}

/// One entry point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryPoint {
    /// `console_scripts`, `gui_scripts` or a group of another project.
    pub group: String,
    /// The text before `=`.
    pub name: String,
    /// The text after `=`, without the extras (`[x]`).
    pub target: String,
}

/// Why the file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryPointsError {
    /// Not UTF-8.
    #[error("not UTF-8 from byte {0} on")]
    Utf8(usize),
    /// An entry before the first group.
    #[error("line {0} is before the first group (`[group]`)")]
    NoGroup(usize),
    /// Neither a group nor an entry.
    #[error("line {line}: expected `[group]` or `name = target`, found `{text}`")]
    Line {
        /// Counted from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// The same group twice.
    #[error("line {line}: duplicate group `[{group}]`")]
    DuplicateGroup {
        /// Counted from 1.
        line: usize,
        /// The group.
        group: String,
    },
    /// The same name twice in a group.
    #[error("line {line}: duplicate entry `{name}` in `[{group}]`")]
    DuplicateName {
        /// Counted from 1.
        line: usize,
        /// The group.
        group: String,
        /// The name.
        name: String,
    },
}

impl EntryPoints {
    /// Reads the file.
    pub fn parse(bytes: &[u8]) -> Result<Self, EntryPointsError> {
        let text = std::str::from_utf8(bytes).map_err(|error| EntryPointsError::Utf8(error.valid_up_to()))?;
        let mut found = Self::default();
        let (mut groups, mut names) = (BTreeSet::new(), BTreeSet::new());
        let mut group: Option<String> = None;
        // Whether a line indented deeper than `depth` continues an entry.
        let (mut open, mut depth) = (false, 0);
        for (index, raw) in text.split('\n').enumerate() {
            let line = raw.trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            let indent = raw.chars().take_while(|c| c.is_whitespace()).count();
            if open && indent > depth {
                if let Some(entry) = found.entries.last_mut() {
                    entry.target.push('\n');
                    entry.target.push_str(line);
                }
                continue;
            }
            depth = indent;
            let number = index + 1;
            if let Some(name) = group_name(line) {
                if name != "DEFAULT" && !groups.insert(name.to_owned()) {
                    return Err(EntryPointsError::DuplicateGroup { line: number, group: name.to_owned() });
                }
                group = Some(name.to_owned());
                open = false;
                continue;
            }
            let Some(group) = &group else { return Err(EntryPointsError::NoGroup(number)) };
            let Some((name, target)) = line.split_once('=').filter(|(name, _)| !name.trim().is_empty())
            else {
                return Err(EntryPointsError::Line { line: number, text: line.chars().take(80).collect() });
            };
            let (group, name) = (group.clone(), name.trim_end().to_owned());
            if !names.insert((group.clone(), name.clone())) {
                return Err(EntryPointsError::DuplicateName { line: number, group, name });
            }
            let target = target.split('[').next().unwrap_or_default().trim().to_owned();
            found.entries.push(EntryPoint { group, name, target });
            open = true;
        }
        Ok(found)
    }
}

/// `x` of `[x]`, up to the last bracket of the line.
fn group_name(line: &str) -> Option<&str> {
    let rest = line.strip_prefix('[')?;
    rest.rfind(']').filter(|end| *end > 0).map(|end| &rest[..end])
}

impl EntryPoint {
    /// Whether installers create a command for it.
    pub fn is_script(&self) -> bool {
        ["console_scripts", "gui_scripts"].contains(&self.group.as_str())
    }

    /// The module.
    pub fn module(&self) -> &str {
        self.target.split(':').next().unwrap_or_default().trim()
    }

    /// The object in the module.
    pub fn object(&self) -> Option<&str> {
        self.target.split_once(':').map(|(_, object)| object.trim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_groups_and_entries() {
        let text = "# note\n[console_scripts]\na = b.c:d [x]\n\n[other]\nname = \n  c.d\n e = f\n";
        let found = EntryPoints::parse(text.as_bytes()).unwrap().entries;
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].module(), found[0].object(), found[0].is_script()), ("b.c", Some("d"), true));
        assert!(found[1].target.contains("c.d") && !found[1].is_script());
    }

    #[test]
    fn rejects_malformed_files() {
        let error = |text: &str| EntryPoints::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error("a = b\n").contains("before the first group"));
        assert!(error("[a]\nb\n").contains("line 2"));
        assert!(error("[a]\n= b\n").contains("line 2"));
        assert!(error("[a]\n[b]\n[a]\n").contains("duplicate group"));
        assert!(error("[a]\nx = 1\nx = 2\n").contains("duplicate entry"));
        assert_eq!(EntryPoints::parse(b"[a]\n\xff"), Err(EntryPointsError::Utf8(4)));
        assert!(EntryPoints::parse(b"").unwrap().entries.is_empty());
    }
}
