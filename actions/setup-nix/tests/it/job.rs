//! State of a single job: its settings and tokens, and what it used and built.

use std::fs;
use std::path::PathBuf;

use crate::cache::{narinfo, packed, with_cache};
use crate::machine::{Machine, text};

/// Runs the action as a step of the job with the temporary directory `job`.
pub(crate) fn step(machine: &Machine, job: &str, args: &[&str], variables: &[(&str, &str)]) -> String {
    let temporary = machine.path(job);
    fs::create_dir_all(&temporary).unwrap();
    let mut action = machine.action(args);
    action.env("GITHUB_ACTIONS", "true").env("RUNNER_TEMP", &temporary);
    action.env("GITHUB_ENV", temporary.join("env")).env("GITHUB_OUTPUT", temporary.join("output"));
    action.envs(variables.iter().copied());
    let output = action.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    machine.use_conf(&temporary);
    text(&output)
}

fn conf(machine: &Machine, job: &str) -> PathBuf {
    machine.path(job).join("setup-nix/nix.conf")
}

#[test]
fn two_jobs_have_separate_settings_even_without_a_cache_directory() {
    let machine = Machine::new();
    let token = |job: &'static str| ("INPUT_ACCESS_TOKENS", job);
    let args = ["install", "--cache-directory=/proc/nope/x"];
    let log = step(&machine, "a", &args, &[token("github.com=first")]);
    assert!(log.contains("cannot use the cache directory"), "{log}");
    step(&machine, "b", &args, &[token("github.com=second")]);
    let text = |job| fs::read_to_string(conf(&machine, job)).unwrap();
    assert!(text("a").contains("github.com=first") && text("b").contains("github.com=second"));
}

#[test]
fn each_token_is_masked_on_its_own() {
    let machine = Machine::new();
    let tokens = ("INPUT_ACCESS_TOKENS", "github.com=first-token gitlab.com=PAT:second-token");
    let log = step(&machine, "a", &["install"], &[tokens]);
    for mask in ["first-token", "PAT:second-token", "second-token"] {
        assert!(log.lines().any(|line| line == format!("::add-mask::{mask}")), "{mask}: {log}");
    }
}

#[test]
fn without_a_usable_home_the_cache_is_off() {
    let machine = Machine::new();
    for (name, value) in [("XDG_CACHE_HOME", "relative"), ("XDG_CACHE_HOME", "/a:b"), ("HOME", "home:less")] {
        let output = machine.action(&["install", "--dry-run"]).env(name, value).output().unwrap();
        assert!(output.status.success(), "{name}={value}: {}", text(&output));
        let why = format!("{name} is `{value}`, expected an absolute path without `:`");
        assert!(text(&output).contains(&why), "{why}: {}", text(&output));
    }
}

#[test]
fn two_jobs_of_one_user_have_separate_settings() {
    let machine = Machine::new();
    let token = |job: &'static str| ("INPUT_ACCESS_TOKENS", job);
    step(&machine, "a", &["install", "--max-jobs=3"], &[token("github.com=first")]);
    step(&machine, "b", &["install", "--max-jobs=5"], &[token("github.com=second")]);
    let (a, b) =
        (fs::read_to_string(conf(&machine, "a")).unwrap(), fs::read_to_string(conf(&machine, "b")).unwrap());
    assert!(a.contains("max-jobs = 3") && a.contains("github.com=first"), "{a}");
    assert!(b.contains("max-jobs = 5") && b.contains("github.com=second"), "{b}");
    // The end of a job removes only its own tokens.
    step(&machine, "a", &["save"], &[]);
    assert!(!fs::read_to_string(conf(&machine, "a")).unwrap().contains("github.com"));
    assert!(fs::read_to_string(conf(&machine, "b")).unwrap().contains("github.com=second"));
    step(&machine, "b", &["save"], &[]);
}

