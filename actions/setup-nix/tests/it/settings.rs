//! What a job or a user sets, with a Nix that follows it.

use std::fs;

use crate::cache::{packed, with_cache};
use crate::machine::{Machine, text};

#[test]
fn nix_path_makes_nix_shell_find_packages() {
    let machine = Machine::new();
    let packages = r#"{ ... }: rec {
      make = attributes: derivation ({ system = builtins.currentSystem; builder = "/bin/sh"; } // attributes);
      hello = make { name = "hello"; args = [ "-c" "echo from-nixpkgs >$out" ]; };
      runCommandCC = name: attributes: _: make ({ inherit name; args = [ "-c" "echo >$out" ]; } // attributes);
      pkgs = { inherit hello runCommandCC; };
    }"#;
    fs::create_dir(machine.path("work/nixpkgs")).unwrap();
    fs::write(machine.path("work/nixpkgs/default.nix"), packages).unwrap();
    let path = format!("nixpkgs={}", machine.path("work/nixpkgs").display());
    let variables = machine.path("env");
    let mut action = machine.action(&["install", "--cache=off", &format!("--nix-path={path}")]);
    let output = action.env("GITHUB_ACTIONS", "true").env("GITHUB_ENV", &variables).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let variables = fs::read_to_string(variables).unwrap();
    let mut lines = variables.lines().skip_while(|line| !line.starts_with("NIX_PATH<<"));
    assert_eq!(lines.nth(1), Some(path.as_str()), "{variables}");
    let said = machine.sh(&format!(
        "NIX_PATH='{path}' NIX_BUILD_SHELL=$(command -v bash) nix-shell -p hello --run 'cat $buildInputs'"
    ));
    assert_eq!(said.trim(), "from-nixpkgs");
}

/// The recipe of README.md: pushed by one job, signed, and substituted by the next one.
#[test]
fn what_is_pushed_is_substituted_from_a_directory_and_over_http() {
    let first = Machine::new();
    first.done(&["install"]);
    first.sh("nix-store --generate-binary-cache-key bucket-1 secret public");
    let path = first.build("pushed", 2);
    let store = first.path("bucket");
    let url = format!("file://{}?secret-key={}", store.display(), first.path("work/secret").display());
    let said = first.done(&["save", &format!("--push-to={url}")]);
    assert!(said.contains("2 built paths copied to"), "{said}");
    let key = fs::read_to_string(first.path("work/public")).unwrap();
    let script = format!(
        r#"mkdir etc; echo 'substituters =' >etc/nix.conf; export NIX_CONF_DIR=$PWD/etc NIX_CONFIG='sandbox = false'
        python3 -u -m http.server 0 --bind 127.0.0.1 -d '{store}' >log 2>&1 & server=$!; trap "kill $server" EXIT
        until grep -q ' port ' log; do sleep 0.05; done; port=$(sed -n 's/.* port \([0-9]*\).*/\1/p' log | head -n 1)
        for url in "http://127.0.0.1:$port" 'file://{store}'; do
          '{action}' install --cache=off --extra-substituters="$url" --extra-trusted-public-keys='{key}' >&2
          nix-store --realise {path} >&2
          cat {path}/text
          nix-store --delete {path} >&2
        done"#,
        store = store.display(),
        action = assert_cmd::cargo::cargo_bin!("setup-nix").display(),
        key = key.trim(),
    );
    let second = Machine::new();
    let said = second.sh(&script);
    assert_eq!(said.lines().filter(|line| line.starts_with("pushed 1")).count(), 2, "{said}");
    // Without the key, nothing of it is taken.
    let output = Machine::new().command("sh").args(["-euc", &script.replace(key.trim(), "")]).output().unwrap();
    assert!(!output.status.success() && text(&output).contains("is not signed by any of the keys"), "{}", text(&output));
}

#[test]
fn a_read_only_nix_is_used_as_it_is() {
    let (machine, path) = packed(1);
    let machine = Machine { mounted: "ro", ..machine };
    for command in ["plan", "install", "save"] {
        let said = machine.done(&[command]);
        assert!(said.contains("read-only") || command == "save", "{command}: {said}");
    }
    assert!(machine.sh(&format!("cat {path}/text")).starts_with("sample 0"));
}

#[test]
fn a_store_elsewhere_is_neither_restored_nor_packed() {
    let (first, path) = packed(1);
    for (name, value) in [("NIX_STORE_DIR", "/elsewhere/store"), ("NIX_STATE_DIR", "/elsewhere/state")] {
        let second = with_cache(&first);
        second.sh("nix-store --init");
        let run = |args: &[&str]| second.action(args).env(name, value).output().unwrap();
        let output = run(&["plan"]);
        let said = text(&output);
        let why = format!("the cache is off: {name} is `{value}`");
        assert!(output.status.success() && said.contains(&why), "{said}");
        let output = run(&["install", "--reuse=never"]);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("works in /nix/store alone") && said.contains("unset it"), "{said}");
        assert!(!second.path(&path[1..]).exists());
    }
    // The usual one by its name changes nothing.
    let second = with_cache(&first);
    let output = second.action(&["install"]).env("NIX_STORE_DIR", "/nix/store/").output().unwrap();
    assert!(text(&output).contains("2 paths restored"), "{}", text(&output));
}

#[test]
fn a_store_that_links_equal_files_is_packed_and_restored() {
    let optimise = "--extra-conf=auto-optimise-store = true";
    let first = Machine::new();
    first.done(&["install", optimise]);
    first.sh("mkdir a b; echo same >a/x; echo same >b/x; echo other >b/y; for name in a b; do nix-store --add $name; done");
    assert!(first.sh("stat -c %h /nix/store/*-a/x").trim().parse::<u32>().unwrap() >= 3);
    first.done(&["save"]);
    let second = with_cache(&first);
    second.done(&["install", optimise]);
    second.verify();
    second.sh("nix-store --optimise 2>/dev/null; test $(stat -c %h /nix/store/*-a/x) -ge 3");
    second.verify();
    // A path that is lost and restored leaves the others' files as they are.
    second.sh("nix-store --delete /nix/store/*-b 2>/dev/null");
    assert!(second.done(&["install", optimise]).contains("1 paths restored"));
    second.verify();
    assert_eq!(second.sh("cat /nix/store/*-a/x /nix/store/*-b/x /nix/store/*-b/y"), "same\nsame\nother\n");
}
