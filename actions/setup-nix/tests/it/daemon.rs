//! An installation with build users and a daemon.

use std::process::Command;

use crate::machine::{Machine, tarball, text};

/// Like `Machine::command`, with a writable copy of `/etc` and a process namespace that ends
/// the daemon.
fn isolated(machine: &Machine, script: &str) -> Command {
    let mut command = testkit::tools::scrubbed(testkit::tools::path("unshare"));
    let mounts = r#"mount --bind "$0/nix" /nix && mount --bind "$0/etc" /etc && exec sh -euc "$1""#;
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", mounts]);
    command.arg(machine.dir.path()).arg(script);
    command.env("HOME", machine.path("home")).env("USER", "root").env_remove("XDG_CACHE_HOME");
    command.current_dir(machine.path("work"));
    command
}

#[test]
fn the_daemon_builds_for_a_user_without_write_access_to_the_store() {
    let machine = Machine::new();
    let copy = testkit::tools::command("cp").args(["-a", "/etc"]).arg(machine.dir.path()).status();
    assert!(copy.unwrap().success());
    let (file, digest) = tarball(machine.dir.path(), |_| {});
    let (action, file) = (assert_cmd::cargo::cargo_bin!("setup-nix").display(), file.display());
    let script = format!(
        r#"chmod 755 /nix; chmod 777 .
        GITHUB_ACTIONS=true GITHUB_ENV=$PWD/env INPUT_CACHE=off '{action}' install --reuse=never --daemon \
          --sandbox=false --extra-conf='substituters =' --tarball='{file}' --sha256={digest}
        grep -A1 '^NIX_REMOTE<<' env | grep -x daemon
        getent group nixbld | grep nixbld32
        echo 'derivation {{ name = "by-daemon"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "echo built by $(/usr/bin/id -un) >$out" ]; }}' >build.nix
        chmod 644 build.nix; mkdir -m 777 home; bin=/nix/var/nix/gcroots/setup-nix/bin
        run() {{ setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=$PWD/home NIX_REMOTE=daemon "$@"; }}
        if run touch /nix/store/mine; then exit 1; fi
        run $bin/nix-store --version
        path=$(run $bin/nix-build --no-out-link build.nix)
        grep '^built by nixbld' "$path"
        stat -c '%U %G %a' /nix/store | grep -x 'root nixbld 1775'
        $bin/nix-store --verify --check-contents
        # The next job finds the installation without its daemon.
        daemons() {{ grep -lx nix-daemon /proc/[0-9]*/comm | cut -d/ -f3; }}
        kill $(daemons)
        while [ -n "$(daemons)" ]; do sleep 0.1; done
        GITHUB_ACTIONS=true GITHUB_ENV=$PWD/env RUNNER_TRACKING_ID=job INPUT_CACHE=off '{action}' install --daemon \
          --sandbox=false --extra-conf='substituters ='
        [ -n "$(daemons)" ]
        for pid in $(daemons); do if grep -q RUNNER_TRACKING_ID /proc/$pid/environ; then exit 1; fi; done
        run $bin/nix-store --verify-path "$path""#
    );
    // Other users must be able to reach the directory.
    let open = ["nix", "work"].map(|name| machine.path(name));
    for dir in open.iter().map(std::path::PathBuf::as_path).chain([machine.dir.path()]) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let output = isolated(&machine, &script).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn rejects_a_daemon_where_it_is_not_possible() {
    let machine = Machine::new();
    let output = machine.run(&["install", "--daemon"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("reuse: never"), "{}", text(&output));
}

/// A user with `sudo`, as on a hosted runner, and without `USER`, as in a container. First
/// with a daemon of this action, then with an existing one.
#[test]
fn a_user_with_sudo_restores_and_saves_beside_a_daemon() {
    let machine = Machine::new();
    let copy = testkit::tools::command("cp").args(["-a", "/etc"]).arg(machine.dir.path()).status();
    assert!(copy.unwrap().success());
    let (file, digest) = tarball(machine.dir.path(), |_| {});
    let action = assert_cmd::cargo::cargo_bin!("setup-nix").display();
    let script = format!(
        r#"cp '{action}' '{file}' .; chmod 755 setup-nix; chmod 644 nix.tar.xz; chmod 755 /nix; chown nobody /nix .
        echo 'nobody ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/nobody; chmod 440 /etc/sudoers.d/nobody
        install -d -o nobody home tmp; bin=/nix/var/nix/gcroots/setup-nix/bin
        as_user() {{ setpriv --reuid=nobody --regid=nogroup --clear-groups env -u USER HOME=$PWD/home TMPDIR=$PWD/tmp "$@"; }}
        as_user ./setup-nix install --reuse=never --daemon --kvm=false --sandbox=false \
          --extra-conf='substituters =' --tarball=$PWD/nix.tar.xz --sha256={digest}
        grep -x 'trusted-users = root nobody' /nix/var/nix/setup-nix.conf
        echo 'derivation {{ name = "by-daemon"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "echo built >$out" ]; }}' >build.nix
        path=$(as_user env NIX_REMOTE=daemon $bin/nix-build --no-out-link build.nix)
        ! as_user touch /nix/store/mine
        as_user ./setup-nix save --kvm=false | tee saved
        grep '2 paths packed' saved
        $bin/nix-store --delete $path $($bin/nix-store -q --deriver $path)
        test ! -e $path
        as_user ./setup-nix install --kvm=false | tee installed
        grep '2 paths restored' installed
        test "$(cat $path)" = built
        as_user env NIX_REMOTE=daemon $bin/nix-store -q --deriver $path | grep drv
        test "$(stat -c %U $path)" = root
        $bin/nix-store --verify --check-contents"#,
        file = file.display()
    );
    for dir in [machine.path("nix"), machine.path("work"), machine.dir.path().to_owned()] {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let output = isolated(&machine, &script).output().unwrap();
    let log = text(&output);
    assert!(output.status.success() && !log.contains("was modified"), "{log}");
}

/// A user with `sudo` who owns the store, as on a hosted runner, can change what root
/// mounts. On other machines, the images are unmounted at the end.
#[test]
fn a_user_with_sudo_mounts_images() {
    let machine = Machine::new();
    let copy = testkit::tools::command("cp").args(["-a", "/etc"]).arg(machine.dir.path()).status();
    assert!(copy.unwrap().success());
    let (file, digest) = tarball(machine.dir.path(), |_| {});
    let action = assert_cmd::cargo::cargo_bin!("setup-nix").display();
    let script = format!(
        r#"cp '{action}' '{file}' .; chmod 755 setup-nix; chmod 644 nix.tar.xz; chmod 755 /nix; chown nobody /nix .
        echo 'nobody ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/nobody; chmod 440 /etc/sudoers.d/nobody
        install -d -o nobody home tmp; bin=/nix/var/nix/gcroots/setup-nix/bin
        as_user() {{ setpriv --reuid=nobody --regid=nogroup --clear-groups env -u USER HOME=$PWD/home TMPDIR=$PWD/tmp "$@"; }}
        install() {{ as_user "$@" ./setup-nix install --reuse=never --kvm=false --sandbox=false           --extra-conf='substituters =' --tarball=$PWD/nix.tar.xz --sha256={digest}; }}
        is_mounted() {{ grep -q ' /nix/store .* overlay setup-nix ' /proc/self/mountinfo; }}
        install
        as_user sh -c 'mkdir large; head -c 70000000 /dev/urandom >large/data; printf "\043!/bin/sh\necho ran\n" >large/run; chmod +x large/run'
        path=$(as_user $bin/nix-store --add large)
        as_user ./setup-nix save --kvm=false | tee saved
        grep '1 paths packed' saved
        rm -rf /nix/store /nix/var
        install env RUNNER_ENVIRONMENT=github-hosted | tee installed
        grep '1 of them mounted, from 1 images' installed
        is_mounted
        test "$(stat -c '%U %a' home/.cache/setup-nix/binary-cache/image/*.squashfs)" = 'root 444'
        as_user head -c 4 home/.cache/setup-nix/binary-cache/image/*.squashfs | grep hsqs
        test "$(stat -c %U $path/run)" = nobody
        test "$(as_user $path/run)" = ran
        as_user $bin/nix-store --verify --check-contents
        ! as_user sh -c "echo x >$path/data"
        as_user $bin/nix-store --gc >collected
        test ! -e $path
        echo 'derivation {{ name = "new"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" "echo new >$out" ]; }}' >build.nix
        new=$(as_user $bin/nix-build --option sandbox false --option substituters '' --no-out-link build.nix)
        as_user env RUNNER_ENVIRONMENT=github-hosted ./setup-nix save --kvm=false
        is_mounted
        as_user ./setup-nix save --kvm=false
        ! is_mounted
        test -e $new
        test "$(stat -c '%U %a' home/.cache/setup-nix/binary-cache/image/*.squashfs)" = 'nobody 644'
        as_user $bin/nix-store --verify --check-contents
        as_user ./setup-nix install --kvm=false --mount | tee installed
        grep '1 of them mounted' installed
        as_user $bin/nix-store --verify --check-contents
        as_user ./setup-nix save --kvm=false
        ! is_mounted; ls /nix /var/lib/setup-nix"#,
        file = file.display()
    );
    for dir in [machine.path("nix"), machine.path("work"), machine.dir.path().to_owned()] {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let output = isolated(&machine, &script).output().unwrap();
    let log = text(&output);
    assert!(output.status.success() && !log.contains("was modified"), "{log}");
}

/// A user with `sudo`, and a fake device and `udevadm`.
#[test]
fn opens_kvm_if_requested_and_closes_it_again() {
    let machine = Machine::new();
    let copy = testkit::tools::command("cp").args(["-a", "/etc"]).arg(machine.dir.path()).status();
    assert!(copy.unwrap().success());
    let action = assert_cmd::cargo::cargo_bin!("setup-nix").display();
    let script = format!(
        r#"cp '{action}' .; chmod 755 setup-nix; chown nobody /nix .
        echo 'nobody ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/nobody; chmod 440 /etc/sudoers.d/nobody
        install -d -o nobody home tmp; install -d /etc/udev/rules.d programs
        : >kvm; [ -e /dev/kvm ] || : >/dev/kvm; mount --bind kvm /dev/kvm; chmod 600 /dev/kvm
        rule=/etc/udev/rules.d/99-setup-nix-kvm.rules
        printf '#!/bin/sh\n[ ! -e '$PWD'/broken ] || exit 1\nif [ -e %s ]; then chmod 666 /dev/kvm; else chmod 600 /dev/kvm; fi\n' $rule >programs/udevadm
        chmod 755 programs/udevadm; mount --bind programs /usr/local/sbin
        as_user() {{ setpriv --reuid=nobody --regid=nogroup --clear-groups env HOME=$PWD/home TMPDIR=$PWD/tmp "$@"; }}
        is() {{ test "$(stat -c %a /dev/kvm)" = "$1"; }}
        as_user ./setup-nix install; is 600
        as_user ./setup-nix install --kvm=true; is 666; test -e $rule
        as_user ./setup-nix save; is 600; test ! -e $rule
        # The rule of a job that could not clean up.
        : >$rule; chmod 666 /dev/kvm; as_user ./setup-nix install --kvm=true; is 666
        as_user ./setup-nix save; is 600; test ! -e $rule
        : >broken; as_user ./setup-nix install --kvm=true; test ! -e $rule; rm broken
        as_user ./setup-nix save; test ! -e home/.cache/setup-nix/binary-cache.state/kvm
        # A job without a cache and a save step.
        as_user env GITHUB_ACTIONS=true RUNNER_TEMP=$PWD/tmp/job INPUT_GITHUB_TOKEN= \
          ./setup-nix install --kvm=true --cache=off; is 666
        for _ in $(seq 600); do [ ! -e tmp/job/setup-nix/packed ] || break; sleep 0.1; done
        mv tmp/job tmp/removed
        for _ in $(seq 600); do [ -e $rule ] || break; sleep 0.1; done
        sleep 1; is 600; test ! -e $rule
        hosted() {{ as_user env RUNNER_ENVIRONMENT=github-hosted ./setup-nix "$@"; }}
        hosted install --kvm=false; is 600
        hosted install; is 666
        hosted save; is 666"#
    );
    for dir in [machine.path("nix"), machine.path("work"), machine.dir.path().to_owned()] {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let output = isolated(&machine, &script).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}
