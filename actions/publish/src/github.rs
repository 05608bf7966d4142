//! The GitHub Release: a draft, its assets, and only then published. Whatever
//! is there already is compared; a published asset is never replaced.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use octocrab::Octocrab;
use octocrab::models::repos::{Asset, Release};
use pydist::digest;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Url};
use toolkit::{Context, FileError, Secret, Ui};

use crate::attest::{self, Attestations};
use crate::error::Error;
use crate::http::{self, Http, HttpError};
use crate::index;
use crate::inputs::Inputs;
use crate::inspect::Dist;
use crate::upload;

/// For sending one asset.
const LIMIT: Duration = Duration::from_secs(600);

/// A file of the release.
struct File {
    sha256: String,
    size: u64,
    content: Content,
}

enum Content {
    Path(PathBuf),
    Bytes(Bytes),
}

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
    fn is_transient(&self) -> bool {
        match self {
            Self::Api(octocrab::Error::GitHub { source, .. }) => {
                matches!(source.status_code.as_u16(), 408 | 429 | 500..=599)
            }
            Self::Api(octocrab::Error::Hyper { .. } | octocrab::Error::Service { .. }) => true,
            Self::Api(_) | Self::Refused(_) => false,
            Self::Http(error) => error.is_transient(),
        }
    }
}

/// What the release is made of.
pub struct Plan {
    repository: (String, String),
    tag: String,
    commit: Option<String>,
    notes: String,
    prerelease: bool,
    files: BTreeMap<String, File>,
}

impl Plan {
    /// Reads what the release needs; no one is asked anything yet.
    pub fn new(
        inputs: &Inputs,
        context: &Context,
        dists: &[Dist],
        made: &Attestations,
    ) -> Result<Self, Error> {
        let missing = |what: &str| Error::Release { what: what.to_owned(), partial: false, refused: true };
        let repository = context.repository.as_deref().and_then(|name| name.split_once('/'));
        let repository =
            repository.ok_or_else(|| missing("`GITHUB_REPOSITORY` does not name a repository"))?;
        let tag = inputs.tag.as_deref().or(context.tag());
        let tag = tag.ok_or_else(|| missing("no `tag` is given, and no tag has started this workflow"))?;
        let version = dists.iter().map(|dist| dist.version.as_str()).max().unwrap_or_default();
        let mut plan = Self {
            repository: (repository.0.to_owned(), repository.1.to_owned()),
            tag: tag.to_owned(),
            commit: context.sha.clone(),
            notes: notes(inputs, version)?,
            prerelease: dists.iter().any(|dist| {
                dist.version.parse::<pep440_rs::Version>().is_ok_and(|version| version.any_prerelease())
            }),
            files: BTreeMap::new(),
        };
        let mut sums = String::new();
        for dist in dists {
            sums.push_str(&format!("{}  {}\n", dist.sha256, dist.filename));
            let file = File {
                sha256: dist.sha256.clone(),
                size: dist.size,
                content: Content::Path(dist.path.clone()),
            };
            plan.files.insert(dist.filename.clone(), file);
            let name = attest::file_name(&dist.filename);
            let saved = inputs.attestations_path.as_ref().map(|folder| folder.join(&name));
            if let Some(attestation) = made.get(&dist.filename) {
                plan.add(&name, attestation.to_string().into_bytes());
            } else if let Some(path) = saved.filter(|path| path.is_file()) {
                plan.add(&name, std::fs::read(&path).map_err(FileError::new("read", &path))?);
            }
        }
        if let Some(path) = &inputs.manifest {
            plan.add("dist-manifest.json", std::fs::read(path).map_err(FileError::new("read", path))?);
        }
        plan.add("SHA256SUMS", sums.into_bytes());
        Ok(plan)
    }

    fn add(&mut self, name: &str, bytes: Vec<u8>) {
        let sha256 = digest::hex(&digest::sha256(&bytes));
        let file = File { sha256, size: bytes.len() as u64, content: Content::Bytes(bytes.into()) };
        self.files.insert(name.to_owned(), file);
    }

    /// The names of the assets.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }
}

/// The notes: those given, or the changelog's section about the version.
fn notes(inputs: &Inputs, version: &str) -> Result<String, Error> {
    let read = |path: &PathBuf| std::fs::read_to_string(path).map_err(FileError::new("read", path));
    if let Some(path) = &inputs.notes {
        return Ok(read(path)?);
    }
    let Some(path) = &inputs.changelog else { return Ok(String::new()) };
    section(&read(path)?, version).ok_or_else(|| Error::Release {
        what: format!("`{}` has no section whose heading names {version}", path.display()),
        partial: false,
        refused: true,
    })
}

