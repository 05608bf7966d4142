//! Queries the index for the state of our files, and whether it would accept the
//! missing ones.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use index::{Basic, Client, HttpError, Index, Keep, ListedFile, Listing};
use pydist::filename::DistName;
use pydist::name::ProjectName;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};
use toolkit::Ui;

use crate::advice::Advice;
use crate::error::Error;
use crate::inspect::Dist;
use crate::plan::Remote;

/// PyPI accepts no new file for an older release (its documentation, "Uploading
/// new files to releases").
const OPEN: Duration = Duration::days(14);
/// PyPI's default file size limit, in bytes (its documentation, "File size limit").
const LARGEST: u64 = 100 * 1024 * 1024;

/// A client for reading an index, with its URL and credentials.
pub(crate) struct IndexReader<'a> {
    pub(crate) client: &'a Client,
    pub(crate) index: &'a Index,
    basic: Option<Basic>,
    keep: Keep,
}

impl<'a> IndexReader<'a> {
    /// The Simple API gets the credentials `simple`, or `given`, which are for
    /// the upload API, if it is on the same host. PyPI's is public and gets none.
    pub(crate) fn new(
        client: &'a Client,
        index: &'a Index,
        dists: &[Dist],
        simple: Option<&Basic>,
        given: Option<&Basic>,
    ) -> Self {
        let is_same = index.known.is_none() && index::same_origin(&index.simple, &index.upload);
        let basic = simple.or(given.filter(|_| is_same)).cloned();
        Self { client, index, basic, keep: keep(dists) }
    }

    /// The same reader with another client.
    pub(crate) fn with<'b>(&'b self, client: &'b Client) -> IndexReader<'b> {
        IndexReader { client, index: self.index, basic: self.basic.clone(), keep: Arc::clone(&self.keep) }
    }

    /// Lists a project. Sends credentials with the first request, because some
    /// indexes answer 404 to users who may not read.
    pub(crate) async fn list(&self, project: &ProjectName) -> Result<Listing, HttpError> {
        let page = self.index.project(project);
        let listing = index::list(self.client, &page, self.basic.as_ref(), &self.keep).await;
        match (&self.basic, listing) {
            // The password may only upload. A public listing is still an answer,
            // an empty one is not.
            (Some(_), Err(error)) if matches!(error.status(), Some(401 | 403)) => {
                let open = index::list(self.client, &page, None, &self.keep).await;
                open.ok().filter(|listing| listing.exists).ok_or(error)
            }
            (_, listing) => listing,
        }
    }

    /// Compares `dist` with the file of its name on the index.
    pub(crate) async fn compare(&self, listing: &Listing, dist: &Dist) -> Result<Remote, HttpError> {
        if let Some(listed) = listing.files.get(&dist.filename) {
            let is_same = index::same_origin(&listed.url, &self.index.simple);
            let basic = self.basic.as_ref().filter(|_| is_same);
            return Ok(match index::sha256(self.client, listed, dist.size, basic).await? {
                Some(sha256) if sha256 == dist.sha256 => Remote::Same,
                Some(sha256) => {
                    let own = &dist.sha256;
                    Remote::Different(format!(
                        "the index has it with the SHA-256 {sha256}, this file has {own}"
                    ))
                }
                None => Remote::Different(format!("the index has it with more than {} bytes", dist.size)),
            });
        }
        let twin = listing.files.iter().find(|(_, listed)| listed.sha256.as_ref() == Some(&dist.sha256));
        Ok(match twin {
            Some((name, _)) => Remote::Different(format!("the index has the same bytes as `{name}`")),
            None => Remote::Absent,
        })
    }
}

/// Keeps the relevant files of a page: those of our versions, and those with our
/// bytes.
fn keep(dists: &[Dist]) -> Keep {
    let names: BTreeSet<String> = dists.iter().map(|dist| dist.filename.clone()).collect();
    let hashes: BTreeSet<String> = dists.iter().map(|dist| dist.sha256.clone()).collect();
    let versions: BTreeSet<_> = dists.iter().filter_map(|dist| version(&dist.name)).collect();
    Arc::new(move |name, file| {
        names.contains(name)
            || file.sha256.as_ref().is_some_and(|sha256| hashes.contains(sha256))
            || name
                .parse::<DistName>()
                .ok()
                .and_then(|name| version(&name))
                .is_some_and(|version| versions.contains(&version))
    })
}

