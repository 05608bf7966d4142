//! Runs the phases. Only the last three write anything outside this machine.

use index::{Basic, Client, Retry};
use pydist::name::ProjectName;
use toolkit::{Exit, Failure as _, Invocation, Ui, count, error_report};

use crate::attest::Signer;
use crate::attestation::{self, Attestations};
use crate::auth::{Credentials, Trusted};
use crate::error::{AuthError, Error};
use crate::github::{ReleasePlan, Releaser};
use crate::identity::IdentityProvider;
use crate::inputs::{Attesting, DryRun, Inputs, ReleaseMode};
use crate::inspect::{self, Dist, Inspected};
use crate::local_credentials;
use crate::plan::{self, Action, Plan};
use crate::probe::{self, Expectation, IndexReader, IndexState};
use crate::report::{Outcome, Report, State};
use crate::trust::Trust;
use crate::upload_queue::UploadQueue;
use crate::{advice, paths};

/// Runs the action.
pub fn run(invocation: &Invocation, ui: &Ui) -> Result<Exit, Error> {
    toolkit::protect_memory();
    let inputs = match Inputs::read(&invocation.env) {
        Ok(inputs) => inputs,
        Err(errors) => {
            ui.output("result", "failed")?;
            return Err(errors.into());
        }
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    let mut report = Report::empty(&inputs.index);
    let result = runtime.block_on(publish(&inputs, invocation, ui, &mut report));
    // Write the report even after an error.
    if let Err(error) = &result {
        report.fail(error.exit() == Exit::Partial);
        report.error = Some(error_report(error));
    }
    let written = report.finish(&inputs.report_path, ui);
    if inputs.dry_run == DryRun::Off && inputs.release.mode != ReleaseMode::Only && !report.files.is_empty() {
        ui.report(report.table());
    }
    let exit = result?;
    written?;
    Ok(exit)
}

/// The data that every phase uses.
struct Session<'a> {
    inputs: &'a Inputs,
    ui: &'a Ui,
    client: &'a Client,
    dists: &'a [Dist],
    /// The identity provider of this job.
    provider: Option<IdentityProvider>,
    /// The password or token that was given.
    given: Option<Basic>,
}

/// The inspected files.
struct LocalFiles {
    dists: Vec<Dist>,
    /// The attestations beside the files.
    existing_attestations: Attestations,
}

fn inspect_files(inputs: &Inputs, ui: &Ui, report: &mut Report) -> Result<LocalFiles, Error> {
    let found_files = paths::find_files(&inputs.files.paths)?;
    if !found_files.others.is_empty() {
        let names: Vec<String> =
            found_files.others.iter().map(|path| format!("`{}`", path.display())).collect();
        ui.warning(format!("not published, because they are not distributions: {}", names.join(", ")));
    }
    // PyPI's rules do not apply to a GitHub Release.
    let is_release_only = inputs.release.mode == ReleaseMode::Only;
    let gate = Some(&inputs.index).filter(|index| index.known.is_some() && !is_release_only);
    let Inspected { dists, warnings } = inspect::inspect(&inputs.files, &found_files, gate, ui)?;
    report.warn(warnings, ui);
    let config = inputs.attesting.trust_config.as_deref();
    let existing_attestations = attestation::read(&found_files.attestations, &dists, config)?;
    Ok(LocalFiles { dists, existing_attestations })
}

/// The given password or token, or else the one stored on this machine.
async fn password(
    inputs: &Inputs,
    invocation: &Invocation,
    ui: &Ui,
    is_trusted: bool,
) -> Result<Option<Basic>, Error> {
    let given = local_credentials::given(&inputs.access, ui)?;
    if given.is_some() || is_trusted {
        return Ok(given);
    }
    local_credentials::stored(&inputs.access, &inputs.index, &invocation.env, ui).await
}

