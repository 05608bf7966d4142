//! Waits until the index lists the files as sent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use index::{HttpError, Listing, interruption};
use tokio::time::{Instant, timeout_at};
use toolkit::{Ui, count, error_chain};

use crate::advice::{Advice, Problem};
use crate::attestation::Attestations;
use crate::inspect::Dist;
use crate::plan::Remote;
use crate::probe::IndexReader;
use crate::report::{Report, State};

/// Polls the index until it lists all files.
pub(crate) struct Verifier<'a> {
    pub(crate) ui: &'a Ui,
    pub(crate) reader: &'a IndexReader<'a>,
    pub(crate) timeout: Duration,
    pub(crate) attestations: &'a Attestations,
}

impl Verifier<'_> {
    /// Waits until the index lists each file with the hash that was sent. Waits
    /// for all packages at once.
    pub(crate) async fn wait(&self, sent: &[&Dist], report: &mut Report) -> Vec<Problem> {
        let end = Instant::now() + self.timeout;
        let mut pause = Duration::from_millis(100);
        let mut is_reported = false;
        let mut open: Vec<&Dist> = sent.to_vec();
        loop {
            let mut problems = self.check_once(&open, end, report).await;
            let is_settled = problems.iter().any(|problem| problem.advice != Advice::Rerun);
            let is_over = Instant::now() + pause > end || toolkit::interrupted();
            if problems.is_empty() || is_settled || is_over {
                mark_unverified(&mut problems, report);
                return problems;
            }
            let names: BTreeSet<&str> = problems.iter().map(|problem| problem.file.as_str()).collect();
            open.retain(|dist| names.contains(dist.filename.as_str()));
            if pause > Duration::from_secs(2) && !is_reported {
                is_reported = true;
                let most = end.saturating_duration_since(Instant::now()).as_secs();
                self.ui.info(format!(
                    "  waiting up to {most} s for the index to list {}",
                    count(open.len(), "file")
                ));
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = interruption() => {}
            }
            pause = (pause * 2).min(Duration::from_secs(15));
        }
    }

    /// Checks once, without retries, because the caller loops.
    async fn check_once(&self, open: &[&Dist], end: Instant, report: &mut Report) -> Vec<Problem> {
        let once = self.reader.client.once();
        let reader = self.reader.with(&once);
        let mut listings: BTreeMap<&str, Result<Listing, HttpError>> = BTreeMap::new();
        let mut problems = Vec::new();
        for dist in open {
            if !listings.contains_key(dist.project.as_str()) {
                let listing = self.until(end, reader.list(&dist.project)).await;
                listings.insert(&dist.project, listing);
            }
            let found = match &listings[dist.project.as_str()] {
                Err(error) => Some((error_chain(error), Advice::Rerun)),
                Ok(listing) => {
                    let remote = self.until(end, reader.compare(listing, dist)).await;
                    self.check(listing, dist, remote, report)
                }
            };
            let problem = |(what, advice)| Problem { file: dist.filename.clone(), what, advice };
            problems.extend(found.map(problem));
        }
        problems
    }

    /// Awaits an answer until `end`: `verify-timeout` also bounds each request.
    async fn until<T>(
        &self,
        end: Instant,
        answer: impl Future<Output = Result<T, HttpError>>,
    ) -> Result<T, HttpError> {
        // The first check gets some time even if the timeout is 0.
        let end = end.max(Instant::now() + Duration::from_secs(10));
        let (url, limit) = (self.reader.index.simple.to_string(), self.timeout);
        let late = |_| HttpError::Timeout { url, what: "no complete response", limit };
        timeout_at(end, answer).await.map_err(late)?
    }

    /// A problem with the index's entry for a file, and the hint.
    fn check(
        &self,
        listing: &Listing,
        dist: &Dist,
        remote: Result<Remote, HttpError>,
        report: &mut Report,
    ) -> Option<(String, Advice)> {
        match remote {
            Ok(Remote::Same) => {}
            Ok(Remote::Different(what)) => return Some((what, Advice::NewVersion)),
            Ok(Remote::Closed(what, advice)) => return Some((what, advice)),
            Ok(Remote::Absent) => {
                let (seconds, simple) = (self.timeout.as_secs(), self.reader.index.project(&dist.project));
                let what = format!("the index accepted it, but {simple} did not list it within {seconds} s");
                return Some((what, Advice::Rerun));
            }
            Err(error) => return Some((error_chain(&error), Advice::Rerun)),
        }
        let listed = listing.files.get(&dist.filename)?;
        if listed.yanked {
            return Some(("the index lists it as yanked".to_owned(), Advice::Yanked));
        }
        let file = report.file(&dist.filename)?;
        if file.state == State::Unverified {
            file.state = State::Uploaded;
        }
        file.url = Some(listed.shown_url());
        // The file is correct. An index lists attestations at once, or never if they are
        // disabled.
        let lists = self.reader.index.known.is_some() || listing.lists_attestations;
        if self.attestations.contains_key(&dist.filename) && lists && listed.provenance.is_none() {
            file.attested = false;
            file.message = Some("the index did not keep its attestation".to_owned());
        }
        None
    }
}

/// Marks the files that the index does not list in the report.
fn mark_unverified(problems: &mut [Problem], report: &mut Report) {
    for problem in problems {
        if toolkit::interrupted() {
            problem.what = String::from("interrupted before the index listed it");
        }
        if let Some(file) = report.file(&problem.file) {
            file.state = State::Unverified;
            file.message = Some(problem.what.clone());
        }
    }
}
