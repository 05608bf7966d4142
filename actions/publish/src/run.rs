//! The state machine. Each phase ends before the next one begins; what is
//! written outside this machine is written by the last three alone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use toolkit::{Context, Exit, Failure as _, Invocation, Ui, causes};

use crate::attest::{self, Attestations, Attester as _, Sigstore};
use crate::auth::{Basic, Credentials, Provider, Trusted};
use crate::error::{AuthError, Error, Fault};
use crate::github;
use crate::http::{Http, HttpError, Pace};
use crate::inputs::{self, Depth, Inputs, Release};
use crate::inspect::{self, Dist};
use crate::plan::{self, Action, Package, Plan, Remote};
use crate::report::{Outcome, Report, State};
use crate::simple::{self, Listing};
use crate::upload::{Legacy, Uploader};

/// The action's work.
pub fn run(invocation: &Invocation, ui: &Ui) -> Result<Exit, Error> {
    let inputs = Inputs::read(&invocation.env)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    let result = runtime.block_on(publish(&inputs, invocation, ui));
    if let Err(error) = &result
        && !matches!(error, Error::Unfinished { .. } | Error::Release { .. })
    {
        // The others have written a report.
        ui.output("result", if error.exit() == Exit::Partial { "partial" } else { "failed" })?;
    }
    result
}

async fn publish(inputs: &Inputs, invocation: &Invocation, ui: &Ui) -> Result<Exit, Error> {
    let dists = inspect::inspect(inputs, ui)?;
    let http = Http::new(Pace::default())?;
    let context = Context::read(&invocation.env);
    if inputs.release == Release::Only {
        let plan = plan::plan("GitHub", &dists, &inputs.order, None)?;
        let mut report = Report::new(&inputs.index, &plan, &dists);
        release(inputs, &context, &http, ui, &dists, &Attestations::new(), &mut report).await?;
        report.finish(inputs, ui)?;
        return Ok(Exit::Done);
    }
    let given = inputs.password.clone().map(|password| Basic { user: inputs.username.clone(), password });
    if let Some(basic) = &given {
        basic.mask(ui);
    }
    let remote = match inputs.depth {
        Depth::Offline => None,
        _ => Some(probe(inputs, &http, &dists, given.as_ref()).await?),
    };
    let plan = plan::plan(&inputs.index.to_string(), &dists, &inputs.order, remote.as_ref())?;
    let mut report = Report::new(&inputs.index, &plan, &dists);
    let provider = Provider::from_env(&invocation.env, inputs.insecure_loopback)?;
    if inputs.depth < Depth::Full {
        if inputs.depth == Depth::Auth {
            credentials(inputs, ui, &http, given.clone(), provider)?.current().await?;
            ui.info(match given {
                Some(_) => "a password is given; only an upload shows whether it is right".to_owned(),
                None => format!("{} takes this run for a trusted publisher", inputs.index),
            });
        }
        ui.report(serde_json::to_string_pretty(&plan).unwrap_or_default());
        report.finish(inputs, ui)?;
        return Ok(Exit::Done);
    }
    let mut faults = Vec::new();
    let mut attestations = Attestations::new();
    if !plan.is_complete() {
        let credentials = credentials(inputs, ui, &http, given.clone(), provider.clone())?;
        credentials.current().await?;
        let absent = plan.steps().filter(|step| step.action == Action::Upload).map(|step| &dists[step.dist]);
        attestations =
            attest(inputs, ui, &http, provider, given.is_none(), &absent.collect::<Vec<_>>()).await?;
        let uploader = Legacy { http: &http, index: &inputs.index, timeout: inputs.timeout };
        let (http, dists, given) = (&http, dists.as_slice(), given.as_ref());
        let job = Job { inputs, ui, http, dists, given, credentials, uploader, attestations: &attestations };
        faults = job.upload(&plan, &mut report).await;
    }
    report.result = report.outcome();
    let released = if faults.is_empty() && inputs.release == Release::After {
        release(inputs, &context, &http, ui, &dists, &attestations, &mut report).await
    } else {
        Ok(())
    };
    if released.is_err() {
        report.result = Outcome::Partial;
    }
    report.finish(inputs, ui)?;
    ui.report(report.table());
    released?;
    if faults.is_empty() {
        ui.info(match report.result {
            Outcome::Unchanged => format!("{} has everything already", inputs.index),
            _ => format!("published {} on {}", files(report.uploaded()), inputs.index),
        });
        return Ok(Exit::Done);
    }
    let again = faults.iter().any(|trouble| trouble.again);
    let faults = faults.into_iter().map(|trouble| trouble.fault).collect();
    let partial = report.result == Outcome::Partial;
    Err(Error::Unfinished { index: inputs.index.to_string(), partial, again, faults })
}

