//! Makes the GitHub Release: a draft first, then its assets, then publishes it.
//! Existing releases are compared with the plan; a published asset is never
//! replaced.

use std::time::Duration;

use index::{Client, HttpError, Retryable as _};
use octocrab::Octocrab;
use octocrab::models::repos::{Asset, Release};
use octocrab::repos::releases::MakeLatest;
use toolkit::{Context, Secret, Ui};

use super::abort::{Abort, octocrab_error};
use super::assets::{Assets, Difference};
use super::plan::{ReleasePlan, renamed};
use crate::attestation::Attestations;
use crate::error::Error;
use crate::inputs::{self, DryRun, Latest, ReleaseMode};

/// The timeout for each API request.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Makes the release match its plan.
pub struct Releaser<'a> {
    octocrab: Option<Octocrab>,
    client: &'a Client,
    ui: &'a Ui,
    inputs: &'a inputs::Release,
    dry_run: DryRun,
    insecure_loopback: bool,
    plan: ReleasePlan,
    api: &'a str,
}

impl<'a> Releaser<'a> {
    /// Without a token, it can only show the plan.
    pub fn new(
        inputs: &'a inputs::Inputs,
        context: &'a Context,
        client: &'a Client,
        ui: &'a Ui,
        plan: ReleasePlan,
    ) -> Result<Self, Error> {
        let failed =
            |what: String| Error::Release { what, status: None, is_partial: false, is_refused: true };
        let api = context.api_url.as_str();
        index::checked(api, inputs.insecure_loopback).map_err(|error| failed(error.to_string()))?;
        let octocrab = |token: &Secret| {
            let builder = Octocrab::builder().base_uri(api)?;
            builder.personal_token(token.expose().to_owned()).build_with_reqwest(client.sender.clone())
        };
        let octocrab = inputs.release.token.as_ref().map(octocrab).transpose();
        let octocrab = octocrab.map_err(|error| failed(octocrab_error(&error)))?;
        if !plan.is_tagged() {
            let versions = plan.versions.join(", ");
            ui.warning(format!("the tag `{}` does not name a version in this release: {versions}", plan.tag));
        }
        let (dry_run, insecure_loopback) = (inputs.dry_run, inputs.insecure_loopback);
        Ok(Self { octocrab, client, ui, inputs: &inputs.release, dry_run, insecure_loopback, plan, api })
    }

    /// The names of the assets.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.plan.files.keys().map(String::as_str)
    }

    /// Adds attestations to the assets.
    pub fn add_attestations(&mut self, attestations: &Attestations) {
        self.plan.add_attestations(attestations);
    }

    /// Fails if a release exists that cannot become the planned one. If GitHub
    /// does not answer, warns only.
    pub async fn refuse_conflicts(&self) -> Result<(), Error> {
        let Some(connection) = self.connection() else { return Ok(()) };
        match connection.find_and_compare().await {
            Ok(_) => Ok(()),
            Err(abort) if abort.is_transient() => {
                self.ui.warning(format!("cannot check the GitHub Release yet: {abort}"));
                Ok(())
            }
            Err(abort) => Err(Error::Release {
                what: format!("{abort}; nothing was sent"),
                status: abort.status(),
                is_partial: false,
                is_refused: true,
            }),
        }
    }

    /// The connection to the release; `None` without a token.
    fn connection(&self) -> Option<Connection<'_>> {
        let (octocrab, token) = (self.octocrab.as_ref()?, self.inputs.token.as_ref()?);
        let (client, files, api) = (self.client, &self.plan.files, self.api);
        let assets = Assets { client, token, files, api, insecure_loopback: self.insecure_loopback };
        Some(Connection { octocrab, assets, releaser: self })
    }

    /// Completes the release and returns its page; a dry run shows what it would
    /// hold.
    pub async fn run(&self) -> Result<Option<String>, Error> {
        let Some(connection) = self.connection().filter(|_| self.dry_run == DryRun::Off) else {
            if self.dry_run != DryRun::Offline {
                self.refuse_conflicts().await?;
            }
            self.ui.report(self.names().collect::<Vec<_>>().join("\n"));
            return Ok(None);
        };
        let is_partial = self.inputs.mode == ReleaseMode::After;
        match self.client.retry(async || connection.complete().await).await {
            Ok(page) => {
                self.ui.info(format!("released: {page}"));
                Ok(Some(page))
            }
            Err(abort) => {
                let is_refused = !abort.is_transient();
                Err(Error::Release {
                    what: abort.to_string(),
                    status: abort.status(),
                    is_partial,
                    is_refused,
                })
            }
        }
    }
}

