//! Programs that are text, wherever they are in a wheel.

use crate::support::*;

/// The error for a wheel with this file, or the file after the repair.
fn text(name: &str, content: &str, mode: u32) -> Result<String, String> {
    let mut program = file(name, content);
    program.mode = mode;
    let files = [file("sample/__init__.py", ""), program];
    let wheel = repaired(&zip(&members(&files))).map_err(|error| toolkit::error_report(&error))?;
    Ok(String::from_utf8(build_wheel::repair::member(&wheel.bytes, name).unwrap()).unwrap())
}

const PLACES: [&str; 3] = ["sample/tool", "sample-1.0.data/data/bin/tool", "sample-1.0.data/scripts/tool"];

#[test]
fn an_interpreter_in_the_store_is_replaced_everywhere() {
    for name in PLACES {
        let new = text(name, &format!("#!{STORE}-bash/bin/bash\necho\n"), 0o100_755).unwrap();
        assert_eq!(new, "#!/usr/bin/env bash\necho\n", "{name}");
        // Installers replace `#!python` in the directory of scripts only.
        let python = if name.contains("/scripts/") { "#!python\n" } else { "#!/usr/bin/env python3\n" };
        assert_eq!(text(name, &format!("#!{STORE}-python3/bin/python3.12\n"), 0o100_755).unwrap(), python);
        let error = text(name, &format!("#!{STORE}-perl/bin/perl\n"), 0o100_755).unwrap_err();
        assert!(error.contains("its interpreter is in the Nix store") && error.contains(name), "{error}");
    }
}

#[test]
fn a_wrapper_of_a_program_in_the_store_is_rejected_everywhere() {
    let wrapper = format!("#!/bin/sh\nexec -a \"$0\" \"{STORE}-x/bin/.x-wrapped\" \"$@\"\n");
    for name in PLACES {
        let error = text(name, &wrapper, 0o100_755).unwrap_err();
        assert!(error.contains("executes") && error.contains(name), "{error}");
    }
    // Nothing executes it.
    assert_eq!(text("sample/example.sh", &wrapper, 0o100_644).unwrap(), wrapper);
}

/// Only text that is run is an error.
#[test]
fn a_store_path_that_is_not_run_is_a_warning() {
    for (content, is_run) in [
        (format!("#!/bin/sh\nif [ 1 ]; then FOO=1 exec {STORE}-x/bin/x; fi\n"), true),
        (format!("#!/bin/sh\nPATH={STORE}-x/bin:$PATH exec x\n"), true),
        (format!("#!/bin/sh\n# built by {STORE}-x/bin/x\necho '{STORE}-x/bin/x'\n"), false),
        (format!("#!/usr/bin/env python3\nimport os\nos.execv('{STORE}-x/bin/x', ['x'])\n"), true),
        (format!("#!/usr/bin/env python3\nDATA = '{STORE}-x'\n"), false),
    ] {
        let program = file("sample/tool", &content);
        let wheel = repaired(&zip(&members(&[program])));
        assert_eq!(wheel.is_err(), is_run, "{content}");
        assert!(wheel.is_err() || wheel.unwrap().warnings[0].what.contains("mentions the Nix store"));
    }
}