/// Attestations for what is to be sent, where they are wanted and possible.
async fn attest(
    inputs: &Inputs,
    ui: &Ui,
    http: &Http,
    provider: Option<Provider>,
    trusted: bool,
    dists: &[&Dist],
) -> Result<Attestations, Error> {
    let wanted = match inputs.attestations {
        inputs::Attestations::Off => false,
        inputs::Attestations::Auto => trusted && inputs.index.known.is_some(),
        inputs::Attestations::Required => true,
    };
    if !wanted {
        return Ok(Attestations::new());
    }
    let provider = provider.ok_or_else(|| {
        Error::Attest("there is no identity provider; give the job `permissions: id-token: write`".to_owned())
    })?;
    let config = inputs.trust_config.as_deref();
    let sigstore = Sigstore::new(http, ui, provider, config, inputs.insecure_loopback)?;
    let attestations = sigstore.attest(dists).await?;
    if let Some(folder) = &inputs.attestations_path {
        for (name, attestation) in &attestations {
            toolkit::write_atomic(&folder.join(attest::file_name(name)), attestation.to_string().as_bytes())?;
        }
    }
    Ok(attestations)
}

/// The GitHub Release, or what it would hold.
async fn release(
    inputs: &Inputs,
    context: &Context,
    http: &Http,
    ui: &Ui,
    dists: &[Dist],
    attestations: &Attestations,
    report: &mut Report,
) -> Result<(), Error> {
    let plan = github::Plan::new(inputs, context, dists, attestations)?;
    match &inputs.github_token {
        Some(token) if inputs.depth == Depth::Full => {
            let page = github::release(inputs, context, http, ui, token, &plan).await?;
            ui.info(format!("released: {page}"));
            report.release = Some(page);
            if inputs.release == Release::Only {
                report.result = Outcome::Published;
            }
        }
        _ => ui.report(plan.names().collect::<Vec<_>>().join("\n")),
    }
    Ok(())
}

fn files(count: usize) -> String {
    format!("{count} file{}", if count == 1 { "" } else { "s" })
}

/// What the index has under the names of our files.
async fn probe(
    inputs: &Inputs,
    http: &Http,
    dists: &[Dist],
    basic: Option<&Basic>,
) -> Result<BTreeMap<String, Remote>, Error> {
    let mut listings: BTreeMap<&str, Listing> = BTreeMap::new();
    let mut remote = BTreeMap::new();
    for dist in dists {
        let project = dist.project.as_str();
        let failed =
            |source| Error::Probe { index: inputs.index.to_string(), project: project.to_owned(), source };
        if !listings.contains_key(project) {
            let listing = simple::list(http, &inputs.index, project, basic).await.map_err(failed)?;
            listings.insert(project, listing);
        }
        let state = compare(http, &listings[project], dist).await.map_err(failed)?;
        remote.insert(dist.filename.clone(), state);
    }
    Ok(remote)
}

async fn compare(http: &Http, listing: &Listing, dist: &Dist) -> Result<Remote, HttpError> {
    if let Some(listed) = listing.get(&dist.filename) {
        return Ok(match simple::sha256(http, listed, dist.size).await? {
            Some(sha256) if sha256 == dist.sha256 => Remote::Same,
            Some(sha256) => {
                Remote::Different(format!("there it has the sha256 {sha256}, here {}", dist.sha256))
            }
            None => {
                Remote::Different(format!("there it has more than the {} bytes that it has here", dist.size))
            }
        });
    }
    let twin = listing.iter().find(|(_, listed)| listed.sha256.as_ref() == Some(&dist.sha256));
    Ok(match twin {
        Some((name, _)) => Remote::Different(format!("there the same bytes are called `{name}`")),
        None => Remote::Absent,
    })
}