struct Connection<'a> {
    octocrab: &'a Octocrab,
    assets: Assets<'a>,
    releaser: &'a Releaser<'a>,
}

impl Connection<'_> {
    /// The existing release, if there is one, and its differences from the plan. Fails
    /// if it cannot become the planned one. Changes nothing.
    async fn find_and_compare(&self) -> Result<Option<(Release, Difference<'_>)>, Abort> {
        let Some(release) = self.find().await? else { return Ok(None) };
        let differs = self.assets.compare(&release).await?;
        if !release.draft && !differs.other.is_empty() {
            let names =
                differs.other.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            return Err(Abort::Refused(format!("{} already has another {names}", release.html_url)));
        }
        let cut_off = differs.cut_off.iter().map(|(name, _)| *name);
        let incomplete: Vec<&str> = differs.missing.iter().copied().chain(cut_off).collect();
        if release.immutable == Some(true) && !incomplete.is_empty() {
            let names = incomplete.join(", ");
            return Err(Abort::Refused(format!("{} is immutable and lacks {names}", release.html_url)));
        }
        Ok(Some((release, differs)))
    }

    /// Completes and publishes the release from any state. Each step checks first,
    /// so an interrupted run can be repeated.
    async fn complete(&self) -> Result<String, Abort> {
        let (release, differs) = if let Some(found) = self.find_and_compare().await? {
            found
        } else {
            let release = self.create().await?;
            let differs = self.assets.compare(&release).await?;
            (release, differs)
        };
        let upload = self.assets.upload_url(&release)?;
        let (owner, name) = &self.releaser.plan.repository;
        for (_, id) in differs.other.iter().chain(&differs.cut_off) {
            let route = format!("/repos/{owner}/{name}/releases/assets/{id}");
            self.delete(route).await?;
        }
        let again = differs.other.iter().chain(&differs.cut_off).map(|(name, _)| *name);
        for name in again.chain(differs.missing.iter().copied()) {
            self.releaser.ui.info(format!("  {name}"));
            self.assets.send(&upload, name, &self.releaser.plan.files[name]).await?;
        }
        let planned = |asset: &&Asset| {
            self.releaser.plan.files.keys().any(|name| asset.name == *name || asset.name == renamed(name))
        };
        for asset in release.assets.iter().filter(|asset| !planned(asset)) {
            self.releaser
                .ui
                .warning(format!("the release also has `{}`, which is not one of these files", asset.name));
        }
        if !release.draft || self.releaser.inputs.draft {
            return Ok(release.html_url.to_string());
        }
        let id = release.id.into_inner();
        let repos = self.octocrab.repos(owner, name);
        let left = self.assets.compare(&self.request(repos.releases().get(id)).await?).await?;
        let mut left =
            left.other.iter().chain(&left.cut_off).map(|(name, _)| *name).chain(left.missing).peekable();
        if left.peek().is_some() {
            let names = left.collect::<Vec<_>>().join(", ");
            return Err(Abort::Refused(format!("GitHub accepted {names}, but does not list it")));
        }
        let releases = repos.releases();
        let mut update = releases.update(id).draft(false);
        if let Some(latest) = self.make_latest() {
            update = update.make_latest(latest);
        }
        let release = self.request(update.send()).await?;
        Ok(release.html_url.to_string())
    }

    /// Awaits GitHub's answer, with a timeout.
    async fn request<T>(&self, request: impl Future<Output = octocrab::Result<T>>) -> Result<T, Abort> {
        let timeout =
            |_| HttpError::Timeout { url: self.releaser.api.to_owned(), what: "no answer", limit: TIMEOUT };
        Ok(tokio::time::timeout(TIMEOUT, request).await.map_err(timeout)??)
    }

    /// The release of the tag: published, or still a draft.
    async fn find(&self) -> Result<Option<Release>, Abort> {
        let (owner, name) = &self.releaser.plan.repository;
        let (repos, tag) = (self.octocrab.repos(owner, name), &self.releaser.plan.tag);
        match self.request(repos.releases().get_by_tag(tag)).await {
            Ok(release) => return Ok(Some(release)),
            Err(Abort::Api(octocrab::Error::GitHub { source, .. })) if source.status_code.as_u16() == 404 => {
            }
            Err(error) => return Err(error),
        }
        // The oldest one, so that two concurrent runs choose the same.
        Ok(self.drafts().await?.into_iter().min_by_key(|release| release.id))
    }

    /// The drafts of the tag. A draft has no tag yet, so only the list finds it.
    async fn drafts(&self) -> Result<Vec<Release>, Abort> {
        let (owner, name) = &self.releaser.plan.repository;
        let (repos, tag) = (self.octocrab.repos(owner, name), &self.releaser.plan.tag);
        let mut drafts = Vec::new();
        for page in 1..=10_u32 {
            let list = self.request(repos.releases().list().per_page(100).page(page).send()).await?;
            let count = list.items.len();
            drafts.extend(list.items.into_iter().filter(|release| release.draft && release.tag_name == *tag));
            if !drafts.is_empty() || count < 100 {
                break;
            }
        }
        Ok(drafts)
    }

    /// Creates a draft. If a concurrent run has created one too, keeps the older
    /// and deletes ours.
    async fn create(&self) -> Result<Release, Abort> {
        let (owner, name) = &self.releaser.plan.repository;
        let (repos, plan) = (self.octocrab.repos(owner, name), &self.releaser.plan);
        let releases = repos.releases();
        let notes = self.notes().await?;
        let mut create = releases.create(&plan.tag).name(&plan.name).body(&notes);
        if let Some(target) = &plan.target {
            create = create.target_commitish(target);
        }
        let ours = self.request(create.draft(true).prerelease(plan.prerelease).send()).await?;
        let first = self.find().await?.filter(|first| first.id != ours.id);
        let Some(first) = first else { return Ok(ours) };
        let route = format!("/repos/{owner}/{name}/releases/{}", ours.id);
        self.delete(route).await?;
        Ok(first)
    }

    /// The notes, followed by GitHub's generated ones if requested.
    async fn notes(&self) -> Result<String, Abort> {
        let (owner, name) = &self.releaser.plan.repository;
        let (repos, plan) = (self.octocrab.repos(owner, name), &self.releaser.plan);
        if !self.releaser.inputs.generate_notes {
            return Ok(plan.notes.clone());
        }
        let releases = repos.releases();
        let mut generate = releases.generate_release_notes(&plan.tag);
        if let Some(target) = &plan.target {
            generate = generate.target_commitish(target);
        }
        let generated = self.request(generate.send()).await?.body;
        let parts = [plan.notes.as_str(), generated.as_str()];
        Ok(parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n"))
    }

    fn make_latest(&self) -> Option<MakeLatest> {
        match self.releaser.inputs.make_latest {
            Latest::Yes => Some(MakeLatest::True),
            Latest::No => Some(MakeLatest::False),
            Latest::Legacy => Some(MakeLatest::Legacy),
            Latest::Auto => None,
        }
    }

    async fn delete(&self, route: String) -> Result<(), Abort> {
        let delete = async {
            let response = self.octocrab._delete(route, None::<&()>).await?;
            octocrab::map_github_error(response).await
        };
        self.request(delete).await.map(drop)
    }
}
