//! The GitHub Release: a draft, its assets, and only then published. Whatever
//! is there already is compared; a published asset is never replaced.

use std::sync::Arc;
use std::time::Duration;

use octocrab::Octocrab;
use octocrab::models::repos::{Asset, Release};
use pydist::digest;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Url};
use toolkit::{Context, Secret, Ui};

use crate::attest::{self, Attestations};
use crate::error::Error;
use crate::http::{Http, HttpError};
use crate::index;
use crate::inputs::{self, Depth, Inputs};
use crate::release::{Content, File, Plan, renamed};
use crate::upload::{self, BINARY, Progress};

/// For each question to the API, and for the answer to an asset.
const LIMIT: Duration = Duration::from_secs(60);
/// GitHub's secondary rate limits last for a minute, where it does not say
/// less; octocrab does not tell what it says, so the first wait is a short one.
const LIMITED: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(60)];
/// Why an attempt did not complete the release.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error("{}", octocrab_error(.0))]
    Api(#[from] octocrab::Error),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("{0}")]
    Refused(String),
}

/// One line, without the documentation's address.
fn octocrab_error(error: &octocrab::Error) -> String {
    match error {
        octocrab::Error::GitHub { source, .. } => {
            let details =
                source.errors.iter().flatten().map(|error| format!("; {error}")).collect::<String>();
            format!("GitHub answered {}: {}{details}", source.status_code, source.message)
        }
        other => {
            let text =
                std::error::Error::source(other).map_or_else(|| other.to_string(), ToString::to_string);
            text.lines().next().unwrap_or_default().to_owned()
        }
    }
}

impl Stop {
    /// Whether GitHub says that there were too many requests.
    fn is_limit(&self) -> bool {
        match self {
            Self::Api(octocrab::Error::GitHub { source, .. }) => {
                let limit = source.message.to_ascii_lowercase().contains("rate limit");
                limit && matches!(source.status_code.as_u16(), 403 | 429)
            }
            Self::Http(HttpError::Status { status, retry_after: Some(_), .. }) => status.as_u16() == 403,
            _ => false,
        }
    }

    /// Whether it may pass.
    fn is_transient(&self) -> bool {
        match self {
            _ if self.is_limit() => true,
            Self::Api(octocrab::Error::GitHub { source, .. }) => {
                matches!(source.status_code.as_u16(), 408 | 429 | 500..=599)
            }
            Self::Api(
                octocrab::Error::Reqwest { .. }
                | octocrab::Error::Hyper { .. }
                | octocrab::Error::Service { .. },
            ) => true,
            Self::Http(error) => error.is_transient(),
            Self::Api(_) | Self::Refused(_) => false,
        }
    }

    /// How long to wait at least before try number `next`.
    fn asked(&self, next: u32) -> Option<Duration> {
        match self {
            Self::Http(error) => error.retry_after(),
            _ if self.is_limit() => Some(LIMITED[usize::from(next > 2)]),
            _ => None,
        }
    }
}
/// Makes the release what its plan says.
pub struct Releaser<'a> {
    client: Option<Octocrab>,
    http: &'a Http,
    ui: &'a Ui,
    inputs: &'a Inputs,
    plan: Plan,
    api: &'a str,
}

impl<'a> Releaser<'a> {
    /// Without a token it can only tell its plan.
    pub fn new(
        inputs: &'a Inputs,
        context: &'a Context,
        http: &'a Http,
        ui: &'a Ui,
        plan: Plan,
    ) -> Result<Self, Error> {
        let failed = |what: String| Error::Release { what, partial: false, refused: true };
        let api = context.api_url.as_str();
        index::checked(api, inputs.insecure_loopback).map_err(|error| failed(error.to_string()))?;
        let client = |token: &Secret| {
            let builder = Octocrab::builder().base_uri(api)?;
            builder.personal_token(token.expose().to_owned()).build_with_reqwest(http.sender.clone())
        };
        let client = inputs.github_token.as_ref().map(client).transpose();
        let client = client.map_err(|error| failed(octocrab_error(&error)))?;
        if !plan.is_tagged() {
            let versions = plan.versions.join(", ");
            ui.warning(format!("the tag `{}` names no version of what is released: {versions}", plan.tag));
        }
        Ok(Self { client, http, ui, inputs, plan, api })
    }

