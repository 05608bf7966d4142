//! Uploading and verifying: package after package, file after file.

use std::cell::Cell;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use toolkit::{Failure as _, Progress, Ui, error_chain};

use crate::attest::Attestations;
use crate::auth::{Basic, Credentials};
use crate::error::Fault;
use crate::http::{Http, HttpError, interruption};
use crate::inputs::Inputs;
use crate::inspect::Dist;
use crate::plan::{Action, Package, Plan, Remote, Step};
use crate::probe::{Found, compare};
use crate::report::{Report, State, files};
use crate::simple::{self, Listing};
use crate::upload::Uploader;

/// What is wrong with a file, and whether another run may help.
pub(crate) struct Trouble {
    pub(crate) fault: Fault,
    pub(crate) again: bool,
}

impl Trouble {
    fn new(dist: &Dist, what: String, again: bool) -> Self {
        Self { fault: Fault { file: dist.filename.clone(), what }, again }
    }
}

/// Uploading, with all that it needs.
pub(crate) struct Job<'a, U> {
    pub(crate) inputs: &'a Inputs,
    pub(crate) ui: &'a Ui,
    pub(crate) http: &'a Http,
    pub(crate) dists: &'a [Dist],
    /// What the index had before.
    pub(crate) found: &'a Found,
    pub(crate) given: Option<&'a Basic>,
    pub(crate) credentials: Credentials<'a>,
    pub(crate) uploader: U,
    pub(crate) attestations: &'a Attestations,
}

/// How an attempt to send a file ended.
struct Sent {
    attempts: u32,
    /// Whether this run sent the bytes that the index has.
    result: Result<bool, Trouble>,
}