/// What stands under the heading that names `version`, up to the next heading
/// of its level or above.
fn section(changelog: &str, version: &str) -> Option<String> {
    let level = |line: &str| line.bytes().take_while(|byte| *byte == b'#').count();
    let is_it = |line: &&str| {
        let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || ".+-_!".contains(c)));
        (1..=3).contains(&level(line))
            && words.into_iter().any(|word| word.trim_start_matches('v') == version)
    };
    let start = changelog.lines().position(|line| is_it(&line))?;
    let own = level(changelog.lines().nth(start)?);
    let rest = changelog.lines().skip(start + 1);
    let lines: Vec<&str> = rest.take_while(|line| !(1..=own).contains(&level(line))).collect();
    Some(lines.join("\n").trim().to_owned())
}

/// Makes the release complete; its page.
pub async fn release(
    inputs: &Inputs,
    context: &Context,
    http: &Http,
    ui: &Ui,
    token: &Secret,
    plan: &Plan,
) -> Result<String, Error> {
    ui.mask(token);
    let partial = inputs.release == crate::inputs::Release::After;
    let failed = |what: String, refused| Error::Release { what, partial, refused };
    index::checked(&context.api_url, inputs.insecure_loopback)
        .map_err(|error| failed(error.to_string(), true))?;
    let client = Octocrab::builder()
        .base_uri(&context.api_url)
        .and_then(|builder| builder.personal_token(token.expose().to_owned()).build())
        .map_err(|error| failed(octocrab_error(&error), true))?;
    let work =
        Work { client, http, ui, token, plan, api: &context.api_url, insecure: inputs.insecure_loopback };
    let mut tries = 1;
    loop {
        let stop = match work.complete().await {
            Ok(page) => return Ok(page),
            Err(stop) => stop,
        };
        tries += 1;
        match http.pace.wait(tries, None) {
            Some(wait) if stop.is_transient() && !toolkit::interrupted() => {
                ui.info(format!("  {stop}; again in {:.1} s", wait.as_secs_f64()));
                tokio::time::sleep(wait).await;
            }
            _ => return Err(failed(stop.to_string(), !stop.is_transient())),
        }
    }
}

struct Work<'a> {
    client: Octocrab,
    http: &'a Http,
    ui: &'a Ui,
    token: &'a Secret,
    plan: &'a Plan,
    api: &'a str,
    insecure: bool,
}

