//! The state machine. Each phase ends before the next one begins; what is
//! written outside this machine is written by the last three alone.

use toolkit::{Exit, Failure as _, Invocation, Ui};

use crate::attest::{self, Attestations, Attester as _, Sigstore};
use crate::auth::{Basic, Credentials, Provider, Trusted};
use crate::error::{AuthError, Error};
use crate::github::Releaser;
use crate::http::{Http, Pace};
use crate::inputs::{Depth, Inputs, Release};
use crate::inspect::{self, Dist};
use crate::job::Job;
use crate::plan::{self, Action, Plan};
use crate::probe::{self, Found};
use crate::release;
use crate::report::{Outcome, Report, State, files};
use crate::upload::Legacy;

/// The action's work.
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
    let mut report = None;
    let result = runtime.block_on(publish(&inputs, invocation, ui, &mut report));
    // However it ended, what is known is told.
    let told = match &mut report {
        Some(report) => {
            if let Err(error) = &result {
                report.fail(error.exit() == Exit::Partial);
            }
            let table = report.finish(&inputs, ui).map(|()| report.table());
            if inputs.depth == Depth::Full && inputs.release != Release::Only {
                table.map(|table| ui.report(table))
            } else {
                table.map(drop)
            }
        }
        None => ui.output("result", "failed"),
    };
    let exit = result?;
    told?;
    Ok(exit)
}

/// The phases, one after the other; `told` is the report as far as it goes.
async fn publish(
    inputs: &Inputs,
    invocation: &Invocation,
    ui: &Ui,
    told: &mut Option<Report>,
) -> Result<Exit, Error> {
    for secret in inputs.password.iter().chain(&inputs.github_token) {
        ui.mask(secret);
    }
    let dists = inspect::inspect(inputs, ui)?;
    let http = Http::new(Pace::default(), ui)?;
    let mut releaser = match inputs.release {
        Release::Off => None,
        _ => Some(Releaser::new(
            inputs,
            &invocation.context,
            &http,
            ui,
            release::Plan::new(inputs, &invocation.context, &dists)?,
        )?),
    };
    if let Some(releaser) = releaser.as_ref().filter(|_| inputs.release == Release::Only) {
        let plan = plan::plan("GitHub", &dists, &inputs.order, None)?;
        let report = told.insert(Report::new(&inputs.index, &plan, &dists));
        if let Some(page) = releaser.run().await? {
            (report.release, report.result) = (Some(page), Outcome::Published);
        }
        return Ok(Exit::Done);
    }
    let given = inputs.password.clone().map(|password| Basic { user: inputs.username.clone(), password });
    if let Some(basic) = &given {
        basic.mask(ui);
    }
    let found = match inputs.depth {
        Depth::Offline => None,
        _ => Some(probe::probe(&inputs.index, &http, ui, &dists, given.as_ref()).await?),
    };
    let remote = found.as_ref().map(|found| &found.remote);
    let plan = plan::plan(&inputs.index.to_string(), &dists, &inputs.order, remote)?;
    for what in plan.too_early(&dists) {
        ui.warning(format!("`package-order`: {what}"));
    }
    let report = told.insert(Report::new(&inputs.index, &plan, &dists));
    for (step, dist) in plan.steps().map(|step| (step, &dists[step.dist])) {
        let listed = found.as_ref().and_then(|found| found.listed(dist));
        if let (Action::Keep, Some(listed), Some(file)) = (step.action, listed, report.file(&dist.filename)) {
            (file.url, file.attested) = (Some(listed.shown()), listed.provenance.is_some());
            file.message = listed.yanked.then(|| "the index lists it as yanked".to_owned());
        }
    }
    plan.refuse_conflicts()?;
    // A release that is there already, and is another one, is a conflict too.
    if let Some(releaser) = releaser.as_ref().filter(|_| inputs.depth != Depth::Offline) {
        releaser.refuse_conflicts().await?;
    }
    let provider = Provider::from_env(&invocation.env, inputs.insecure_loopback)?;
    let Some(whole) = found.as_ref().filter(|_| inputs.depth == Depth::Full) else {
        dry(inputs, ui, &http, given, provider, found.as_ref()).await?;
        ui.report(serde_json::to_string_pretty(&plan).unwrap_or_default());
        if let Some(releaser) = releaser {
            ui.report(releaser.names().collect::<Vec<_>>().join("\n"));
        }
        return Ok(Exit::Done);
    };
    let mut faults = Vec::new();
    let mut attestations = Attestations::new();
    if !plan.is_complete() {
        let credentials = credentials(inputs, ui, &http, given.clone(), provider.clone())?;
        credentials.current().await?;
        let absent = plan.steps().filter(|step| step.action == Action::Upload).map(|step| &dists[step.dist]);
        attestations =
            attest(inputs, ui, &http, provider, given.is_none(), &absent.collect::<Vec<_>>()).await?;
        // If it cannot be written, it is better to know now.
        report.write(inputs, ui)?;
        let job = Job {
            inputs,
            ui,
            http: &http,
            dists: &dists,
            found: whole,
            given: given.as_ref(),
            credentials,
            uploader: Legacy { http: &http, index: &inputs.index, timeout: inputs.timeout },
            attestations: &attestations,
        };
        faults = job.upload(&plan, report).await;
    }
    report.result = report.outcome();
    if !faults.is_empty() {
        let again = faults.iter().any(|trouble| trouble.again);
        let faults = faults.into_iter().map(|trouble| trouble.fault).collect();
        let partial = report.result == Outcome::Partial;
        let seen = report.files.iter().any(|file| matches!(file.state, State::Uploaded | State::Present));
        return Err(Error::Unfinished { index: inputs.index.to_string(), partial, seen, again, faults });
    }
    if releaser.is_some() || inputs.attestations_path.is_some() {
        // What an earlier run has attested only the index still knows.
        attestations.extend(published(inputs, ui, &http, &plan, &dists, whole).await);
    }
    write_attestations(inputs, &attestations)?;
    ui.info(match report.result {
        Outcome::Unchanged => format!("{} has everything already", inputs.index),
        _ => format!("published {} on {}", files(report.uploaded()), inputs.index),
    });
    if let Some(releaser) = &mut releaser {
        releaser.add_attestations(&attestations);
        report.release = releaser.run().await?;
    }
    Ok(Exit::Done)
}

