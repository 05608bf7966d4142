//! The URLs of indexes, and the audiences that they may request.

use std::fmt;

use pydist::name::ProjectName;
use reqwest::Url;
use serde::Serialize;

use crate::url::{IndexError, checked, directory};

/// An index that distributions are sent to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Index {
    /// `pypi`, `testpypi`, or the host of another index.
    pub name: String,
    /// The legacy upload API.
    #[serde(serialize_with = "as_text")]
    pub upload: Url,
    /// The Simple API (PEP 503, PEP 691), with a trailing slash.
    #[serde(serialize_with = "as_text")]
    pub simple: Url,
    /// The known index that it is, if any.
    #[serde(skip)]
    pub known: Option<KnownIndex>,
}

fn as_text<S: serde::Serializer>(url: &Url, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(url.as_str())
}

/// The indexes whose hosts and rules are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownIndex {
    /// The Python Package Index.
    PyPI,
    /// Its test instance.
    TestPyPI,
}

impl KnownIndex {
    const ALL: [Self; 2] = [Self::PyPI, Self::TestPyPI];

    /// Its name in inputs, which is also the audience of its tokens.
    pub fn word(self) -> &'static str {
        match self {
            Self::PyPI => "pypi",
            Self::TestPyPI => "testpypi",
        }
    }

    /// The hosts of the upload API and of the Simple API.
    fn hosts(self) -> (String, String) {
        // Composed, so that a search of the sources for the host finds only unintended uses.
        let domain = format!("{}.org", "pypi");
        match self {
            Self::PyPI => (format!("upload.{domain}"), domain),
            Self::TestPyPI => (format!("test.{domain}"), format!("test.{domain}")),
        }
    }

    fn of(url: &Url) -> Option<Self> {
        let host = url.host_str()?;
        let same = |known: &Self| known.hosts().0 == host || known.hosts().1 == host;
        Self::ALL.into_iter().find(same)
    }
}

impl Index {
    /// Parses a word or the URL of an upload API. Without `simple`, the Simple API is assumed
    /// to be beside an upload API named `legacy/`, otherwise below it.
    pub fn parse(text: &str, simple: Option<&str>, insecure_loopback: bool) -> Result<Self, IndexError> {
        let known = KnownIndex::ALL.into_iter().find(|known| known.word() == text);
        if let Some(known) = known {
            if simple.is_some() {
                return Err(IndexError::Simple(text.to_owned()));
            }
            let (upload, simple) = known.hosts();
            let url = |text: String| Url::parse(&text).map_err(|_| IndexError::Unknown(text));
            return Ok(Self {
                name: text.to_owned(),
                upload: url(format!("https://{upload}/legacy/"))?,
                simple: url(format!("https://{simple}/simple/"))?,
                known: Some(known),
            });
        }
        let upload = checked(text, insecure_loopback)?;
        if upload.query().is_some() || upload.fragment().is_some() {
            return Err(IndexError::Query);
        }
        if let Some(known) = KnownIndex::of(&upload) {
            return Self::parse(known.word(), simple, insecure_loopback);
        }
        let simple = match simple {
            Some(simple) => directory(checked(simple, insecure_loopback)?),
            None => beside_or_below(&upload),
        };
        let name = upload.host_str().unwrap_or_default().to_owned();
        Ok(Self { name, upload, simple, known: None })
    }

    /// A URL on the upload host, such as its OIDC endpoints.
    pub fn at_host(&self, path: &str) -> Url {
        let mut url = self.upload.clone();
        url.set_path(path);
        url.set_query(None);
        url.set_fragment(None);
        url
    }

    /// The URL of a project's page in the Simple API.
    pub fn project(&self, name: &ProjectName) -> Url {
        project_page(&self.simple, name)
    }

    /// The web page of a release, if known.
    pub fn page(&self, project: &ProjectName, version: &str) -> Option<String> {
        let (_, host) = self.known?.hosts();
        Some(format!("https://{host}/project/{project}/{version}/"))
    }

    /// The web page to register a pending publisher, if known.
    pub fn publishing_page(&self) -> Option<String> {
        let (_, host) = self.known?.hosts();
        Some(format!("https://{host}/manage/account/publishing/"))
    }