impl<U: Uploader> Job<'_, U> {
    /// Package after package; a fault ends it, so that nothing is published
    /// whose requirements are not.
    pub(crate) async fn upload(&self, plan: &Plan, report: &mut Report) -> Vec<Trouble> {
        let mut faults = Vec::new();
        for package in &plan.packages {
            if faults.is_empty() {
                faults = self.package(package, report).await;
            }
        }
        faults
    }

    async fn package(&self, package: &Package, report: &mut Report) -> Vec<Trouble> {
        let dist = |step: &Step| &self.dists[step.dist];
        let steps = package.files.iter().filter(|step| step.action == Action::Upload);
        let (wheels, sdists): (Vec<&Dist>, Vec<&Dist>) =
            steps.map(dist).partition(|dist| dist.name.wheel().is_some());
        if wheels.is_empty() && sdists.is_empty() {
            return Vec::new();
        }
        let new = package.files.iter().all(|step| step.action == Action::Upload);
        let title = format!("{} {}", package.project, package.version);
        self.ui.info(format!("{title}: sending {}", files(wheels.len() + sdists.len())));
        let total = wheels.iter().chain(&sdists).map(|dist| dist.size).sum();
        let progress = self.ui.progress(&title, Some(total), "B");
        let mut sent: Vec<&Dist> = Vec::new();
        let mut faults = Vec::new();
        // A new release is made by its first file: sent at the same time,
        // several would each try to make it, and Warehouse answers 500. A
        // source comes when all wheels are there, or installers would build it.
        for group in groups(&wheels, &sdists, new) {
            if !faults.is_empty() {
                break;
            }
            let progress = &progress;
            let one = |dist| async move { (dist, self.send(dist, progress).await) };
            let mut results = futures_util::stream::iter(group.iter().copied().map(one))
                .buffer_unordered(self.inputs.concurrency);
            while let Some((dist, Sent { attempts, result })) = results.next().await {
                let Some(file) = report.file(&dist.filename) else { continue };
                file.attempts = attempts;
                file.attested = self.attestations.contains_key(&dist.filename);
                match result {
                    Ok(ours) => {
                        file.state = if ours { State::Unverified } else { State::Present };
                        self.ui.info(format!("  {} ({} bytes)", dist.filename, dist.size));
                        sent.push(dist);
                    }
                    Err(trouble) => {
                        file.state = State::Failed;
                        file.message = Some(trouble.fault.what.clone());
                        faults.push(trouble);
                    }
                }
            }
        }
        if !sent.is_empty() {
            faults.extend(self.verify(&package.project, &sent, report).await);
        }
        faults
    }

    /// Sends one file until the index has it, or never will.
    async fn send(&self, dist: &Dist, progress: &Progress) -> Sent {
        let attestation = self.attestations.get(&dist.filename);
        let attestations = attestation.map(std::slice::from_ref).unwrap_or_default();
        // A second attempt begins anew; the bar does not go back.
        let shown = Cell::new(0);
        let moved = |bytes: u64| {
            progress.add(bytes.saturating_sub(shown.get()));
            shown.set(bytes.max(shown.get()));
        };
        let (mut attempts, mut renewed) = (0, false);
        loop {
            let trouble = |what, again| Err(Trouble::new(dist, what, again));
            if toolkit::interrupted() {
                return Sent { attempts, result: trouble("interrupted".to_owned(), true) };
            }
            let basic = match self.credentials.current().await {
                Ok(basic) => basic,
                Err(error) => {
                    let again = error.exit() != toolkit::Exit::Findings;
                    return Sent { attempts, result: trouble(error_chain(&error), again) };
                }
            };
            attempts += 1;
            let error = tokio::select! {
                result = self.uploader.upload(dist, &basic, attestations, &moved) => match result {
                    Ok(()) => return Sent { attempts, result: Ok(true) },
                    Err(error) => error,
                },
                () = interruption() => continue,
            };
            if expired(&error) && !renewed && self.credentials.renew(&basic).await {
                renewed = true;
                continue;
            }
            let status = error.status().map(|status| status.as_u16());
            let wait = self.http.pace.after(attempts + 1, &error);
            if let Some(wait) = wait {
                let what = format!("{}: {}", dist.filename, error_chain(&error));
                if self.http.pause(&what, wait).await.is_err() {
                    continue;
                }
            } else if !error.is_transient() && !matches!(status, Some(400 | 409)) {
                return Sent { attempts, result: trouble(self.told(dist, &error), false) };
            }
            // Whatever was answered, it may be there: ask before sending again.
            let http = if wait.is_some() { &self.http.once() } else { self.http };
            let result = match self.remote(http, dist).await {
                Ok(Remote::Same) => Ok(error.is_transient()),
                Ok(Remote::Different(what) | Remote::Closed(what)) => trouble(what, false),
                Ok(Remote::Absent) | Err(_) if wait.is_some() => continue,
                Ok(Remote::Absent) => trouble(self.told(dist, &error), error.is_transient()),
                Err(probe) => trouble(format!("{}; and {}", error_chain(&error), error_chain(&probe)), true),
            };
            return Sent { attempts, result };
        }
    }

    /// What an index said that will say the same again.
    fn told(&self, dist: &Dist, error: &HttpError) -> String {
        let text = error_chain(error);
        let new = self.found.new_projects().any(|project| project == dist.project);
        let trusted = matches!(self.credentials, Credentials::Trusted(_));
        match error.status().map(|status| status.as_u16()) {
            Some(403) if new && trusted => format!(
                "{text}. The project is new, and a pending publisher makes one project: another one needs \
                 a publisher with another environment, or the next run"
            ),
            Some(401 | 403) if !trusted => {
                format!(
                    "{text}. Look at `username` and `password`, and at the projects that the token is for"
                )
            }
            None if matches!(error, HttpError::Redirect { .. }) => {
                format!("{text}. If that is the index's upload API, give it as `index`")
            }
            _ => text,
        }
    }

    async fn remote(&self, http: &Http, dist: &Dist) -> Result<Remote, HttpError> {
        let listing = simple::list(http, &self.inputs.index, &dist.project, self.given).await?;
        compare(http, &listing, dist).await
    }

    /// Waits until the index shows each file with the hash that was sent.
    async fn verify(&self, project: &str, sent: &[&Dist], report: &mut Report) -> Vec<Trouble> {
        let end = Instant::now() + self.inputs.verify_timeout;
        let mut pause = Duration::from_millis(100);
        let mut told = false;
        loop {
            // Here the loop itself is the retry.
            let listing = simple::list(&self.http.once(), &self.inputs.index, project, self.given).await;
            let mut open = Vec::new();
            for dist in sent {
                let fault = match &listing {
                    Err(error) => Some((error_chain(error), true)),
                    Ok(listing) => self.check(listing, dist, report).await,
                };
                open.extend(fault.map(|(what, again)| Trouble::new(dist, what, again)));
            }
            let settled = open.iter().any(|trouble| !trouble.again);
            if open.is_empty() || settled || Instant::now() + pause > end || toolkit::interrupted() {
                if toolkit::interrupted() {
                    for trouble in &mut open {
                        trouble.fault.what = String::from("interrupted before the index has listed it");
                    }
                }
                for trouble in &open {
                    if let Some(file) = report.file(&trouble.fault.file) {
                        file.state = State::Unverified;
                        file.message = Some(trouble.fault.what.clone());
                    }
                }
                return open;
            }
            if pause > Duration::from_secs(2) && !told {
                told = true;
                let most = end.saturating_duration_since(Instant::now()).as_secs();
                self.ui.info(format!("  waiting, {most} s at most, until {} is listed", files(open.len())));
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = interruption() => {}
            }
            pause = (pause * 2).min(Duration::from_secs(15));
        }
    }

    /// What is wrong with what the index shows, and whether it may change.
    async fn check(&self, listing: &Listing, dist: &Dist, report: &mut Report) -> Option<(String, bool)> {
        match compare(self.http, listing, dist).await {
            Ok(Remote::Same) => {}
            Ok(Remote::Different(what) | Remote::Closed(what)) => return Some((what, false)),
            Ok(Remote::Absent) => {
                let seconds = self.inputs.verify_timeout.as_secs();
                return Some((format!("the index took it, but does not list it within {seconds} s"), true));
            }
            Err(error) => return Some((error_chain(&error), true)),
        }
        let listed = &listing.files[&dist.filename];
        let attested = self.attestations.contains_key(&dist.filename);
        let tells = self.inputs.index.known.is_some() || listing.attests;
        if attested && tells && listed.provenance.is_none() {
            return Some(("the index lists it without the attestation that it was sent".to_owned(), true));
        }
        if listed.yanked {
            return Some(("the index lists it as yanked".to_owned(), false));
        }
        let file = report.file(&dist.filename)?;
        if file.state == State::Unverified {
            file.state = State::Uploaded;
        }
        file.url = Some(listed.shown());
        None
    }
}

/// Whether a new token may help: the index says that this one is too old, or
/// nothing at all.
fn expired(error: &HttpError) -> bool {
    let HttpError::Status { status, message, .. } = error else { return false };
    let message = message.to_ascii_lowercase();
    matches!(status.as_u16(), 401 | 403)
        && (message.is_empty() || ["expire", "authentication"].iter().any(|word| message.contains(word)))
}

/// Files that may be sent at the same time, group after group.
fn groups<'d>(wheels: &[&'d Dist], sdists: &[&'d Dist], new: bool) -> Vec<Vec<&'d Dist>> {
    let mut groups = vec![wheels.to_vec(), sdists.to_vec()];
    groups.retain(|group| !group.is_empty());
    if new && groups[0].len() > 1 {
        let rest = groups[0].split_off(1);
        groups.insert(1, rest);
    }
    groups
}
