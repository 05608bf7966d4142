//! Uploads the packages, group by group and file by file.

use std::cell::Cell;

use futures_util::StreamExt as _;
use index::{Basic, HttpError, Retry, Retryable as _, interruption};
use serde_json::Value;
use toolkit::{Failure as _, Progress, Ui, count, error_chain};

use crate::advice::{Advice, Problem};
use crate::attestation::Attestations;
use crate::auth::Credentials;
use crate::inputs::Sending;
use crate::inspect::Dist;
use crate::plan::{Action, Package, Plan, PlannedFile, Remote};
use crate::probe::IndexReader;
use crate::refusal::Refusal;
use crate::report::{Report, State};
use crate::upload::LegacyApi;
use crate::verify::Verifier;

/// Uploads the files of a plan.
pub(crate) struct UploadQueue<'a> {
    pub(crate) ui: &'a Ui,
    pub(crate) reader: &'a IndexReader<'a>,
    pub(crate) dists: &'a [Dist],
    pub(crate) sending: Sending,
    pub(crate) is_ordered: bool,
    pub(crate) credentials: Credentials<'a>,
    pub(crate) attestations: &'a Attestations,
}

/// When a file that the index has was sent: by this run, or before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Now,
    Before,
}

/// The result of sending a file.
struct SendResult {
    attempts: u32,
    result: Result<Sent, Problem>,
}

