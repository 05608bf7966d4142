//! What the index has of the packages, by the Simple API, as JSON (PEP 691)
//! or HTML (PEP 503). Asked only where `previous` is given: everything else
//! that this program does needs no network.

use std::sync::Arc;
use std::time::Duration;

use distcheck::{Published, PublishedFile};
use index::{Client, HttpError, Keep, Retry};
use pydist::filename::DistName;
use reqwest::Url;
use toolkit::{Env, Ui};

use crate::error::Error;

/// How long a request is retried.
const RETRY: Duration = Duration::from_secs(10);

/// The Simple API's address of `pypi`, `testpypi` or a URL.
pub(crate) fn simple(text: &str) -> Result<Url, Error> {
    index::simple_api(text, true).map_err(|_| Error::Previous(text.to_owned()))
}

/// Asks the index for each project (normalised names). One that it does not
/// know has no files.
pub(crate) fn published(
    simple: &Url,
    projects: impl Iterator<Item = String>,
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
                Some(PublishedFile { filename, name, sha256: file.sha256, yanked: file.yanked })
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
    fn only_safe_addresses_are_asked() {
        assert_eq!(simple("pypi").unwrap().path(), "/simple/");
        assert_eq!(simple("http://127.0.0.1:1/simple").unwrap().path(), "/simple/");
        for bad in ["http://index.example/simple", "ftp://x/", "pypy"] {
            assert!(simple(bad).is_err(), "{bad}");
        }
    }
}