/// Runs the phases.
async fn publish(
    inputs: &Inputs,
    invocation: &Invocation,
    ui: &Ui,
    report: &mut Report,
) -> Result<Exit, Error> {
    if let Some(secret) = &inputs.release.token {
        ui.mask(secret);
    }
    if let Some(simple) = &inputs.access.simple {
        simple.mask(ui);
    }
    let LocalFiles { dists, existing_attestations } = inspect_files(inputs, ui, report)?;
    let agent = concat!("publish/", env!("CARGO_PKG_VERSION"));
    let client = Client::new(agent, &invocation.env, Retry::within(inputs.sending.retry_for), ui)?;
    let mut releaser = releaser(inputs, invocation, &client, ui, &dists)?;
    if let Some(releaser) = releaser.as_ref().filter(|_| inputs.release.mode == ReleaseMode::Only) {
        return release_only(releaser, inputs, &dists, report).await;
    }
    let provider = IdentityProvider::from_env(&invocation.env, inputs.insecure_loopback)?;
    let given = password(inputs, invocation, ui, provider.is_some()).await?;
    let session = Session { inputs, ui, client: &client, dists: &dists, provider, given };
    let simple = inputs.access.simple.as_ref();
    let reader = IndexReader::new(&client, &inputs.index, &dists, simple, session.given.as_ref());
    let (state, plan) = session.probe(&reader, report).await?;
    // An existing release with other content is a conflict too.
    if let Some(releaser) = releaser.as_ref().filter(|_| inputs.dry_run != DryRun::Offline) {
        releaser.refuse_conflicts().await?;
    }
    let Some(state) = state.filter(|_| inputs.dry_run == DryRun::Off) else {
        ui.report(serde_json::to_string_pretty(&plan).unwrap_or_default());
        if let Some(releaser) = releaser {
            ui.report(releaser.names().collect::<Vec<_>>().join("\n"));
        }
        return Ok(Exit::Done);
    };
    let mut attestations = session.upload(&reader, &state, &plan, existing_attestations, report).await?;
    if releaser.is_some() || inputs.attesting.directory.is_some() {
        // Only the index has the attestations of an earlier run.
        attestations.extend(session.published(&plan, &state).await);
    }
    write_attestations(&inputs.attesting, &attestations)?;
    ui.info(match report.result {
        Outcome::Unchanged => format!("{} already has everything", inputs.index),
        _ => format!("published {} on {}", count(report.uploaded(), "file"), inputs.index),
    });
    if let Some(releaser) = &mut releaser {
        releaser.add_attestations(&attestations);
        report.release = releaser.run().await?;
    }
    Ok(Exit::Done)
}

/// The GitHub Release, if requested.
fn releaser<'a>(
    inputs: &'a Inputs,
    invocation: &'a Invocation,
    client: &'a Client,
    ui: &'a Ui,
    dists: &[Dist],
) -> Result<Option<Releaser<'a>>, Error> {
    if inputs.release.mode == ReleaseMode::Off {
        return Ok(None);
    }
    let (directory, context) = (inputs.attesting.directory.as_deref(), &invocation.context);
    let plan = ReleasePlan::new(&inputs.release, &inputs.files, directory, context, dists)?;
    Releaser::new(inputs, context, client, ui, plan).map(Some)
}

/// Makes only the GitHub Release: no index is queried, and PyPI's rules do not
/// apply.
async fn release_only(
    releaser: &Releaser<'_>,
    inputs: &Inputs,
    dists: &[Dist],
    report: &mut Report,
) -> Result<Exit, Error> {
    let plan = plan::plan("GitHub", dists, &inputs.files.order, None)?;
    report.add_files(&plan, dists);
    if let Some(page) = releaser.run().await? {
        (report.release, report.result) = (Some(page), Outcome::Published);
    }
    Ok(Exit::Done)
}

fn write_attestations(attesting: &Attesting, attestations: &Attestations) -> Result<(), Error> {
    let Some(directory) = &attesting.directory else { return Ok(()) };
    for (dist, list) in attestations {
        for attestation in list {
            let path = directory.join(attestation::file_name(dist, attestation));
            toolkit::write_atomic(&path, attestation.to_string().as_bytes())?;
        }
    }
    Ok(())
}

