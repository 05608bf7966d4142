//! Scripts of a wheel: their shebangs, and the store programs that they
//! execute.

mod python;
mod shell;

use pydist::store::{is_nix_path, mentions_store};

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
    let Some(shebang) = line.strip_prefix("#!") else { return Ok(None) };
    let error = |what| WheelError::Script { file: file.into(), what };
    if let Some(command) = store_command(shebang, &String::from_utf8_lossy(rest)) {
        return Err(error(format!("executes `{command}`")));
    }
    if !mentions_store(&line) && !is_nix_path(shebang.trim_start()) {
        return Ok(None);
    }
    let mut words = shebang.split_whitespace();
    let program = words.next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    // The kernel passes everything after the program as one argument.
    let arguments = words.collect::<Vec<_>>().join(" ");
    if mentions_store(&arguments) {
        return Err(error(format!("starts with `{line}`: its script or option is in the Nix store")));
    }
    let new = match (program, arguments.as_str()) {
        (program, _) if program.starts_with("python2") => {
            return Err(error(format!("starts with `{line}`: it is for Python 2")));
        }
        (program, arguments) if program.starts_with("python") => {
            let python = match (program.starts_with("pythonw"), is_script) {
                (true, _) => "pythonw",
                (false, true) => "python",
                (false, false) => "python3",
            };
            match (is_script, arguments) {
                // pip drops options, and uv does not expect any.
                (true, _) => format!("#!{python}"),
                (false, "") => format!("#!/usr/bin/env {python}"),
                // env would treat `python3 -I` as the name of one program.
                (false, arguments) => format!("#!/usr/bin/env -S {python} {arguments}"),
            }
        }
        ("env", arguments) => format!("#!/usr/bin/env {arguments}"),
        ("sh", arguments) => format!("#!/bin/sh {arguments}"),
        ("bash", "") => "#!/usr/bin/env bash".to_owned(),
        // The same for bash; it has the same path on every system.
        ("bash", arguments) => format!("#!/bin/bash {arguments}"),
        _ => return Err(error(format!("starts with `{line}`: its interpreter is in the Nix store"))),
    };
    let new = new.trim_end();
    let is_dropped = !arguments.is_empty() && new.starts_with("#!python");
    let note =
        if is_dropped { format!(", without `{arguments}`, which installers drop") } else { String::new() };
    let what = format!("`{line}` is now `{new}`{note}");
    Ok(Some(([new.as_bytes(), rest].concat(), what)))
}

/// The first command that runs a program in the store, as makeWrapper writes it:
/// `exec -a "$0" "/nix/store/…/bin/.name-wrapped" "$@"`.
fn store_command(shebang: &str, text: &str) -> Option<String> {
    let mut words = shebang.split_whitespace().filter(|word| !word.starts_with('-') && !word.contains('='));
    let program = words.find(|word| !word.ends_with("/env") && *word != "env").unwrap_or_default();
    if shell::is_shell(program) {
        shell::store_command(text)
    } else if program.rsplit('/').next().is_some_and(|name| name.starts_with("python")) {
        python::store_command(text)
    } else {
        other_store_command(text)
    }
}

/// The same for a language whose syntax is not known: a line that starts with the program.
fn other_store_command(text: &str) -> Option<String> {
    text.lines().map(str::trim).find_map(|line| {
        let command = line.strip_prefix("exec ").unwrap_or(line);
        let mut words = command.split_whitespace().map(|word| word.trim_matches(['"', '\'', ',', ';']));
        let executes = words.next().is_some_and(|word| word.starts_with('/') && mentions_store(word));
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
            ("-python3/bin/python3.12 -Iu", "#!python"),
            ("-python3/bin/pythonw", "#!pythonw"),
            ("-bash/bin/bash", "#!/usr/bin/env bash"),
            ("-bash/bin/bash -e", "#!/bin/bash -e"),
            ("-bash/bin/sh -eu", "#!/bin/sh -eu"),
            ("-coreutils/bin/env python3", "#!/usr/bin/env python3"),
        ] {
            assert_eq!(new_shebang(&format!("#!{STORE}{line}")).as_deref(), Some(expected));
        }
        assert_eq!(new_shebang("#!/bin/sh -e"), None);
        assert_eq!(new_shebang("#!/nix/var/nix/profiles/default/bin/python3").as_deref(), Some("#!python"));
        for line in ["-perl/bin/perl", "-python/bin/python2.7 -u", &format!("-bash/bin/sh {STORE}-x/run.sh")]
        {
            assert!(without_store("a", false, format!("#!{STORE}{line}\n").as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn the_kernel_passes_options_to_python_through_env() {
        for (line, expected) in [
            ("python3", "#!/usr/bin/env python3"),
            ("python3 -Iu", "#!/usr/bin/env -S python3 -Iu"),
            ("pythonw", "#!/usr/bin/env pythonw"),
        ] {
            let script = format!("#!{STORE}-python3/bin/{line}\nprint(1)\n");
            let (new, _) = without_store("a/run", false, script.as_bytes()).unwrap().unwrap();
            assert_eq!(String::from_utf8(new).unwrap(), format!("{expected}\nprint(1)\n"));
        }
    }

    #[test]
    fn rejects_wrappers() {
        for body in [
            format!("#!/bin/bash -e\nexec -a \"$0\" \"{STORE}-x/bin/.x-wrapped\"  \"$@\"\n"),
            format!("#!{STORE}-bash/bin/bash -e\nexport A=b\nexec {STORE}-x/bin/x \"$@\"\n"),
            format!("#!/bin/sh\n{STORE}-x/bin/x\n"),
            format!("#!/usr/bin/env -S bash -e\nA=b exec {STORE}-x/bin/x\n"),
            format!("#!python\nos.execv('{STORE}-x/bin/x', a)\n"),
            format!("#!/usr/bin/env python3\nos.execv('{STORE}-x/bin/x', a)\n"),
            format!("#!/usr/bin/execlineb\nexec {STORE}-x/bin/x\n"),
        ] {
            let error = without_store("bin/x", false, body.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("`bin/x` executes `") && error.contains(STORE), "{error}");
        }
        let data = format!("#!python\npath = '{STORE}-x'\n");
        assert_eq!(without_store("a", false, data.as_bytes()).unwrap(), None);
    }
}
