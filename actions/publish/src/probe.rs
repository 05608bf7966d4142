//! What the index has under the names of our files, and whether it would take
//! those that it lacks.

use std::collections::{BTreeMap, BTreeSet};

use pydist::filename::DistName;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};
use toolkit::Ui;

use crate::auth::Basic;
use crate::error::Error;
use crate::http::{Http, HttpError};
use crate::index::Index;
use crate::inspect::Dist;
use crate::plan::Remote;
use crate::simple::{self, Listed, Listing};

/// PyPI takes no new file for a release that is older
/// (its documentation, "Uploading new files to releases").
const OPEN: Duration = Duration::days(14);

/// What the index was found to have.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// By the project's normalised name.
    pub(crate) listings: BTreeMap<String, Listing>,
    /// By file name.
    pub(crate) remote: BTreeMap<String, Remote>,
}

impl Found {
    /// What the index lists under the name of `dist`.
    pub(crate) fn listed(&self, dist: &Dist) -> Option<&Listed> {
        self.listings.get(&dist.project)?.files.get(&dist.filename)
    }

    /// Our projects that the index does not know.
    pub(crate) fn new_projects(&self) -> impl Iterator<Item = &str> {
        self.listings.iter().filter(|(_, listing)| !listing.exists).map(|(name, _)| name.as_str())
    }
}

/// Asks about each project once.
pub(crate) async fn probe(
    index: &Index,
    http: &Http,
    ui: &Ui,
    dists: &[Dist],
    basic: Option<&Basic>,
) -> Result<Found, Error> {
    let mut found = Found::default();
    let mut old = BTreeSet::new();
    for dist in dists {
        let project = dist.project.as_str();
        let failed = |source| Error::Probe { index: index.to_string(), project: project.to_owned(), source };
        if !found.listings.contains_key(project) {
            let listing = simple::list(http, index, project, basic).await.map_err(failed)?;
            found.listings.insert(project.to_owned(), listing);
        }
        let listing = &found.listings[project];
        let mut state = compare(http, listing, dist).await.map_err(failed)?;
        if state == Remote::Same && listing.files.get(&dist.filename).is_some_and(|listed| listed.yanked) {
            ui.warning(format!("{index} has `{}` already, and lists it as yanked", dist.filename));
        }
        if state == Remote::Absent
            && let Some(why) = closed(listing, dist, OffsetDateTime::now_utc())
        {
            if index.known.is_some() || listing.warehouse {
                state = Remote::Closed(why);
            } else if old.insert((project, &dist.version)) {
                ui.warning(format!("{project} {}: {why}; {index} may refuse it too", dist.version));
            }
        }
        found.remote.insert(dist.filename.clone(), state);
    }
    Ok(found)
}

/// What is there under the name of `dist`.
pub(crate) async fn compare(http: &Http, listing: &Listing, dist: &Dist) -> Result<Remote, HttpError> {
    if let Some(listed) = listing.files.get(&dist.filename) {
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
    let twin = listing.files.iter().find(|(_, listed)| listed.sha256.as_ref() == Some(&dist.sha256));
    Ok(match twin {
        Some((name, _)) => Remote::Different(format!("there the same bytes are called `{name}`")),
        None => Remote::Absent,
    })
}

/// Why PyPI would refuse a file that it lacks.
fn closed(listing: &Listing, dist: &Dist, now: OffsetDateTime) -> Option<String> {
    if let Some(status @ ("archived" | "quarantined")) = listing.status.as_deref() {
        return Some(format!("its project is {status} there, and takes no files"));
    }
    let version = |name: &DistName| name.version().replace('_', "-").parse::<pep440_rs::Version>().ok();
    let own = version(&dist.name);
    let same = listing.files.iter().filter(|(name, _)| {
        let name = name.parse::<DistName>().ok();
        name.is_some_and(|name| own.is_some() && version(&name) == own)
    });
    let times =
        same.filter_map(|(_, listed)| OffsetDateTime::parse(listed.uploaded.as_deref()?, &Rfc3339).ok());
    let first = times.min().filter(|first| now - *first > OPEN)?;
    Some(format!(
        "its release is of {}, and PyPI takes no new files for one older than {} days",
        first.date(),
        OPEN.whole_days()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::tests::dist;

    fn listing(name: &str, uploaded: &str) -> Listing {
        let listed = Listed {
            url: reqwest::Url::parse("https://index.example/f").unwrap(),
            sha256: None,
            yanked: false,
            provenance: None,
            uploaded: Some(uploaded.to_owned()),
        };
        Listing { exists: true, files: BTreeMap::from([(name.to_owned(), listed)]), ..Listing::default() }
    }

    #[test]
    fn a_release_is_open_for_fourteen_days() {
        let now = OffsetDateTime::parse("2026-02-15T00:00:00Z", &Rfc3339).unwrap();
        let dist = dist("a-1.0-py3-none-any.whl", "");
        let closed = |name: &str, time: &str| closed(&listing(name, time), &dist, now);
        assert_eq!(closed("a-1.0.tar.gz", "2026-02-02T10:11:12.123456Z"), None);
        let why = closed("a-1.0.tar.gz", "2026-01-31T10:11:12.123456Z").unwrap();
        assert!(why.contains("of 2026-01-31") && why.contains("older than 14 days"), "{why}");
        assert!(closed("a-1.tar.gz", "2026-01-01T00:00:00Z").is_some(), "1 and 1.0 are the same version");
        assert_eq!(closed("a-0.9.tar.gz", "2026-01-01T00:00:00Z"), None, "another release");
        assert_eq!(closed("a-1.0.tar.gz", "yesterday"), None);
    }

    #[test]
    fn an_archived_project_takes_nothing() {
        let listing = Listing { status: Some("archived".to_owned()), exists: true, ..Listing::default() };
        let why = closed(&listing, &dist("a-1.tar.gz", ""), OffsetDateTime::now_utc());
        assert!(why.unwrap().contains("archived"));
    }
}
