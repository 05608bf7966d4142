//! Validates URLs and hides their secrets.

use reqwest::Url;

/// Why an index cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// Neither a known word nor a URL.
    #[error("expected `pypi`, `testpypi` or a URL, found `{0}`")]
    Unknown(String),
    /// A Simple API was given for an index whose own is known.
    #[error("`simple-url` is not allowed for `{0}`")]
    Simple(String),
    /// A URL with a user or password in it.
    #[error("a URL must not contain a user or password: use `username` and `password`")]
    Credentials,
    /// A URL with a query or fragment in it.
    #[error("a URL must not contain a query or fragment")]
    Query,
    /// Plain HTTP.
    #[error("expected an https URL, found `{0}`")]
    Insecure(String),
    /// Plain HTTP to this machine without permission.
    #[error("plain http to this machine is allowed only with `allow-insecure-loopback: true`: `{0}`")]
    Loopback(String),
}

/// `url` without credentials, query and fragment, which may be secret.
pub fn without_secrets(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Fails only for URLs without a host, which have no credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

/// Whether the host of `url` is this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        None => false,
    }
}

/// Whether both have the same scheme, host and port.
pub fn same_origin(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin()
}

/// Parses a URL for requests: https, or with `insecure_loopback` also plain HTTP to this
/// machine, without credentials.
pub fn checked(text: &str, insecure_loopback: bool) -> Result<Url, IndexError> {
    let url = Url::parse(text).ok().filter(Url::has_host);
    let url = url.ok_or_else(|| IndexError::Unknown(text.to_owned()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(IndexError::Credentials);
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) && insecure_loopback => Ok(url),
        "http" if is_loopback(&url) => Err(IndexError::Loopback(text.to_owned())),
        _ => Err(IndexError::Insecure(text.to_owned())),
    }
}

/// `url` with a trailing slash, and without query and fragment.
pub(crate) fn directory(mut url: Url) -> Url {
    url.set_query(None);
    url.set_fragment(None);
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    url
}