#[test]
fn the_jobs_token_is_only_for_github_and_an_input_overrides_it() {
    let machine = Machine::new();
    let own = ("INPUT_GITHUB_TOKEN", "ghs_own");
    let log = step(&machine, "a", &["install", "--cache=off"], &[own]);
    assert!(log.contains("::add-mask::ghs_own"), "{log}");
    let text = fs::read_to_string(conf(&machine, "a")).unwrap();
    assert!(text.contains("access-tokens = github.com=ghs_own\n"), "{text}");
    step(
        &machine,
        "a",
        &["install", "--cache=off"],
        &[own, ("INPUT_ACCESS_TOKENS", "gitlab.com=x github.com=y")],
    );
    let text = fs::read_to_string(conf(&machine, "a")).unwrap();
    assert!(
        text.contains("access-tokens = gitlab.com=x github.com=y\n") && !text.contains("ghs_own"),
        "{text}"
    );
    step(&machine, "a", &["save", "--cache=off"], &[]);
    assert!(!fs::read_to_string(conf(&machine, "a")).unwrap().contains("access-tokens"));
    // Outside of a workflow, the default of `github-token` is ignored.
    let machine = Machine::new();
    machine.run_ok(&["install"]);
    assert!(
        !fs::read_to_string(machine.cache().with_extension("state").join("nix.conf"))
            .unwrap()
            .contains("github.com")
    );
}

#[test]
fn the_key_contains_the_user_id() {
    let machine = Machine::new();
    let log = machine.run_ok(&["plan"]);
    let user = user_id();
    assert!(log.contains(&format!("-{user}-")), "{log}");
}

fn user_id() -> String {
    let output = testkit::tools::command("id").arg("-u").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn without_a_home_the_cache_is_off_and_nix_works() {
    let machine = Machine::new();
    let temporary = machine.path("tmp");
    fs::create_dir(&temporary).unwrap();
    let mut action = machine.action(&["install"]);
    let output = action.env_remove("HOME").env("TMPDIR", &temporary).output().unwrap();
    let log = text(&output);
    assert!(output.status.success() && log.contains("neither HOME nor XDG_CACHE_HOME is set"), "{log}");
    let mut action = machine.action(&["install"]);
    let output = action.env("HOME", "/proc/nowhere").env("TMPDIR", &temporary).output().unwrap();
    let log = text(&output);
    assert!(output.status.success() && log.contains("cannot use the cache directory"), "{log}");
    machine.verify();
}

/// Its name is known to everyone who can write to the directory of temporary files.
#[test]
fn does_not_use_a_directory_of_last_resort_that_others_prepared() {
    let machine = Machine::new();
    let (temporary, victim) = (machine.path("tmp"), machine.path("victim"));
    fs::create_dir(&temporary).unwrap();
    fs::create_dir(&victim).unwrap();
    std::os::unix::fs::symlink(&victim, temporary.join(format!("setup-nix-{}", user_id()))).unwrap();
    for home in [None, Some("/proc/nowhere")] {
        let mut action = machine.action(&["install"]);
        action.env_remove("HOME").envs(home.map(|home| ("HOME", home))).env("TMPDIR", &temporary);
        let output = action.output().unwrap();
        let log = text(&output);
        assert!(!output.status.success() && log.contains("expected a directory of this user"), "{log}");
    }
    assert_eq!(fs::read_dir(&victim).unwrap().count(), 0);
}

#[test]
fn without_a_runner_it_prints_the_setup_of_a_new_shell() {
    let machine = Machine::new();
    let mut action = machine.action(&["install"]);
    let output = action.env_remove("NIX_USER_CONF_FILES").output().unwrap();
    let log = text(&output);
    let line = log.lines().find(|line| line.contains("export NIX_USER_CONF_FILES=")).unwrap().trim();
    machine.sh(&format!(
        "unset NIX_USER_CONF_FILES; {line}; nix show-config | grep -x 'accept-flake-config = false'"
    ));
}

#[test]
fn drops_what_later_jobs_do_not_build() {
    let (mut machine, first) = packed(1);
    machine.run_ok(&["save"]);
    for commit in 1..=3 {
        let next = with_cache(&machine);
        // Times of use have a resolution of a second.
        let job = format!("job{commit}");
        step(&next, &job, &["install"], &[]);
        std::thread::sleep(std::time::Duration::from_millis(1500));
        next.build(&format!("commit{commit}"), 1);
        std::thread::sleep(std::time::Duration::from_millis(1500));
        step(&next, &job, &["save"], &[]);
        assert_eq!(narinfo(&next, &first).exists(), commit < 2, "after {commit} jobs");
        machine = next;
    }
}

/// A signature, or a content address, says nothing about who built a path.
#[test]
fn drops_own_builds_even_if_they_are_signed_or_content_addressed() {
    let mut machine = Machine::new();
    machine.sh("nix-store --generate-binary-cache-key own-1 secret public");
    let conf = format!("--extra-conf=secret-key-files = {}", machine.path("work/secret").display());
    machine.run_ok(&["install", &conf]);
    let signed = machine.build("sample", 1);
    fs::write(
        machine.path("work/fixed.nix"),
        format!(
            r#"derivation {{ name = "fixed"; system = builtins.currentSystem; builder = "/bin/sh";
               outputHashAlgo = "sha256"; outputHashMode = "flat"; outputHash = "{}";
               args = [ "-c" "echo fixed >$out" ]; }}"#,
            pydist::digest::hex(&pydist::digest::sha256(b"fixed\n"))
        ),
    )
    .unwrap();
    let fixed = machine.sh("nix-build --no-out-link fixed.nix 2>/dev/null").trim().to_owned();
    machine.run_ok(&["save"]);
    assert!(fs::read_to_string(narinfo(&machine, &signed)).unwrap().contains("Sig: own-1:"));
    assert!(fs::read_to_string(narinfo(&machine, &fixed)).unwrap().contains("CA: fixed:"));
    for commit in 1..=3 {
        let next = with_cache(&machine);
        let job = format!("job{commit}");
        step(&next, &job, &["install"], &[]);
        std::thread::sleep(std::time::Duration::from_millis(1500));
        next.build(&format!("commit{commit}"), 1);
        std::thread::sleep(std::time::Duration::from_millis(1500));
        step(&next, &job, &["save"], &[]);
        for path in [&signed, &fixed] {
            assert_eq!(narinfo(&next, path).exists(), commit < 2, "{path} after {commit} jobs");
        }
        machine = next;
    }
}