impl Work<'_> {
    /// From whatever is there to a published release. Each step looks first,
    /// so it can begin again at any point.
    async fn complete(&self) -> Result<String, Stop> {
        let release = match self.find().await? {
            Some(release) => release,
            None => self.create().await?,
        };
        let missing = self.compare(&release).await?;
        if !missing.is_empty() && !release.draft && release.immutable == Some(true) {
            return Err(Stop::Refused(format!(
                "{} is immutable and lacks {}",
                release.html_url,
                missing.join(", ")
            )));
        }
        let upload = self.upload_url(&release)?;
        for name in missing {
            self.ui.info(format!("  {name}"));
            self.send(&upload, name, &self.plan.files[name]).await?;
        }
        let release = if release.draft {
            let (owner, name) = &self.plan.repository;
            let id = release.id.into_inner();
            let left = self.compare(&self.client.repos(owner, name).releases().get(id).await?).await?;
            if !left.is_empty() {
                return Err(Stop::Refused(format!("GitHub took {}, but does not list it", left.join(", "))));
            }
            self.client.repos(owner, name).releases().update(id).draft(false).send().await?
        } else {
            release
        };
        Ok(release.html_url.to_string())
    }

    /// The release of the tag: published, or still a draft.
    async fn find(&self) -> Result<Option<Release>, Stop> {
        let (owner, name) = &self.plan.repository;
        let repos = self.client.repos(owner, name);
        match repos.releases().get_by_tag(&self.plan.tag).await {
            Ok(release) => return Ok(Some(release)),
            Err(octocrab::Error::GitHub { source, .. }) if source.status_code.as_u16() == 404 => {}
            Err(error) => return Err(error.into()),
        }
        // A draft has no tag yet: it is found in the list alone.
        for page in 1..=10_u32 {
            let list = repos.releases().list().per_page(100).page(page).send().await?;
            let count = list.items.len();
            let draft =
                list.items.into_iter().find(|release| release.draft && release.tag_name == self.plan.tag);
            if draft.is_some() || count < 100 {
                return Ok(draft);
            }
        }
        Ok(None)
    }

    async fn create(&self) -> Result<Release, Stop> {
        let (owner, name) = &self.plan.repository;
        let (repos, plan) = (self.client.repos(owner, name), self.plan);
        let releases = repos.releases();
        let mut create = releases.create(&plan.tag).name(&plan.tag).body(&plan.notes);
        if let Some(commit) = &plan.commit {
            create = create.target_commitish(commit);
        }
        Ok(create.draft(true).prerelease(plan.prerelease).send().await?)
    }

    /// The names of what is missing. What differs is removed from a draft,
    /// and refused in a published release.
    async fn compare(&self, release: &Release) -> Result<Vec<&str>, Stop> {
        let mut missing = Vec::new();
        for (name, file) in &self.plan.files {
            let Some(asset) = release.assets.iter().find(|asset| asset.name == *name) else {
                missing.push(name.as_str());
                continue;
            };
            if self.is_same(asset, file).await? {
                continue;
            }
            if !release.draft {
                return Err(Stop::Refused(format!("{} has another `{name}` already", release.html_url)));
            }
            let (owner, repository) = &self.plan.repository;
            let route = format!("/repos/{owner}/{repository}/releases/assets/{}", asset.id);
            let response = self.client._delete(route, None::<&()>).await?;
            octocrab::map_github_error(response).await?;
            missing.push(name.as_str());
        }
        Ok(missing)
    }

    async fn is_same(&self, asset: &Asset, file: &File) -> Result<bool, Stop> {
        if asset.state != "uploaded" || u64::try_from(asset.size).ok() != Some(file.size) {
            return Ok(false);
        }
        if let Some(digest) = asset.digest.as_deref().and_then(|digest| digest.strip_prefix("sha256:")) {
            return Ok(digest == file.sha256);
        }
        // Assets from before GitHub kept digests.
        let url = self.checked(asset.url.as_str())?;
        let get = || {
            let request = self.http.sender.get(url.clone()).bearer_auth(self.token.expose());
            request.header(ACCEPT, "application/octet-stream")
        };
        let (_, bytes) = self.http.fetch(LIMIT, get).await?;
        Ok(digest::hex(&digest::sha256(&bytes)) == file.sha256)
    }

    /// Where the release takes assets: GitHub's own hosts alone get the token.
    fn upload_url(&self, release: &Release) -> Result<Url, Stop> {
        self.checked(release.upload_url.split('{').next().unwrap_or_default())
    }

    fn checked(&self, text: &str) -> Result<Url, Stop> {
        let refused =
            || Stop::Refused(format!("GitHub's API names an address that is not its own: `{text}`"));
        let url = index::checked(text, self.insecure).map_err(|_| refused())?;
        let api = Url::parse(self.api).map_err(|_| refused())?;
        let host = |url: &Url| url.host_str().unwrap_or_default().to_owned();
        let uploads = host(&api).strip_prefix("api.").map(|domain| format!("uploads.{domain}"));
        let own = host(&url) == host(&api) && url.port() == api.port() || uploads == Some(host(&url));
        if own { Ok(url) } else { Err(refused()) }
    }

    /// In pieces: octocrab would hold the whole file in memory.
    async fn send(&self, url: &Url, name: &str, file: &File) -> Result<(), Stop> {
        let body = || match &file.content {
            Content::Bytes(bytes) => Body::from(bytes.clone()),
            Content::Path(path) => {
                Body::wrap_stream(upload::pieces(path.clone(), file.size, file.sha256.clone(), |_| {}))
            }
        };
        let mut url = url.clone();
        url.query_pairs_mut().append_pair("name", name);
        let request = self.http.sender.post(url.clone()).bearer_auth(self.token.expose());
        let request =
            request.header(CONTENT_TYPE, "application/octet-stream").header(CONTENT_LENGTH, file.size);
        let sent = tokio::time::timeout(LIMIT, request.body(body()).send()).await;
        let shown = http::shown(&url);
        let timeout = |_| HttpError::Timeout { url: shown.clone(), what: "no answer", limit: LIMIT };
        let response = sent.map_err(timeout)?.map_err(|error| http::connection(&shown, error))?;
        http::success(response).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_of_a_version_is_found() {
        let changelog =
            "# Changelog\n\n## [0.3.1] - 2026-01-02\n\n### Fixed\n- x\n\n## v0.3.0\n- first\n\n## 0.3\nold\n";
        assert_eq!(section(changelog, "0.3.1").unwrap(), "### Fixed\n- x");
        assert_eq!(section(changelog, "0.3.0").unwrap(), "- first");
        assert_eq!(section(changelog, "0.3").unwrap(), "old");
        assert_eq!(section(changelog, "1.0"), None);
    }
}