impl UploadQueue<'_> {
    /// Uploads and verifies group by group. Stops at a problem, so that no package
    /// is published before its requirements.
    pub(crate) async fn run(&self, plan: &Plan, report: &mut Report) -> Vec<Problem> {
        let mut problems = Vec::new();
        for group in plan.groups(self.dists, self.is_ordered) {
            let mut sent: Vec<&Dist> = Vec::new();
            for package in group {
                if problems.is_empty() {
                    problems = self.package(package, report, &mut sent).await;
                }
            }
            if !sent.is_empty() {
                let verifier = Verifier {
                    ui: self.ui,
                    reader: self.reader,
                    timeout: self.sending.verify_timeout,
                    attestations: self.attestations,
                };
                problems.extend(verifier.wait(&sent, report).await);
            }
            if !problems.is_empty() {
                break;
            }
        }
        problems
    }

    async fn package<'d>(
        &'d self,
        package: &Package,
        report: &mut Report,
        sent: &mut Vec<&'d Dist>,
    ) -> Vec<Problem> {
        let dist = |file: &PlannedFile| &self.dists[file.dist];
        let new_files = package.files.iter().filter(|file| file.action == Action::Upload);
        let (wheels, sdists): (Vec<&Dist>, Vec<&Dist>) =
            new_files.map(dist).partition(|dist| dist.name.wheel().is_some());
        if wheels.is_empty() && sdists.is_empty() {
            return Vec::new();
        }
        let new = package.files.iter().all(|file| file.action == Action::Upload);
        let title = format!("{} {}", package.project, package.version);
        self.ui.info(format!("{title}: uploading {}", count(wheels.len() + sdists.len(), "file")));
        let total = wheels.iter().chain(&sdists).map(|dist| dist.size).sum();
        let progress = self.ui.progress(&title, Some(total), "B");
        let mut problems = Vec::new();
        // The first file creates a new release: if several are sent at once, each
        // tries to create it, and Warehouse answers 500. The sdist is sent after
        // all wheels, or installers would build it meanwhile.
        for group in batches(&wheels, &sdists, new) {
            if !problems.is_empty() {
                break;
            }
            let progress = &progress;
            let one = |dist| async move { (dist, self.send(dist, progress).await) };
            let mut results = futures_util::stream::iter(group.iter().copied().map(one))
                .buffer_unordered(self.sending.concurrency);
            while let Some((dist, SendResult { attempts, result })) = results.next().await {
                let Some(file) = report.file(&dist.filename) else { continue };
                file.attempts = attempts;
                file.attested = self.attestations.contains_key(&dist.filename);
                match result {
                    Ok(when) => {
                        file.state = if when == Sent::Now { State::Unverified } else { State::Present };
                        self.ui.info(format!("  {} ({} bytes)", dist.filename, dist.size));
                        sent.push(dist);
                    }
                    Err(problem) => {
                        let is_there = problem.advice == Advice::SimpleUrl;
                        file.state = if is_there { State::Unverified } else { State::Failed };
                        file.message = Some(problem.what.clone());
                        problems.push(problem);
                    }
                }
            }
        }
        problems
    }

    /// Sends one file, with retries, until the index has it or rejects it for good.
    async fn send(&self, dist: &Dist, progress: &Progress) -> SendResult {
        let attestations = self.attestations.get(&dist.filename).map(Vec::as_slice).unwrap_or_default();
        // A second attempt starts over; the progress bar does not go back.
        let shown = Cell::new(0);
        let moved = |bytes: u64| {
            progress.add(bytes.saturating_sub(shown.get()));
            shown.set(bytes.max(shown.get()));
        };
        let (mut attempts, mut failed, mut renewed) = (0, self.retry().attempts(), false);
        let finish = |attempts, result: Result<Sent, (String, Advice)>| {
            let problem = |(what, advice)| Problem { file: dist.filename.clone(), what, advice };
            SendResult { attempts, result: result.map_err(problem) }
        };
        loop {
            if toolkit::interrupted() {
                return finish(attempts, Err(("interrupted".to_owned(), Advice::Rerun)));
            }
            let basic = match self.credentials.current().await {
                Ok(basic) => basic,
                Err(error) => {
                    let is_final = error.exit() == toolkit::Exit::Findings;
                    let advice = if is_final { Advice::Fix } else { Advice::Rerun };
                    return finish(attempts, Err((error_chain(&error), advice)));
                }
            };
            attempts += 1;
            let error = match self.upload(dist, &basic, attestations, &moved).await {
                Ok(()) => return finish(attempts, Ok(Sent::Now)),
                Err(HttpError::Interrupted) => continue,
                Err(error) => error,
            };
            let meaning = Refusal::of(&error);
            let is_expired = meaning == Some(Refusal::Expired)
                || meaning == Some(Refusal::Credentials)
                    && matches!(self.credentials, Credentials::Trusted(_));
            if is_expired && !renewed && self.credentials.renew(&basic).await {
                renewed = true;
                continue;
            }
            let wait = match meaning {
                Some(Refusal::Incident) => failed.after(&Incident(&error)),
                _ => failed.after(&error),
            };
            if let Some(wait) = wait {
                let what = format!("{}: {}", dist.filename, error_chain(&error));
                if !self.reader.client.pause(&what, wait).await {
                    continue;
                }
            } else if !error.is_transient()
                && meaning != Some(Refusal::Exists)
                && !matches!(error.status(), Some(400 | 409))
            {
                return finish(attempts, Err((error_chain(&error), Advice::of(&error))));
            }
            // Whatever the answer, the index may have the file: check before
            // sending it again.
            if let Some(result) = self.check_index(dist, &error, wait.is_some()).await {
                return finish(attempts, result);
            }
        }
    }

    fn retry(&self) -> Retry {
        Retry::within(self.sending.retry_for)
    }

    async fn upload(
        &self,
        dist: &Dist,
        basic: &Basic,
        attestations: &[Value],
        moved: &dyn Fn(u64),
    ) -> Result<(), HttpError> {
        let (client, index) = (self.reader.client, self.reader.index);
        let api = LegacyApi { client, index, timeout: self.sending.timeout };
        tokio::select! {
            result = api.upload(dist, basic, attestations, moved) => result,
            () = interruption() => Err(HttpError::Interrupted),
        }
    }

    /// Checks whether the index has the file after an answer that was not a
    /// success; `None` means to send it again.
    async fn check_index(
        &self,
        dist: &Dist,
        error: &HttpError,
        again: bool,
    ) -> Option<Result<Sent, (String, Advice)>> {
        let once = self.reader.client.once();
        let reader = self.reader.with(if again { &once } else { self.reader.client });
        let remote = async {
            let listing = reader.list(&dist.project).await?;
            reader.compare(&listing, dist).await
        };
        Some(match remote.await {
            // Without an answer, it may be this run that sent it.
            Ok(Remote::Same) => Ok(if error.is_transient() { Sent::Now } else { Sent::Before }),
            Ok(Remote::Different(what)) => Err((what, Advice::NewVersion)),
            Ok(Remote::Closed(what, advice)) => Err((what, advice)),
            Ok(Remote::Absent) | Err(_) if again => return None,
            Ok(Remote::Absent) if Refusal::of(error) == Some(Refusal::Exists) => {
                let simple = self.reader.index.project(&dist.project);
                let what = format!(
                    "the upload API says that it exists ({}), but the Simple API at {simple} does not list it",
                    error.message()
                );
                Err((what, Advice::SimpleUrl))
            }
            Ok(Remote::Absent) => Err((error_chain(error), Advice::of(error))),
            Err(probe) => {
                Err((format!("{}; and {}", error_chain(error), error_chain(&probe)), Advice::Rerun))
            }
        })
    }
}

/// A refusal that lasts until the index accepts uploads again.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Incident<'a>(&'a HttpError);

impl index::Retryable for Incident<'_> {
    fn verdict(&self) -> index::RetryVerdict {
        index::RetryVerdict::Again(None)
    }
}

/// Batches of files that may be sent at the same time.
fn batches<'d>(wheels: &[&'d Dist], sdists: &[&'d Dist], new: bool) -> Vec<Vec<&'d Dist>> {
    let mut batches = vec![wheels.to_vec(), sdists.to_vec()];
    batches.retain(|batch| !batch.is_empty());
    if new && batches[0].len() > 1 {
        let rest = batches[0].split_off(1);
        batches.insert(1, rest);
    }
    batches
}