/// Whether `sample` of the first job is still cached after three jobs that built something
/// else, without a background packer.
fn stays_unused(mount_options: &'static str) -> bool {
    let (mut machine, path) = packed(1);
    machine.run_ok(&["save"]);
    for commit in 1..=3 {
        let next = Machine { mount_options, ..with_cache(&machine) };
        next.run_ok(&["install"]);
        next.build(&format!("commit{commit}"), 1);
        next.run_ok(&["save"]);
        machine = next;
    }
    narinfo(&machine, &path).exists()
}

#[test]
fn without_access_times_and_a_packer_everything_counts_as_used() {
    assert!(stays_unused("noatime"));
    assert!(!stays_unused("relatime"));
}

#[test]
fn sees_use_without_access_times() {
    let (mut machine, path) = packed(1);
    let unused = machine.build("unused", 1);
    machine.run_ok(&["save"]);
    for commit in 1..=3 {
        let next = Machine { mount_options: "noatime", ..with_cache(&machine) };
        let job = format!("job{commit}");
        step(&next, &job, &["install"], &[]);
        std::thread::sleep(std::time::Duration::from_millis(1500));
        assert_eq!(next.build("sample", 1), path);
        next.build(&format!("commit{commit}"), 1);
        std::thread::sleep(std::time::Duration::from_millis(1500));
        step(&next, &job, &["save"], &[]);
        machine = next;
    }
    assert!(narinfo(&machine, &path).exists() && !narinfo(&machine, &unused).exists());
}