fn credentials<'a>(
    inputs: &'a Inputs,
    ui: &'a Ui,
    http: &'a Http,
    given: Option<Basic>,
    provider: Option<Provider>,
) -> Result<Credentials<'a>, AuthError> {
    if let Some(basic) = given {
        return Ok(Credentials::Given(basic));
    }
    let provider = provider.ok_or(AuthError::Nothing)?;
    let trusted = Trusted::new(http, ui, &inputs.index, inputs.audience.as_deref(), provider);
    Ok(Credentials::Trusted(Box::new(trusted)))
}

/// What is wrong with a file, and whether another run may help.
struct Trouble {
    fault: Fault,
    again: bool,
}

/// Uploading, with all that it needs.
struct Job<'a, U> {
    inputs: &'a Inputs,
    ui: &'a Ui,
    http: &'a Http,
    dists: &'a [Dist],
    given: Option<&'a Basic>,
    credentials: Credentials<'a>,
    uploader: U,
    attestations: &'a Attestations,
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
    async fn upload(&self, plan: &Plan, report: &mut Report) -> Vec<Trouble> {
        let mut faults = Vec::new();
        for package in &plan.packages {
            if faults.is_empty() {
                faults = self.package(package, report).await;
            }
            if !faults.is_empty() {
                for step in package.files.iter().filter(|step| step.action != Action::Keep) {
                    if let Some(file) = report.file(&step.filename).filter(|file| file.state == State::Absent)
                    {
                        file.state = State::Skipped;
                    }
                }
            }
        }
        faults
    }

    async fn package(&self, package: &Package, report: &mut Report) -> Vec<Trouble> {
        let dist = |step: &plan::Step| &self.dists[step.dist];
        let steps = package.files.iter().filter(|step| step.action == Action::Upload);
        let (wheels, sdists): (Vec<&Dist>, Vec<&Dist>) =
            steps.map(dist).partition(|dist| dist.name.wheel().is_some());
        if wheels.is_empty() && sdists.is_empty() {
            return Vec::new();
        }
        let new = package.files.iter().all(|step| step.action == Action::Upload);
        self.ui.info(format!(
            "{} {}: sending {}",
            package.project,
            package.version,
            files(wheels.len() + sdists.len())
        ));
        let total = wheels.iter().chain(&sdists).map(|dist| dist.size).sum();
        let progress =
            self.ui.progress(&format!("{} {}", package.project, package.version), Some(total), "B");
        let mut sent: Vec<&Dist> = Vec::new();
        let mut faults = Vec::new();
        // A new release is made by its first file: sent at the same time,
        // several would each try to make it, and Warehouse answers 500. A
        // source comes when all wheels are there, or installers would build it.
        for group in groups(&wheels, &sdists, new) {
            if !faults.is_empty() {
                break;
            }
            let one = |dist| async move { (dist, self.send(dist).await) };
            let mut results = futures_util::stream::iter(group.iter().copied().map(one))
                .buffer_unordered(self.inputs.concurrency);
            while let Some((dist, Sent { attempts, result })) = results.next().await {
                let Some(file) = report.file(&dist.filename) else { continue };
                file.attempts = attempts;
                file.attested = self.attestations.contains_key(&dist.filename);
                match result {
                    Ok(ours) => {
                        file.state = if ours { State::Unverified } else { State::Present };
                        self.ui.info(format!("  {}", dist.filename));
                        progress.add(dist.size);
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
    async fn send(&self, dist: &Dist) -> Sent {
        let attestation = self.attestations.get(&dist.filename);
        let attestations = attestation.map(std::slice::from_ref).unwrap_or_default();
        let trouble =
            |what: String, again| Trouble { fault: Fault { file: dist.filename.clone(), what }, again };
        let (mut attempts, mut renewed) = (0, false);
        loop {
            if toolkit::interrupted() {
                return Sent { attempts, result: Err(trouble("interrupted".to_owned(), true)) };
            }
            let basic = match self.credentials.current().await {
                Ok(basic) => basic,
                Err(error) => return Sent { attempts, result: Err(trouble(causes(&error), true)) },
            };
            attempts += 1;
            let error = tokio::select! {
                result = self.uploader.upload(dist, &basic, attestations) => match result {
                    Ok(()) => return Sent { attempts, result: Ok(true) },
                    Err(error) => error,
                },
                () = interruption() => continue,
            };
            let status = error.status().map(|status| status.as_u16());
            if status == Some(403) && !renewed && self.credentials.renew(&basic).await {
                renewed = true;
                continue;
            }
            let wait = if error.is_transient() {
                self.http.pace.wait(attempts + 1, error.retry_after())
            } else {
                None
            };
            if let Some(wait) = wait {
                self.ui.info(format!(
                    "  {}: {}; again in {:.1} s",
                    dist.filename,
                    causes(&error),
                    wait.as_secs_f64()
                ));
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = interruption() => continue,
                }
            } else if !error.is_transient() && !matches!(status, Some(400 | 409)) {
                return Sent { attempts, result: Err(trouble(causes(&error), false)) };
            }
            // Whatever was answered, it may be there: ask before sending again.
            match self.remote(dist).await {
                Ok(Remote::Same) => return Sent { attempts, result: Ok(error.is_transient()) },
                Ok(Remote::Different(what)) => return Sent { attempts, result: Err(trouble(what, false)) },
                Ok(Remote::Absent) | Err(_) if wait.is_some() => {}
                Ok(Remote::Absent) => {
                    return Sent { attempts, result: Err(trouble(causes(&error), error.is_transient())) };
                }
                Err(probe) => {
                    let what = format!("{}; and {}", causes(&error), causes(&probe));
                    return Sent { attempts, result: Err(trouble(what, true)) };
                }
            }
        }
    }

    async fn remote(&self, dist: &Dist) -> Result<Remote, HttpError> {
        let listing = simple::list(self.http, &self.inputs.index, &dist.project, self.given).await?;
        compare(self.http, &listing, dist).await
    }

    /// Waits until the index shows each file with the hash that was sent.
    async fn verify(&self, project: &str, sent: &[&Dist], report: &mut Report) -> Vec<Trouble> {
        let end = Instant::now() + self.inputs.verify_timeout;
        let mut pause = Duration::from_millis(100);
        loop {
            let listing = simple::list(self.http, &self.inputs.index, project, self.given).await;
            let mut open = Vec::new();
            for dist in sent {
                let fault = match &listing {
                    Err(error) => Some((causes(error), true)),
                    Ok(listing) => self.check(listing, dist, report).await,
                };
                if let Some((what, again)) = fault {
                    open.push(Trouble { fault: Fault { file: dist.filename.clone(), what }, again });
                }
            }
            let final_fault = open.iter().any(|trouble| !trouble.again);
            if open.is_empty() || final_fault || Instant::now() + pause > end || toolkit::interrupted() {
                for trouble in &open {
                    if let Some(file) = report.file(&trouble.fault.file) {
                        file.state = State::Unverified;
                        file.message = Some(trouble.fault.what.clone());
                    }
                }
                return open;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(15));
        }
    }

    /// What is wrong with what the index shows, and whether it may change.
    async fn check(&self, listing: &Listing, dist: &Dist, report: &mut Report) -> Option<(String, bool)> {
        match compare(self.http, listing, dist).await {
            Ok(Remote::Same) => {}
            Ok(Remote::Different(what)) => return Some((what, false)),
            Ok(Remote::Absent) => {
                let seconds = self.inputs.verify_timeout.as_secs();
                return Some((format!("the index took it, but does not list it within {seconds} s"), true));
            }
            Err(error) => return Some((causes(&error), true)),
        }
        let listed = &listing[&dist.filename];
        let attested = self.attestations.contains_key(&dist.filename);
        if attested && self.inputs.index.known.is_some() && listed.provenance.is_none() {
            return Some(("the index lists it without the attestation that it was sent".to_owned(), true));
        }
        if listed.yanked {
            return Some(("the index lists it as yanked".to_owned(), false));
        }
        let file = report.file(&dist.filename)?;
        if file.state == State::Unverified {
            file.state = State::Uploaded;
        }
        let mut url = listed.url.clone();
        url.set_fragment(None);
        file.url = Some(url.to_string());
        None
    }
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

/// Ends when the user asks to stop.
async fn interruption() {
    while !toolkit::interrupted() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
