//! Settings of a job or a user, applied by Nix.

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
    let log = machine.sh(&format!(
        "NIX_PATH='{path}' NIX_BUILD_SHELL=$(command -v bash) nix-shell -p hello --run 'cat $buildInputs'"
    ));
    assert_eq!(log.trim(), "from-nixpkgs");
}

/// The recipe in README.md: a job pushes signed paths, and the next one substitutes them.
#[test]
fn substitutes_pushed_paths_from_a_directory_and_over_http() {
    let first = Machine::new();
    first.run_ok(&["install"]);
    first.sh("nix-store --generate-binary-cache-key bucket-1 secret public");
    let path = first.build("pushed", 2);
    let store = first.path("bucket");
    let url = format!("file://{}?secret-key={}", store.display(), first.path("work/secret").display());
    let log = first.run_ok(&["save", &format!("--push-to={url}")]);
    assert!(log.contains("2 built paths copied to"), "{log}");
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
    let log = second.sh(&script);
    assert_eq!(log.lines().filter(|line| line.starts_with("pushed 1")).count(), 2, "{log}");
    // Without the key, Nix rejects the paths.
    let output = Machine::new().command("sh").args(["-euc", &script.replace(key.trim(), "")]).output().unwrap();
    assert!(!output.status.success() && text(&output).contains("is not signed by any of the keys"), "{}", text(&output));
}

#[test]
fn uses_a_read_only_nix() {
    let (machine, path) = packed(1);
    let machine = Machine { mount_options: "ro", ..machine };
    for command in ["plan", "install", "save"] {
        let log = machine.run_ok(&[command]);
        assert!(log.contains("read-only") || command == "save", "{command}: {log}");
    }
    assert!(machine.sh(&format!("cat {path}/text")).starts_with("sample 0"));
}

#[test]
fn neither_restores_nor_packs_a_custom_store() {
    let (first, path) = packed(1);
    for (name, value) in [("NIX_STORE_DIR", "/elsewhere/store"), ("NIX_STATE_DIR", "/elsewhere/state")] {
        let second = with_cache(&first);
        second.sh("nix-store --init");
        let run = |args: &[&str]| second.action(args).env(name, value).output().unwrap();
        let output = run(&["plan"]);
        let log = text(&output);
        let why = format!("the cache is off: {name} is `{value}`");
        assert!(output.status.success() && log.contains(&why), "{log}");
        let output = run(&["install", "--reuse=never"]);
        let log = text(&output);
        assert_eq!(output.status.code(), Some(2), "{log}");
        assert!(log.contains("can only be installed into /nix/store") && log.contains("unset it"), "{log}");
        assert!(!second.path(&path[1..]).exists());
    }
    // Naming the default store explicitly changes nothing.
    let second = with_cache(&first);
    let output = second.action(&["install"]).env("NIX_STORE_DIR", "/nix/store/").output().unwrap();
    assert!(text(&output).contains("2 paths restored"), "{}", text(&output));
}

#[test]
fn packs_and_restores_an_optimised_store() {
    let optimise = "--extra-conf=auto-optimise-store = true";
    let first = Machine::new();
    first.run_ok(&["install", optimise]);
    first.sh("mkdir a b; echo same >a/x; echo same >b/x; echo other >b/y; for name in a b; do nix-store --add $name; done");
    assert!(first.sh("stat -c %h /nix/store/*-a/x").trim().parse::<u32>().unwrap() >= 3);
    first.run_ok(&["save"]);
    let second = with_cache(&first);
    second.run_ok(&["install", optimise]);
    second.verify();
    second.sh("nix-store --optimise 2>/dev/null; test $(stat -c %h /nix/store/*-a/x) -ge 3");
    second.verify();
    // Restoring a deleted path does not change files of other paths.
    second.sh("nix-store --delete /nix/store/*-b 2>/dev/null");
    assert!(second.run_ok(&["install", optimise]).contains("1 paths restored"));
    second.verify();
    assert_eq!(second.sh("cat /nix/store/*-a/x /nix/store/*-b/x /nix/store/*-b/y"), "same\nsame\nother\n");
}