impl Session<'_> {
    /// Compares the files with the index and fails if there are conflicts. With
    /// `dry-run: auth`, also requests a token.
    async fn probe(
        &self,
        reader: &IndexReader<'_>,
        report: &mut Report,
    ) -> Result<(Option<IndexState>, Plan), Error> {
        let inputs = self.inputs;
        let expected = Expectation {
            max_size: inputs.files.max_size,
            attested: inputs.attesting.mode == crate::inputs::Attestations::Required,
        };
        let state = match inputs.dry_run {
            DryRun::Offline => None,
            _ => Some(probe::probe(reader, self.ui, self.dists, &expected).await?),
        };
        let remote = state.as_ref().map(|state| &state.remote);
        let plan = plan::plan(&inputs.index.to_string(), self.dists, &inputs.files.order, remote)?;
        for what in plan.too_early(self.dists) {
            self.ui.warning(format!("`package-order`: {what}"));
        }
        report.add_files(&plan, self.dists);
        for (file, dist) in plan.files().map(|file| (file, &self.dists[file.dist])) {
            let listed = state.as_ref().and_then(|state| state.listed(dist));
            if let (Action::Keep, Some(listed), Some(file)) =
                (file.action, listed, report.file(&dist.filename))
            {
                (file.url, file.attested) = (Some(listed.shown_url()), listed.provenance.is_some());
                file.message = listed.yanked.then(|| "the index lists it as yanked".to_owned());
            }
        }
        plan.refuse_conflicts()?;
        let new = state.as_ref().map(IndexState::new_projects).unwrap_or_default();
        if self.given.is_none() && self.provider.is_some() && new.len() > 1 {
            // First, so that an index without trusted publishing is reported as such.
            self.credentials(new.clone())?.check_offered().await?;
            let page = inputs.index.publishing_page();
            return Err(Error::NewProjects { index: inputs.index.to_string(), projects: new, page });
        }
        if inputs.dry_run == DryRun::Auth {
            self.try_token(new).await?;
        }
        Ok((state, plan))
    }

    /// Requests a token and discards it.
    async fn try_token(&self, new: Vec<ProjectName>) -> Result<(), Error> {
        let index = &self.inputs.index;
        let is_given = self.given.is_some();
        for project in new.iter().filter(|_| !is_given) {
            self.ui.warning(format!(
                "`{project}` does not exist on {index} yet: if a pending publisher is registered for it, requesting \
                 a token creates it"
            ));
        }
        self.credentials(new)?.current().await?;
        self.ui.info(if is_given {
            "a password is given; only an upload shows whether it is valid".to_owned()
        } else {
            format!("{index} accepts this run as a trusted publisher")
        });
        Ok(())
    }

    /// Attests, uploads and verifies the missing files. Returns the attestations.
    async fn upload(
        &self,
        reader: &IndexReader<'_>,
        state: &IndexState,
        plan: &Plan,
        existing_attestations: Attestations,
        report: &mut Report,
    ) -> Result<Attestations, Error> {
        if plan.is_complete() {
            report.result = report.outcome();
            return Ok(existing_attestations);
        }
        let credentials = self.credentials(state.new_projects())?;
        credentials.current().await?;
        let attestations = self.attest(plan, existing_attestations).await?;
        // Fail now if the report cannot be written.
        report.write(&self.inputs.report_path, self.ui)?;
        let queue = UploadQueue {
            ui: self.ui,
            reader,
            dists: self.dists,
            sending: self.inputs.sending,
            is_ordered: !self.inputs.files.order.is_empty(),
            credentials,
            attestations: &attestations,
        };
        let problems = queue.run(plan, report).await;
        report.result = report.outcome();
        if !problems.is_empty() {
            let is_partial = report.result == Outcome::Partial;
            let is_seen =
                report.files.iter().any(|file| matches!(file.state, State::Uploaded | State::Present));
            return Err(Error::Unfinished {
                index: self.inputs.index.to_string(),
                is_partial,
                is_seen,
                problems,
            });
        }
        self.report_unattested(&attestations, report)?;
        Ok(attestations)
    }

    /// Reports attestations that the index did not keep.
    fn report_unattested(&self, attestations: &Attestations, report: &Report) -> Result<(), Error> {
        let lost: Vec<advice::Problem> = report
            .files
            .iter()
            .filter(|file| !file.attested && attestations.contains_key(&file.filename))
            .map(|file| advice::Problem {
                file: file.filename.clone(),
                what: file.message.clone().unwrap_or_default(),
                advice: advice::Advice::Unattested,
            })
            .collect();
        if lost.is_empty() {
            return Ok(());
        }
        let index = self.inputs.index.to_string();
        if self.inputs.attesting.mode == crate::inputs::Attestations::Required {
            return Err(Error::Unattested { index, files: lost });
        }
        self.ui.warning(format!("{index} did not keep the attestations of {}", count(lost.len(), "file")));
        Ok(())
    }

    /// The attestations to send: the existing ones, and new ones if requested and
    /// possible.
    async fn attest(&self, plan: &Plan, existing_attestations: Attestations) -> Result<Attestations, Error> {
        let (inputs, trusted) = (self.inputs, self.given.is_none());
        if !existing_attestations.is_empty() && !trusted {
            self.ui.warning("the attestations beside the files are not sent: they need trusted publishing");
            return Ok(Attestations::new());
        }
        if inputs.attesting.mode == crate::inputs::Attestations::Off {
            return Ok(Attestations::new());
        }
        let mut attestations = existing_attestations;
        if !inputs.attesting.mode.wanted(&inputs.index, trusted) {
            return Ok(attestations);
        }
        let provider = self.provider.clone().ok_or_else(|| {
            Error::Attest(
                "there is no identity provider; give the job `permissions: id-token: write`".to_owned(),
            )
        })?;
        let has_own = |dist: &&Dist| {
            attestations.get(&dist.filename).is_some_and(|list| list.iter().any(attestation::is_publish))
        };
        let absent =
            plan.files().filter(|file| file.action == Action::Upload).map(|file| &self.dists[file.dist]);
        let absent: Vec<&Dist> = absent.filter(|dist| !has_own(dist)).collect();
        let trust = Trust::load(inputs.attesting.trust_config.as_deref())?;
        let signer = Signer::new(self.client, self.ui, provider, &trust, inputs.insecure_loopback)?;
        for (file, list) in signer.attest(&absent).await? {
            attestations.entry(file).or_default().extend(list);
        }
        write_attestations(&inputs.attesting, &attestations)?;
        Ok(attestations)
    }

    /// The attestations of files that the index already had.
    async fn published(&self, plan: &Plan, state: &IndexState) -> Attestations {
        let mut attestations = Attestations::new();
        let kept = plan.files().filter(|file| file.action == Action::Keep).map(|file| &self.dists[file.dist]);
        for dist in kept {
            let Some(listed) = state.listed(dist).filter(|listed| listed.provenance.is_some()) else {
                continue;
            };
            match attestation::published(self.client, &self.inputs.index, dist, listed).await {
                Ok(attestation) => drop(attestations.insert(dist.filename.clone(), vec![attestation])),
                Err(why) => {
                    self.ui.warning(format!("`{}`: cannot download its attestation: {why}", dist.filename))
                }
            }
        }
        attestations
    }

    fn credentials(&self, new: Vec<ProjectName>) -> Result<Credentials<'_>, AuthError> {
        if let Some(basic) = self.given.clone() {
            return Ok(Credentials::Given(basic));
        }
        let provider = self.provider.clone().ok_or(AuthError::Nothing)?;
        let (index, allowed) = (&self.inputs.index, self.inputs.access.audience.as_deref());
        let trusted = Trusted::new(self.client, self.ui, index, allowed, provider, new);
        Ok(Credentials::Trusted(Box::new(trusted)))
    }
}
