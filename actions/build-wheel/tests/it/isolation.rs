//! How `/nix` is hidden for users who are not root.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::support::*;

/// Switches to `nobody`.
const NOBODY: &str = "exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$@\"";

/// `nobody` may use sudo, in this mount namespace only.
const SUDOER: &str = "mount -t tmpfs -o mode=755 tmpfs /etc/sudoers.d && echo 'nobody ALL=(root) NOPASSWD: ALL' > /etc/sudoers.d/test && chmod 440 /etc/sudoers.d/test && exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$@\"";

/// A wheel whose program reports whether it sees a store.
fn wheel() -> Vec<u8> {
    program_wheel(b"#!/bin/sh\n! test -e /nix/store\n")
}

/// Runs the program as `nobody` and returns how `/nix` was hidden.
fn isolation(prefix: &[&str], path: &str) -> (String, String) {
    // Without a store, there is nothing to hide.
    std::fs::create_dir_all("/nix/store").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let open = |path: &Path| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
    open(dir.path());
    // Only files that `nobody` can read: not the target directory or root's Python.
    let program = dir.path().join("build-wheel");
    let uv = dir.path().join("uv");
    std::fs::copy(env!("CARGO_BIN_EXE_build-wheel"), &program).unwrap();
    std::fs::copy(testkit::tools::path("uv"), &uv).unwrap();
    open(&program);
    open(&uv);
    std::fs::write(dir.path().join(WHEEL), wheel()).unwrap();
    let mut command = testkit::tools::scrubbed(prefix[0]);
    command.args(&prefix[1..]).arg(&program).current_dir(dir.path());
    command.args([WHEEL, "--smoke-command", "sample", "--python", "/usr/bin/python3"]);
    command.env("PATH", format!("{}:{path}", dir.path().display())).env("HOME", dir.path());
    command.env("TMPDIR", dir.path()).env("UV_CACHE_DIR", dir.path().join("cache"));
    succeed(&mut command);
    let report = report(dir.path());
    let word = |name: &str| report["smoke"][name].as_str().unwrap().to_owned();
    (word("result"), word("isolation"))
}

#[test]
fn sudo_without_a_password_hides_the_store() {
    testkit::tools::path("sudo");
    let found = isolation(&["unshare", "--mount", "sh", "-c", SUDOER, "sh"], "/usr/bin:/bin:/usr/sbin");
    assert_eq!(found, ("passed".into(), "sudo unshare".into()));
}

#[test]
fn a_user_namespace_hides_the_store() {
    let found = isolation(&["sh", "-c", NOBODY, "sh"], "/usr/bin:/bin:/usr/sbin");
    assert_eq!(found, ("passed".into(), "unshare as a user".into()));
}