/// What a dry run tries beside asking: a token, and what it would do.
async fn dry(
    inputs: &Inputs,
    ui: &Ui,
    http: &Http,
    given: Option<Basic>,
    provider: Option<Provider>,
    found: Option<&Found>,
) -> Result<(), Error> {
    if inputs.depth != Depth::Auth {
        return Ok(());
    }
    let is_given = given.is_some();
    if !is_given {
        for project in found.into_iter().flat_map(Found::new_projects) {
            ui.warning(format!(
                "`{project}` does not exist on {} yet: with a pending publisher, getting a token makes it",
                inputs.index
            ));
        }
    }
    credentials(inputs, ui, http, given, provider)?.current().await?;
    ui.info(if is_given {
        "a password is given; only an upload shows whether it is right".to_owned()
    } else {
        format!("{} takes this run for a trusted publisher", inputs.index)
    });
    Ok(())
}

/// The attestations of files that the index had already.
async fn published(
    inputs: &Inputs,
    ui: &Ui,
    http: &Http,
    plan: &Plan,
    dists: &[Dist],
    found: &Found,
) -> Attestations {
    let mut attestations = Attestations::new();
    for dist in plan.steps().filter(|step| step.action == Action::Keep).map(|step| &dists[step.dist]) {
        let Some(listed) = found.listed(dist).filter(|listed| listed.provenance.is_some()) else { continue };
        match attest::published(http, &inputs.index, dist, listed).await {
            Ok(attestation) => {
                attestations.insert(dist.filename.clone(), attestation);
            }
            Err(why) => ui.warning(format!("{}: its attestation cannot be had: {why}", dist.filename)),
        }
    }
    attestations
}

fn write_attestations(inputs: &Inputs, attestations: &Attestations) -> Result<(), Error> {
    let Some(folder) = &inputs.attestations_path else { return Ok(()) };
    for (name, attestation) in attestations {
        toolkit::write_atomic(&folder.join(attest::file_name(name)), attestation.to_string().as_bytes())?;
    }
    Ok(())
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
    if !inputs.attestations.wanted(&inputs.index, trusted) {
        return Ok(Attestations::new());
    }
    let provider = provider.ok_or_else(|| {
        Error::Attest("there is no identity provider; give the job `permissions: id-token: write`".to_owned())
    })?;
    let config = inputs.trust_config.as_deref();
    let sigstore = Sigstore::new(http, ui, provider, config, inputs.insecure_loopback)?;
    let attestations = sigstore.attest(dists).await?;
    write_attestations(inputs, &attestations)?;
    Ok(attestations)
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
