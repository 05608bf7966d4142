//! Scripts of a wheel: their shebangs, and the store programs that they
//! execute.

use pydist::store::mentions_store;

use super::error::WheelError;

/// Replaces a shebang that names the store. Returns the new script and a
/// description of the change; `None` if the shebang does not name the store. An
/// installer replaces `#!python` with its own interpreter, but only in scripts.
pub(super) fn without_store(
    file: &str,
    is_script: bool,
    content: &[u8],
) -> Result<Option<(Vec<u8>, String)>, WheelError> {
    let end = memchr::memchr(b'\n', content).unwrap_or(content.len());
    let (first, rest) = content.split_at(end);
    let line = String::from_utf8_lossy(first).into_owned();
    if !line.starts_with("#!") {
        return Ok(None);
    }
    if let Some(command) = store_command(&String::from_utf8_lossy(rest)) {
        return Err(WheelError::Script { file: file.into(), what: format!("executes `{command}`") });
    }
    if !mentions_store(&line) {
        return Ok(None);
    }
    let mut words = line[2..].split_whitespace();
    let program = words.next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    // The kernel passes everything after the program as one argument.
    let arguments = words.collect::<Vec<_>>().join(" ");
    let new = match (program, arguments.as_str()) {
        (program, _) if program.starts_with("python") && is_script => "#!python".to_owned(),
        (program, _) if program.starts_with("python") => "#!/usr/bin/env python3".to_owned(),
        ("env", arguments) if !mentions_store(arguments) => format!("#!/usr/bin/env {arguments}"),
        ("sh", arguments) => format!("#!/bin/sh {arguments}"),
        ("bash", "") => "#!/usr/bin/env bash".to_owned(),
        // env would treat `bash -e` as the name of one program.
        ("bash", arguments) => format!("#!/bin/bash {arguments}"),
        _ => {
            let what = format!("starts with `{line}`: its interpreter is in the Nix store");
            return Err(WheelError::Script { file: file.into(), what });
        }
    };
    let new = new.trim_end();
    let what = format!("`{line}` is now `{new}`");
    Ok(Some(([new.as_bytes(), rest].concat(), what)))
}

/// The first command that runs a program in the store, as makeWrapper writes it:
/// `exec -a "$0" "/nix/store/…/bin/.name-wrapped" "$@"`.
fn store_command(text: &str) -> Option<String> {
    text.lines().map(str::trim).find_map(|line| {
        let command = line.strip_prefix("exec ").unwrap_or(line);
        let mut words = command.split_whitespace().map(|word| word.trim_matches(['"', '\'']));
        let first = words.next()?;
        let executes = if command.len() == line.len() {
            mentions_store(first) && first.starts_with('/')
        } else {
            std::iter::once(first).chain(words).any(|word| word.starts_with('/') && mentions_store(word))
        };
        executes.then(|| line.chars().take(200).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: &str = "/nix/store/abcdefghijklmnopqrstuvwxyz012345";

    fn new_shebang(line: &str) -> Option<String> {
        let (script, _) =
            without_store("a-1.data/scripts/a", true, format!("{line}\necho\n").as_bytes()).unwrap()?;
        Some(String::from_utf8(script).unwrap().lines().next().unwrap().to_owned())
    }

    #[test]
    fn new_shebangs_keep_their_options() {
        for (line, expected) in [
            ("-python3/bin/python3.12", "#!python"),
            ("-bash/bin/bash", "#!/usr/bin/env bash"),
            ("-bash/bin/bash -e", "#!/bin/bash -e"),
            ("-bash/bin/sh -eu", "#!/bin/sh -eu"),
            ("-coreutils/bin/env python3", "#!/usr/bin/env python3"),
        ] {
            assert_eq!(new_shebang(&format!("#!{STORE}{line}")).as_deref(), Some(expected));
        }
        assert_eq!(new_shebang("#!/bin/sh -e"), None);
        assert!(without_store("a", false, format!("#!{STORE}-perl/bin/perl\n").as_bytes()).is_err());
    }

    #[test]
    fn rejects_wrappers() {
        for body in [
            format!("#!/bin/bash -e\nexec -a \"$0\" \"{STORE}-x/bin/.x-wrapped\"  \"$@\"\n"),
            format!("#!{STORE}-bash/bin/bash -e\nexport A=b\nexec {STORE}-x/bin/x \"$@\"\n"),
            format!("#!/bin/sh\n{STORE}-x/bin/x\n"),
        ] {
            let error = without_store("bin/x", false, body.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("`bin/x` executes `") && error.contains(STORE), "{error}");
        }
        let data = format!("#!python\npath = '{STORE}-x'\n");
        assert_eq!(without_store("a", false, data.as_bytes()).unwrap(), None);
    }
}
