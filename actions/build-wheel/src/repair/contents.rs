//! What a wheel installs, as far as it can be tried out, and the scripts'
//! first lines.

use pydist::headers::Headers;

use super::{WheelError, in_store};

/// What there is to try out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// The names of programs: scripts and console entry points.
    pub programs: Vec<String>,
    /// Of these, the members that are binaries.
    pub binaries: Vec<(String, String)>,
    /// Top-level modules.
    pub modules: Vec<String>,
    /// Libraries of such binaries: where they are installed below the prefix,
    /// and the members.
    pub libraries: Vec<(String, String)>,
    /// Whether other distributions must be installed beside it.
    pub requires: bool,
}

impl Contents {
    pub(super) fn note(&mut self, name: &str, content: &[u8], script: Option<&str>, dist_info: &str) {
        if let Some(script) = script {
            self.programs.push(script.to_owned());
        } else if let Some((_, path)) = name.split_once(".data/data/") {
            self.libraries.push((path.to_owned(), name.to_owned()));
        } else if name == format!("{dist_info}METADATA") {
            let metadata = Headers::parse(content).unwrap_or_default();
            self.requires = metadata.get("Requires-Dist").is_some();
        } else if name == format!("{dist_info}entry_points.txt") {
            let text = String::from_utf8_lossy(content);
            let mut section = "";
            for line in text.lines().map(str::trim) {
                if line.starts_with('[') {
                    section = line;
                } else if let Some((program, _)) =
                    line.split_once('=').filter(|_| section == "[console_scripts]")
                {
                    self.programs.push(program.trim().to_owned());
                }
            }
        } else {
            let identifier =
                |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_');
            let module = match name.split_once('/') {
                Some((package, "__init__.py")) => Some(package),
                Some(_) => None,
                // `name.py`, or an extension: `name.abi3.so`.
                None => match name.rsplit('.').next() {
                    Some("py" | "so" | "pyd") => name.split('.').next(),
                    _ => None,
                },
            };
            self.modules.extend(module.filter(|module| identifier(module)).map(str::to_owned));
        }
    }
}

/// A script whose first line names the store, with another first line, and
/// both lines; `None` where it does not. An installer writes its own
/// interpreter in place of `#!python`.
pub(super) fn without_store_shebang(
    file: &str,
    content: &[u8],
) -> Result<Option<(Vec<u8>, String)>, WheelError> {
    let end = content.iter().position(|byte| *byte == b'\n').unwrap_or(content.len());
    let line = String::from_utf8_lossy(&content[..end]).into_owned();
    if !line.starts_with("#!") || !in_store(&line) {
        return Ok(None);
    }
    let program = line[2..].split_whitespace().next().and_then(|path| path.rsplit('/').next());
    let new = match program {
        Some(program) if program.starts_with("python") => "#!python",
        Some("sh") => "#!/bin/sh",
        Some("bash") => "#!/usr/bin/env bash",
        _ => return Err(WheelError::Interpreter { file: file.into(), line }),
    };
    let what = format!("`{line}` is now `{new}`");
    Ok(Some(([new.as_bytes(), &content[end..]].concat(), what)))
}