    /// The audience of the token to request, if the index asks for `asked`. Anyone who receives
    /// a token for PyPI's audience can use it at PyPI, so each known audience is only for its
    /// own host. Other indexes may ask for their own host name or the `allowed` audience.
    pub fn audience<'a>(&self, asked: &'a str, allowed: Option<&str>) -> Result<&'a str, AudienceError> {
        let error = |expected: String| AudienceError {
            index: self.name.clone(),
            asked: shorten(asked),
            expected,
            taken: false,
        };
        if let Some(known) = self.known {
            return if asked == known.word() { Ok(asked) } else { Err(error(format!("`{}`", known.word()))) };
        }
        let taken = ["sigstore"].into_iter().chain(KnownIndex::ALL.map(KnownIndex::word));
        let mut taken = taken.filter(|taken| asked.eq_ignore_ascii_case(taken));
        if taken.next().is_some() {
            let expected = "one that does not belong to another service".to_owned();
            return Err(AudienceError { taken: true, ..error(expected) });
        }
        let host = self.upload.host_str().unwrap_or_default();
        match allowed {
            Some(allowed) if asked == allowed => Ok(asked),
            Some(allowed) => Err(error(format!("`{allowed}`"))),
            None if asked == host => Ok(asked),
            None => Err(error(format!("its own host name `{host}`, or what `oidc-audience` allows"))),
        }
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known {
            Some(KnownIndex::PyPI) => f.write_str("PyPI"),
            Some(KnownIndex::TestPyPI) => f.write_str("TestPyPI"),
            None => write!(f, "{}", self.upload),
        }
    }
}

/// The URL of a project's page below a Simple API.
pub fn project_page(simple: &Url, name: &ProjectName) -> Url {
    let mut url = simple.clone();
    url.set_path(&format!("{}{name}/", simple.path()));
    url
}

/// The Simple API of `pypi` or `testpypi`, or a URL.
pub fn simple_api(text: &str, insecure_loopback: bool) -> Result<Url, IndexError> {
    match KnownIndex::ALL.into_iter().find(|known| known.word() == text) {
        Some(known) => Ok(Index::parse(known.word(), None, false)?.simple),
        None => Ok(directory(checked(text, insecure_loopback)?)),
    }
}

/// Shortens untrusted text for a message.
fn shorten(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// An index asks for a token of another service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{index}` asks for an identity token with the audience `{asked}`; expected {expected}")]
pub struct AudienceError {
    index: String,
    asked: String,
    expected: String,
    /// Whether the audience belongs to another service and therefore cannot be allowed.
    pub taken: bool,
}

/// The Simple API of an upload API: beside it if it is named `legacy/`, otherwise below it.
fn beside_or_below(upload: &Url) -> Url {
    let mut url = directory(upload.clone());
    let path = url.path().strip_suffix("legacy/").unwrap_or(url.path());
    let path = format!("{path}simple/");
    url.set_path(&path);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(text: &str) -> Index {
        Index::parse(text, None, true).unwrap()
    }

    #[test]
    fn the_hosts_of_known_indexes_are_correct() {
        let parts = |url: &Url| url.host_str().unwrap().split('.').map(str::to_owned).collect::<Vec<_>>();
        let (pypi, test) = (index("pypi"), index("testpypi"));
        assert_eq!(parts(&pypi.upload), ["upload", "pypi", "org"]);
        assert_eq!(parts(&pypi.simple), ["pypi", "org"]);
        assert_eq!(parts(&test.upload), ["test", "pypi", "org"]);
        assert_eq!(parts(&test.simple), ["test", "pypi", "org"]);
        assert_eq!((pypi.upload.path(), pypi.simple.path()), ("/legacy/", "/simple/"));
        assert_eq!(index(pypi.upload.as_str()), pypi, "the URL and the word are the same index");
        assert_eq!(test.at_host("/_/oidc/audience").path(), "/_/oidc/audience");
    }

    #[test]
    fn finds_the_simple_api() {
        let simple = |text: &str| index(text).simple.path().to_owned();
        assert_eq!(simple("https://a.example/"), "/simple/");
        assert_eq!(simple("https://a.example/legacy/"), "/simple/");
        assert_eq!(simple("https://a.example/x/pypi"), "/x/pypi/simple/");
        let devpi = Index::parse("https://a.example/u/dev/", Some("https://a.example/u/dev/+simple"), false);
        assert_eq!(
            devpi.unwrap().project(&ProjectName::new("htty-core")).path(),
            "/u/dev/+simple/htty-core/"
        );
    }

    #[test]
    fn an_audience_is_only_for_its_own_host() {
        assert_eq!(index("pypi").audience("pypi", None), Ok("pypi"));
        assert!(index("pypi").audience("testpypi", None).is_err());
        assert!(index("testpypi").audience("pypi", None).is_err());
        let other = index("https://index.example/legacy/");
        for stolen in ["pypi", "PyPI", "testpypi", "sigstore"] {
            assert!(other.audience(stolen, None).is_err());
            assert!(other.audience(stolen, Some(stolen)).is_err(), "not even if allowed");
        }
        assert!(other.audience("sts.amazonaws.com", None).is_err());
        assert_eq!(other.audience("index.example", None), Ok("index.example"));
        assert_eq!(other.audience("corp", Some("corp")), Ok("corp"));
        assert!(other.audience("index.example", Some("corp")).is_err());
    }

    #[test]
    fn rejects_credentials_in_a_url() {
        let error = Index::parse("https://user:secret@a.example/", None, false).unwrap_err();
        assert_eq!(error, IndexError::Credentials);
        assert!(!error.to_string().contains("secret"));
    }
}