fn version(name: &DistName) -> Option<pep440_rs::Version> {
    name.version().replace('_', "-").parse().ok()
}

/// The state of the index.
#[derive(Debug, Default)]
pub(crate) struct IndexState {
    /// By project.
    pub(crate) listings: BTreeMap<ProjectName, Listing>,
    /// By file name.
    pub(crate) remote: BTreeMap<String, Remote>,
}

impl IndexState {
    /// The index's entry for `dist`.
    pub(crate) fn listed(&self, dist: &Dist) -> Option<&ListedFile> {
        self.listings.get(&dist.project)?.files.get(&dist.filename)
    }

    /// Our projects that the index does not have.
    pub(crate) fn new_projects(&self) -> Vec<ProjectName> {
        self.listings.iter().filter(|(_, listing)| !listing.exists).map(|(name, _)| name.clone()).collect()
    }
}

/// The expectations from the inputs.
pub(crate) struct Expectation {
    /// The projects' file size limit, in bytes, if it is known.
    pub(crate) max_size: Option<u64>,
    /// Whether a file without an attestation is a conflict.
    pub(crate) attested: bool,
}

/// Queries the index once for each project.
pub(crate) async fn probe(
    reader: &IndexReader<'_>,
    ui: &Ui,
    dists: &[Dist],
    expected: &Expectation,
) -> Result<IndexState, Error> {
    let (mut state, index) = (IndexState::default(), reader.index);
    let mut reported = BTreeSet::new();
    for dist in dists {
        let project = &dist.project;
        let failed = |source| Error::Probe { index: index.to_string(), project: project.clone(), source };
        if !state.listings.contains_key(project) {
            let listing = reader.list(project).await.map_err(failed)?;
            if let Some(other) = &listing.forwards_to {
                ui.info(format!("  `{project}` is not on {index}, which forwards to {other}"));
            }
            state.listings.insert(project.clone(), listing);
        }
        let listing = &state.listings[project];
        let mut remote = reader.compare(listing, dist).await.map_err(failed)?;
        let is_warehouse = index.known.is_some() || listing.is_warehouse;
        match (&remote, listing.files.get(&dist.filename)) {
            (Remote::Same, Some(listed)) => {
                if listed.yanked {
                    ui.warning(format!("{index} already has `{}`, and lists it as yanked", dist.filename));
                }
                if expected.attested && listed.provenance.is_none() {
                    let what = "the index has it without an attestation".to_owned();
                    remote = Remote::Closed(what, Advice::Unattested);
                }
            }
            (Remote::Absent, _) => {
                if let Some((why, advice)) = closed(listing, dist, OffsetDateTime::now_utc()) {
                    if is_warehouse || advice != Advice::OldRelease {
                        remote = Remote::Closed(why, advice);
                    } else if reported.insert((project, &dist.version)) {
                        ui.warning(format!("{project} {}: {why}; {index} may reject it too", dist.version));
                    }
                } else if let Some(why) = too_large(dist, listing, expected.max_size, is_warehouse, ui) {
                    remote = Remote::Closed(why, Advice::FileSize);
                }
            }
            _ => {}
        }
        state.remote.insert(dist.filename.clone(), remote);
    }
    Ok(state)
}

/// Why the file is too large. Without a known limit, a larger file in the project
/// shows that its limit was raised.
fn too_large(
    dist: &Dist,
    listing: &Listing,
    max_size: Option<u64>,
    is_warehouse: bool,
    ui: &Ui,
) -> Option<String> {
    let limit = max_size.or(is_warehouse.then_some(LARGEST)).filter(|limit| dist.size > *limit)?;
    let mib = |bytes: u64| bytes.div_ceil(1024 * 1024);
    let what = format!("it has {} MiB, the limit is {} MiB", mib(dist.size), mib(limit));
    match listing.largest.filter(|largest| max_size.is_none() && *largest > LARGEST) {
        Some(largest) => {
            let file = &dist.filename;
            ui.warning(format!(
                "`{file}`: {what} by default; the project has a file of {} MiB",
                mib(largest)
            ));
            None
        }
        None => Some(what),
    }
}

