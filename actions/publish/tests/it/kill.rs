//! Runs killed with SIGKILL, and the runs after them.

use std::process::{Child, Command, Stdio};

use testkit::fault::{Fault, Point, Proxy};
use testkit::github::{self, GitHub};
use testkit::oidc::Oidc;
use testkit::sigstore::Sigstore;
use testkit::warehouse::{Behaviour, TOKEN, Warehouse};

use crate::support::Set;

fn start(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Kills a run at each point of each upload and reruns it: the release is
/// complete, and no file is stored or accepted twice.
#[test]
fn a_rerun_completes_a_run_killed_during_an_upload() {
    for upload in 0..4 {
        for point in [Point::Head, Point::Body, Point::Answer] {
            let (set, index) = (Set::htty(), Warehouse::start(Behaviour::default(), None));
            let proxy = Proxy::start(&index.url(), &[(upload, Fault::Stop(point))]);
            let mut command: Command = set.command();
            command.args([
                "--index",
                &format!("{}legacy/", proxy.url()),
                "--allow-insecure-loopback",
                "--concurrency",
                "1",
            ]);
            command.env("INPUT_PASSWORD", TOKEN);
            let mut child = start(command);
            proxy.wait_for_stop();
            // SIGKILL.
            child.kill().unwrap();
            child.wait().unwrap();
            let stored = index.shelf().files.len();
            assert_eq!(stored, upload + usize::from(point == Point::Answer));

            set.publish(&index.url(), &[]).expect(0);
            let shelf = index.shelf();
            assert_eq!(shelf.files.len(), 4, "upload {upload}, {point:?}");
            assert_eq!(shelf.order.len(), 4);
            let accepted = shelf.uploads.iter().filter(|(_, status)| *status == 200).count();
            assert_eq!(accepted, 4, "nothing is sent twice: upload {upload}, {point:?}");
        }
    }
}

/// All services of a whole release.
struct World {
    set: Set,
    oidc: Oidc,
    sigstore: Sigstore,
    index: Warehouse,
    github: GitHub,
}

impl World {
    fn new() -> Self {
        let (set, oidc) = (Set::htty(), Oidc::start(0));
        let sigstore = Sigstore::start(oidc.issued(), 0);
        let index =
            Warehouse::start(Behaviour::default(), Some(oidc.issued())).with_projects(&["htty", "htty-core"]);
        Self { set, oidc, sigstore, index, github: GitHub::start() }
    }

    /// The URLs of the services.
    fn roots(&self) -> [String; 4] {
        let oidc = self.oidc.env()[0].1.split("token").next().unwrap().to_owned();
        let index = self.index.url().replace("legacy/", "");
        [oidc, format!("{}/", self.sigstore.url()), index, self.github.url()]
    }

    /// A whole release through `roots`.
    fn command(&self, roots: &[String]) -> Command {
        let own = self.roots();
        let there = |text: String| {
            own.iter().zip(roots).fold(text, |text, (own, root)| {
                text.replace(own.trim_end_matches('/'), root.trim_end_matches('/'))
            })
        };
        let config = self.set.dir.path().join("trust-config.json");
        std::fs::write(&config, there(self.sigstore.trust_config().to_string())).unwrap();
        let mut command = self.set.command();
        command.args([
            "--index",
            &there(self.index.url()),
            "--allow-insecure-loopback",
            "--concurrency",
            "1",
        ]);
        command.args(["--attestations", "required", "--trust-config", config.to_str().unwrap()]);
        command.args(["--github-release", "after"]).env("INPUT_GITHUB_TOKEN", github::TOKEN);
        let env = self.oidc.env().into_iter().chain(self.github.env());
        command.envs(env.map(|(name, value)| (name, there(value))));
        command
    }

    #[track_caller]
    fn is_complete(&self, when: &str) {
        let held = self.index.shelf();
        assert_eq!(held.files.len(), 4, "{when}");
        for (name, stored) in &held.files {
            assert!(stored.fields.iter().any(|field| field.0 == "attestations"), "{name}, {when}");
        }
        let mut uploads: Vec<&str> = held.uploads.iter().map(|(name, _)| name.as_str()).collect();
        uploads.sort_unstable();
        uploads.dedup();
        assert_eq!((uploads.len(), held.uploads.len()), (4, 4), "sent twice: {:?}, {when}", held.uploads);
        let repository = self.github.repository();
        let [release] = repository.releases.as_slice() else { panic!("{:?}, {when}", repository.releases) };
        assert!(!release.draft, "{when}");
        // Four distributions, their attestations, the manifest, the sums.
        assert_eq!((release.assets.len(), repository.sent), (10, 10), "{when}");
    }
}

/// Kills a run that mints, attests, uploads, verifies and releases at each of its
/// requests; the next run completes it.
fn killed_at_each_request(point: Point) {
    let mut number = 0;
    loop {
        let world = World::new();
        let roots = world.roots();
        let fault = [(number, Fault::Stop(point))];
        let proxy = Proxy::before(&roots.each_ref().map(String::as_str), &fault);
        let mut child = start(world.command(&proxy.urls()));
        let stopped = proxy.stops(&mut child);
        if stopped {
            // SIGKILL.
            child.kill().unwrap();
        }
        let status = child.wait().unwrap();
        let when = format!("killed at request {number}, {point:?}");
        if !stopped {
            assert!(status.success(), "{when}");
            world.is_complete(&when);
            break;
        }
        let result = world.set.run(world.command(&roots));
        assert_eq!(result.code, 0, "{when}: {}", result.text);
        world.is_complete(&when);
        number += 1;
    }
    assert!(number > 30, "a whole release has more requests than {number}");
}

#[test]
#[ignore = "soak: kills the run before each request"]
fn a_rerun_completes_a_run_killed_before_any_request() {
    killed_at_each_request(Point::Head);
}

#[test]
#[ignore = "soak: kills the run before each answer"]
fn a_rerun_completes_a_run_killed_before_any_answer() {
    killed_at_each_request(Point::Answer);
}