    /// The names of the assets.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.plan.files.keys().map(String::as_str)
    }

    /// Adds attestations to the assets.
    pub fn add_attestations(&mut self, attestations: &Attestations) {
        for (name, attestation) in attestations {
            self.plan.add(&attest::file_name(name), attestation.to_string().into_bytes(), true);
        }
    }

    /// A release that is there already and cannot become this one is an
    /// error. GitHub's bad moments are none yet.
    pub async fn refuse_conflicts(&self) -> Result<(), Error> {
        let Some(client) = &self.client else { return Ok(()) };
        let work = Work { client, of: self };
        match work.look().await {
            Ok(_) => Ok(()),
            Err(stop) if stop.is_transient() => {
                self.ui.warning(format!("the GitHub Release could not be looked at: {stop}"));
                Ok(())
            }
            Err(stop) => Err(Error::Release {
                what: format!("{stop}; nothing was sent"),
                partial: false,
                refused: true,
            }),
        }
    }

    /// Makes the release complete, and gives its page; a dry run tells what
    /// it would hold.
    pub async fn run(&self) -> Result<Option<String>, Error> {
        let Some(client) = self.client.as_ref().filter(|_| self.inputs.depth == Depth::Full) else {
            if self.inputs.depth != Depth::Offline {
                self.refuse_conflicts().await?;
            }
            self.ui.report(self.names().collect::<Vec<_>>().join("\n"));
            return Ok(None);
        };
        let partial = self.inputs.release == inputs::Release::After;
        let work = Work { client, of: self };
        let mut tries = 1;
        loop {
            let stop = match work.complete().await {
                Ok(page) => {
                    self.ui.info(format!("released: {page}"));
                    return Ok(Some(page));
                }
                Err(stop) => stop,
            };
            tries += 1;
            let wait = if stop.is_transient() { self.http.pace.wait(tries, stop.asked(tries)) } else { None };
            match wait {
                Some(wait) if !toolkit::interrupted() => {
                    self.ui.info(format!("  {stop}; again in {:.1} s", wait.as_secs_f64()));
                    tokio::time::sleep(wait).await;
                }
                _ => {
                    let refused = !stop.is_transient();
                    return Err(Error::Release { what: stop.to_string(), partial, refused });
                }
            }
        }
    }
}

struct Work<'a> {
    client: &'a Octocrab,
    of: &'a Releaser<'a>,
}