#[test]
fn keeps_what_is_still_built_even_if_it_is_never_opened() {
    let (mut machine, path) = packed(3);
    machine.run_ok(&["save"]);
    for commit in 1..=4 {
        let next = with_cache(&machine);
        let job = format!("job{commit}");
        step(&next, &job, &["install"], &[]);
        std::thread::sleep(std::time::Duration::from_millis(1500));
        // `sample` is evaluated and already valid, but never opened.
        assert_eq!(next.build("sample", 3), path);
        next.build(&format!("commit{commit}"), 1);
        std::thread::sleep(std::time::Duration::from_millis(1500));
        step(&next, &job, &["save"], &[]);
        for n in 0..3 {
            let name = format!("-sample-{n}");
            let kept = fs::read_dir(next.cache()).unwrap().flatten().any(|entry| {
                fs::read_to_string(entry.path())
                    .is_ok_and(|text| text.lines().next().unwrap_or_default().ends_with(&name))
            });
            assert!(kept, "{name} after {commit} jobs");
        }
        machine = next;
    }
}

#[test]
fn pushes_what_the_job_built_to_another_store() {
    let machine = Machine::new();
    machine.run_ok(&["install"]);
    let path = machine.build("pushed", 2);
    let store = machine.path("other");
    let log = machine.run_ok(&["save", &format!("--push-to=file://{}", store.display())]);
    assert!(log.contains("2 built paths copied to `file://"), "{log}");
    machine.sh(&format!(
        "nix --extra-experimental-features nix-command path-info --store file://{} {path}",
        store.display()
    ));
    // An unreachable store does not fail the job.
    let log = machine.run_ok(&["save", "--push-to=http://127.0.0.1:9/"]);
    assert!(log.contains("cannot copy all built paths to"), "{log}");
}

#[test]
fn without_a_cache_pushes_only_what_this_job_built() {
    let machine = Machine::new();
    machine.run_ok(&["install", "--cache=off"]);
    let earlier = machine.build("earlier", 1);
    machine.run_ok(&["install", "--cache=off"]);
    machine.build("pushed", 1);
    let store = machine.path("other");
    let push = format!("--push-to=file://{}", store.display());
    let log = machine.run_ok(&["save", "--cache=off", &push]);
    assert!(log.contains("1 built paths copied to `file://"), "{log}");
    let digits = &earlier["/nix/store/".len()..][..32];
    assert!(!store.join(format!("{digits}.narinfo")).exists());
    // If it is unknown what the job built, nothing is pushed.
    fs::remove_file(machine.cache().with_extension("state").join("first")).unwrap();
    let log = machine.run_ok(&["save", "--cache=off", &push]);
    assert!(log.contains("cannot copy all built paths to"), "{log}");
}

#[test]
fn save_takes_over_the_inputs_that_it_does_not_set() {
    let machine = Machine::new();
    let cache = machine.path("elsewhere").display().to_string();
    let store = format!("file://{}", machine.path("other").display());
    let inputs = [
        ("INPUT_CACHE_DIRECTORY", cache.as_str()),
        ("INPUT_CACHE_KEY", "mine"),
        ("INPUT_PUSH_TO", &store),
        ("INPUT_MAX_SIZE", "0"),
    ];
    step(&machine, "a", &["install"], &inputs);
    machine.build("pushed", 1);
    // As `save/action.yml` passes inputs that are not set.
    let unset = [("INPUT_CACHE_DIRECTORY", ""), ("INPUT_PUSH_TO", ""), ("INPUT_MAX_SIZE", "")];
    let log = step(&machine, "a", &["save"], &unset);
    assert!(log.contains("1 built paths copied to `file://"), "{log}");
    let outputs = fs::read_to_string(machine.path("a/output")).unwrap();
    assert!(outputs.contains(&cache) && outputs.contains("\nmine-"), "{outputs}");
    let packed =
        || fs::read_dir(&cache).unwrap().flatten().filter(|entry| entry.path().extension().is_some());
    assert_eq!(packed().count(), 0, "max-size is 0: {log}");
    step(&machine, "a", &["save"], &[("INPUT_MAX_SIZE", "1000")]);
    assert!(packed().count() > 0, "the step's own input has precedence");
    let read_only = Machine::new();
    step(&read_only, "a", &["install"], &[("INPUT_CACHE", "read-only")]);
    let log = step(&read_only, "a", &["save"], &[("INPUT_CACHE", "")]);
    assert!(log.contains("nothing is saved: the cache is read-only"), "{log}");
}