/// Why the index would reject a new file.
fn closed(listing: &Listing, dist: &Dist, now: OffsetDateTime) -> Option<(String, Advice)> {
    match listing.status.as_deref() {
        Some("archived") => return Some(("the project is archived".to_owned(), Advice::Archived)),
        Some("quarantined") => return Some(("the project is quarantined".to_owned(), Advice::Quarantined)),
        _ => {}
    }
    let own = version(&dist.name);
    let same = |name: &str| {
        let name = name.parse::<DistName>().ok();
        name.is_some_and(|name| own.is_some() && version(&name) == own)
    };
    let release: Vec<&ListedFile> =
        listing.files.iter().filter(|(name, _)| same(name)).map(|(_, file)| file).collect();
    if !release.is_empty() && release.iter().all(|file| file.yanked) {
        return Some((format!("the release {} is yanked", dist.version), Advice::Yanked));
    }
    let times =
        release.iter().filter_map(|file| OffsetDateTime::parse(file.uploaded.as_deref()?, &Rfc3339).ok());
    let first = times.min().filter(|first| now - *first > OPEN)?;
    let days = OPEN.whole_days();
    let what =
        format!("the release is from {}, and PyPI accepts no new files after {days} days", first.date());
    Some((what, Advice::OldRelease))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::tests::dist;

    fn listing(name: &str, uploaded: &str) -> Listing {
        let listed = ListedFile {
            url: reqwest::Url::parse("https://index.example/f").unwrap(),
            sha256: None,
            size: None,
            requires_python: None,
            yanked: false,
            provenance: None,
            uploaded: Some(uploaded.to_owned()),
        };
        Listing { exists: true, files: BTreeMap::from([(name.to_owned(), listed)]), ..Listing::default() }
    }

    #[test]
    fn a_release_accepts_files_for_fourteen_days() {
        let now = OffsetDateTime::parse("2026-02-15T00:00:00Z", &Rfc3339).unwrap();
        let dist = dist("a-1.0-py3-none-any.whl", "");
        let closed = |name: &str, time: &str| closed(&listing(name, time), &dist, now).map(|(why, _)| why);
        assert_eq!(closed("a-1.0.tar.gz", "2026-02-02T10:11:12.123456Z"), None);
        let why = closed("a-1.0.tar.gz", "2026-01-31T10:11:12.123456Z").unwrap();
        assert!(why.contains("from 2026-01-31") && why.contains("after 14 days"), "{why}");
        assert!(closed("a-1.tar.gz", "2026-01-01T00:00:00Z").is_some(), "1 and 1.0 are the same version");
        assert_eq!(closed("a-0.9.tar.gz", "2026-01-01T00:00:00Z"), None, "another release");
        assert_eq!(closed("a-1.0.tar.gz", "yesterday"), None);
    }

    #[test]
    fn each_closed_state_has_its_own_hint() {
        let (now, dist) = (OffsetDateTime::now_utc(), dist("a-1.tar.gz", ""));
        let project =
            |status: &str| Listing { status: Some(status.to_owned()), exists: true, ..Listing::default() };
        assert_eq!(closed(&project("archived"), &dist, now).unwrap().1, Advice::Archived);
        assert_eq!(closed(&project("quarantined"), &dist, now).unwrap().1, Advice::Quarantined);
        assert_eq!(closed(&project("deprecated"), &dist, now), None);
        let mut yanked = listing("a-1-py3-none-any.whl", "x");
        yanked.files.values_mut().for_each(|file| file.yanked = true);
        assert_eq!(closed(&yanked, &dist, now).unwrap().1, Advice::Yanked);
    }

    #[test]
    fn recognises_a_raised_limit() {
        let (ui, _) = Ui::captured(&toolkit::Env::default());
        let large = Dist { size: 120 * 1024 * 1024, ..dist("a-1.tar.gz", "") };
        let project = |largest| Listing { exists: true, largest, ..Listing::default() };
        let check =
            |largest, max, warehouse| too_large(&large, &project(largest), max, warehouse, &ui).is_some();
        assert!(check(None, None, true) && check(Some(7), None, true));
        assert!(!check(Some(LARGEST + 1), None, true), "the project has a larger file");
        assert!(!check(None, None, false), "another index has its own limit");
        assert!(!check(None, Some(200 << 20), true) && check(Some(LARGEST + 1), Some(110 << 20), false));
    }
}
