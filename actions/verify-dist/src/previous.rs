//! The files of the previous release, from the Simple API of an index (PEP 503,
//! PEP 691) or from a directory. Used only with `previous`: nothing else in this
//! program needs the network.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use distcheck::{Limits, Published, PublishedFile, scan};
use index::{Client, HttpError, Keep, Retry};
use pydist::digest::hex;
use pydist::filename::DistName;
use pydist::name::ProjectName;
use reqwest::Url;
use serde::{Serialize, Serializer};
use toolkit::{Env, Ui};

use crate::error::Error;
use crate::files::FoundFiles;

/// How long a request is retried.
const RETRY: Duration = Duration::from_secs(10);

/// The release to compare with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Previous {
    /// The Simple API of an index.
    Index(#[serde(serialize_with = "as_text")] Url),
    /// A directory with distributions.
    Directory(PathBuf),
}

fn as_text<S: Serializer>(url: &Url, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(url.as_str())
}

impl Previous {
    /// Parses `pypi`, `testpypi`, a URL or a directory.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        match simple(text) {
            Err(_) if Path::new(text).is_dir() => Ok(Self::Directory(text.into())),
            index => index.map(Self::Index),
        }
    }

    /// The files of each project.
    pub(crate) fn published(
        &self,
        projects: impl Iterator<Item = ProjectName>,
        threads: usize,
        env: &Env,
        ui: &Ui,
    ) -> Result<Published, Error> {
        match self {
            Self::Index(index) => published(index, projects, env, ui),
            Self::Directory(path) => directory(path, threads),
        }
    }
}

fn directory(path: &Path, threads: usize) -> Result<Published, Error> {
    let paths = FoundFiles::read(&[path.to_owned()])?.files;
    let mut published = Published::new();
    for dist in scan(&paths, &Limits::default(), threads)? {
        let Ok(name) = dist.name.clone() else { continue };
        let project = name.project();
        let requires = dist.metadata().and_then(|metadata| metadata.headers.get("Requires-Python"));
        let file = PublishedFile {
            filename: dist.filename.clone(),
            name,
            sha256: Some(hex(&dist.sha256)),
            requires_python: requires.map(str::to_owned),
            yanked: false,
        };
        published.entry(project).or_default().push(file);
    }
    Ok(published)
}

/// The URL of the Simple API of `pypi`, `testpypi` or a URL.
fn simple(text: &str) -> Result<Url, Error> {
    index::simple_api(text, true).map_err(|_| Error::Previous(text.to_owned()))
}

/// Lists each project on the index. An unknown project has no files.
fn published(
    simple: &Url,
    projects: impl Iterator<Item = ProjectName>,
    env: &Env,
    ui: &Ui,
) -> Result<Published, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| Error::Runtime { source })?;
    let agent = concat!("verify-dist/", env!("CARGO_PKG_VERSION"));
    let client = Client::new(agent, env, Retry::within(RETRY), ui).map_err(Error::Client)?;
    let keep: Keep = Arc::new(|name, _| name.parse::<DistName>().is_ok());
    runtime.block_on(async {
        let mut published = Published::new();
        for project in projects {
            let page = index::project_page(simple, &project);
            let failed = |source: HttpError| Error::Index { url: page.to_string(), source };
            let listing = index::list(&client, &page, None, &keep).await.map_err(failed)?;
            let files = listing.files.into_iter().filter_map(|(filename, file)| {
                let name = filename.parse().ok()?;
                let (sha256, requires_python) = (file.sha256, file.requires_python);
                Some(PublishedFile { filename, name, sha256, requires_python, yanked: file.yanked })
            });
            published.insert(project, files.collect());
        }
        Ok(published)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_insecure_urls() {
        assert_eq!(simple("pypi").unwrap().path(), "/simple/");
        assert_eq!(simple("http://127.0.0.1:1/simple").unwrap().path(), "/simple/");
        for bad in ["http://index.example/simple", "ftp://x/", "pypy"] {
            assert!(simple(bad).is_err(), "{bad}");
        }
    }
}