impl Work<'_> {
    /// The release, if there is one, and what it lacks; one that cannot become
    /// ours is refused. Nothing is changed.
    async fn look(&self) -> Result<Option<(Release, Lacks<'_>)>, Stop> {
        let Some(release) = self.find().await? else { return Ok(None) };
        let lacks = self.compare(&release).await?;
        if !release.draft && !lacks.other.is_empty() {
            let names =
                lacks.other.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            return Err(Stop::Refused(format!("{} has another {names} already", release.html_url)));
        }
        if release.immutable == Some(true) && !lacks.missing.is_empty() {
            let names = lacks.missing.join(", ");
            return Err(Stop::Refused(format!("{} is immutable and lacks {names}", release.html_url)));
        }
        Ok(Some((release, lacks)))
    }

    /// From whatever is there to a published release. Each step looks first,
    /// so it can begin again at any point.
    async fn complete(&self) -> Result<String, Stop> {
        let (release, lacks) = if let Some(found) = self.look().await? {
            found
        } else {
            let release = self.create().await?;
            let lacks = self.compare(&release).await?;
            (release, lacks)
        };
        let upload = self.upload_url(&release)?;
        let (owner, name) = &self.of.plan.repository;
        for (_, id) in &lacks.other {
            let route = format!("/repos/{owner}/{name}/releases/assets/{id}");
            let delete = async {
                let response = self.client._delete(route, None::<&()>).await?;
                octocrab::map_github_error(response).await
            };
            self.ask(delete).await?;
        }
        for name in lacks.other.iter().map(|(name, _)| *name).chain(lacks.missing) {
            self.of.ui.info(format!("  {name}"));
            self.send(&upload, name, &self.of.plan.files[name]).await?;
        }
        let planned = |asset: &&Asset| {
            self.of.plan.files.keys().any(|name| asset.name == *name || asset.name == renamed(name))
        };
        for asset in release.assets.iter().filter(|asset| !planned(asset)) {
            self.of.ui.warning(format!("the release holds `{}` too, which is none of its files", asset.name));
        }
        if !release.draft {
            return Ok(release.html_url.to_string());
        }
        let id = release.id.into_inner();
        let repos = self.client.repos(owner, name);
        let left = self.compare(&self.ask(repos.releases().get(id)).await?).await?;
        let mut left = left.other.iter().map(|(name, _)| *name).chain(left.missing).peekable();
        if left.peek().is_some() {
            let names = left.collect::<Vec<_>>().join(", ");
            return Err(Stop::Refused(format!("GitHub took {names}, but does not list it")));
        }
        let releases = repos.releases();
        let release = self.ask(releases.update(id).draft(false).send()).await?;
        Ok(release.html_url.to_string())
    }

    /// What GitHub answers, within the limit.
    async fn ask<T>(&self, question: impl Future<Output = octocrab::Result<T>>) -> Result<T, Stop> {
        let timeout = |_| HttpError::Timeout { url: self.of.api.to_owned(), what: "no answer", limit: LIMIT };
        Ok(tokio::time::timeout(LIMIT, question).await.map_err(timeout)??)
    }

    /// The release of the tag: published, or still a draft.
    async fn find(&self) -> Result<Option<Release>, Stop> {
        let (owner, name) = &self.of.plan.repository;
        let (repos, tag) = (self.client.repos(owner, name), &self.of.plan.tag);
        match self.ask(repos.releases().get_by_tag(tag)).await {
            Ok(release) => return Ok(Some(release)),
            Err(Stop::Api(octocrab::Error::GitHub { source, .. })) if source.status_code.as_u16() == 404 => {}
            Err(error) => return Err(error),
        }
        // A draft has no tag yet: it is found in the list alone.
        for page in 1..=10_u32 {
            let list = self.ask(repos.releases().list().per_page(100).page(page).send()).await?;
            let count = list.items.len();
            let draft = list.items.into_iter().find(|release| release.draft && release.tag_name == *tag);
            if draft.is_some() || count < 100 {
                return Ok(draft);
            }
        }
        Ok(None)
    }

    async fn create(&self) -> Result<Release, Stop> {
        let (owner, name) = &self.of.plan.repository;
        let (repos, plan) = (self.client.repos(owner, name), &self.of.plan);
        let releases = repos.releases();
        let mut create = releases.create(&plan.tag).name(&plan.tag).body(&plan.notes);
        if let Some(commit) = &plan.commit {
            create = create.target_commitish(commit);
        }
        self.ask(create.draft(true).prerelease(plan.prerelease).send()).await
    }

    async fn compare(&self, release: &Release) -> Result<Lacks<'_>, Stop> {
        let mut lacks = Lacks::default();
        for (name, file) in &self.of.plan.files {
            match release.assets.iter().find(|asset| asset.name == *name || asset.name == renamed(name)) {
                None => lacks.missing.push(name),
                Some(asset) if self.is_same(asset, file).await? => {}
                Some(asset) => lacks.other.push((name, asset.id.into_inner())),
            }
        }
        Ok(lacks)
    }

    async fn is_same(&self, asset: &Asset, file: &File) -> Result<bool, Stop> {
        // One whose upload was cut off is there too, and not `uploaded`.
        if asset.state != "uploaded" {
            return Ok(false);
        }
        if file.any {
            return Ok(true);
        }
        if u64::try_from(asset.size).ok() != Some(file.size) {
            return Ok(false);
        }
        if let Some(digest) = asset.digest.as_deref().and_then(|digest| digest.strip_prefix("sha256:")) {
            return Ok(digest == file.sha256);
        }
        // Assets from before GitHub kept digests. They are public where the
        // release is, and redirect to another host, which gets no token.
        let url = self.checked(asset.url.as_str())?;
        let token = self.of.inputs.github_token.as_ref().map(Secret::expose).unwrap_or_default();
        let get = || {
            let request = self.of.http.sender.get(url.clone()).bearer_auth(token);
            request.header(ACCEPT, BINARY)
        };
        let (_, bytes) = self.of.http.fetch(LIMIT, get).await?;
        Ok(digest::hex(&digest::sha256(&bytes)) == file.sha256)
    }

    /// Where the release takes assets: GitHub's own hosts alone get the token.
    fn upload_url(&self, release: &Release) -> Result<Url, Stop> {
        self.checked(release.upload_url.split('{').next().unwrap_or_default())
    }

    fn checked(&self, text: &str) -> Result<Url, Stop> {
        let refused =
            || Stop::Refused(format!("GitHub's API names an address that is not its own: `{text}`"));
        let url = index::checked(text, self.of.inputs.insecure_loopback).map_err(|_| refused())?;
        let api = Url::parse(self.of.api).map_err(|_| refused())?;
        let host = |url: &Url| url.host_str().unwrap_or_default().to_owned();
        let uploads = host(&api).strip_prefix("api.").map(|domain| format!("uploads.{domain}"));
        let own = host(&url) == host(&api) && url.port() == api.port() || uploads == Some(host(&url));
        if own { Ok(url) } else { Err(refused()) }
    }

    /// In pieces: octocrab would hold the whole file in memory.
    async fn send(&self, url: &Url, name: &str, file: &File) -> Result<(), Stop> {
        let progress = Arc::new(Progress::new());
        let body = match &file.content {
            Content::Bytes(bytes) => Body::from(bytes.clone()),
            Content::Path(path) => {
                let (path, sha256) = (path.clone(), file.sha256.clone());
                Body::wrap_stream(upload::pieces(path, file.size, sha256, Arc::clone(&progress)))
            }
        };
        let mut url = url.clone();
        url.query_pairs_mut().append_pair("name", name);
        let token = self.of.inputs.github_token.as_ref().map(Secret::expose).unwrap_or_default();
        let request = self.of.http.sender.post(url.clone()).bearer_auth(token);
        let request = request.header(CONTENT_TYPE, BINARY).header(CONTENT_LENGTH, file.size).body(body);
        Ok(upload::send(self.of.http, &url, request, &progress, LIMIT, &|_| {}).await?)
    }
}

/// What a release has not.
#[derive(Default)]
struct Lacks<'a> {
    missing: Vec<&'a str>,
    /// Under our names, but other bytes or cut off: names and the assets' numbers.
    other: Vec<(&'a str, u64)>,
}
