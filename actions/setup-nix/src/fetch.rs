//! Downloads a file with retries and resumption, hashing it on the way.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use pydist::digest::{Sha256Bytes, hex, sha256_reader};
use reqwest::StatusCode;
use reqwest::blocking::{Client, Response};
use reqwest::header::{ETAG, IF_RANGE, RANGE};
use sha2::{Digest as _, Sha256};
use toolkit::{FileError, Ui};

use crate::error::Error;

/// How often a download is started or resumed.
const ATTEMPTS: u32 = 5;
/// In bytes: 20 times an official tarball.
const MAX_SIZE: u64 = 1 << 30;

/// Copies `source` (a path or a URL) to `to` if its SHA-256 is `expected`; an existing `to`
/// with that hash is kept. `plain_http` allows unencrypted HTTP to 127.0.0.1, for tests.
pub fn fetch(source: &str, expected: Sha256Bytes, to: &Path, plain_http: bool, ui: &Ui) -> Result<(), Error> {
    // `to` may come from a restored archive; a pipe would block forever.
    if std::fs::symlink_metadata(to).is_ok_and(|meta| meta.is_file() && meta.len() <= MAX_SIZE)
        && let Ok(file) = File::open(to)
        && sha256_reader(file).is_ok_and(|(found, _)| found == expected)
    {
        return Ok(());
    }
    if std::fs::symlink_metadata(to).is_ok_and(|meta| meta.is_dir()) {
        crate::tree::remove(to).map_err(FileError::new("remove", to))?;
    }
    let dir = to.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir).map_err(FileError::new("create", dir))?;
    let mut part = tempfile::Builder::new()
        .prefix(".tmp-")
        .tempfile_in(dir)
        .map_err(FileError::new("create a file in", dir))?;
    let found = if source.contains("://") {
        download(source, part.as_file_mut(), plain_http, ui)?
    } else {
        let mut copy = || {
            let mut from = File::open(source)?.take(MAX_SIZE);
            io::copy(&mut from, &mut part)?;
            part.rewind()?;
            sha256_reader(part.as_file_mut())
        };
        match copy() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::Plan {
                    message: format!("the `tarball` `{source}` does not exist"),
                    hint: "set `tarball` to an existing file or an https URL".into(),
                });
            }
            copied => copied.map_err(FileError::new("copy", source))?.0,
        }
    };
    if found != expected {
        return Err(Error::Hash { source_name: source.into(), found: hex(&found), expected: hex(&expected) });
    }
    part.persist(to).map_err(|error| FileError::new("write", to)(error.error))?;
    Ok(())
}

fn download(url: &str, to: &mut File, plain_http: bool, ui: &Ui) -> Result<Sha256Bytes, Error> {
    let failed =
        |source: Box<dyn std::error::Error + Send + Sync>| Error::Download { url: url.into(), source };
    let allowed = url.starts_with("https://") || (plain_http && url.starts_with("http://127.0.0.1:"));
    if !allowed {
        return Err(failed("expected a path or an https URL".into()));
    }
    let client = Client::builder()
        .https_only(url.starts_with("https://"))
        .connect_timeout(Duration::from_secs(20))
        // Applies to each read, not to the whole download.
        .timeout(Some(Duration::from_secs(600)))
        .user_agent(concat!("setup-nix/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| failed(error.into()))?;
    let mut download = Download { hasher: Sha256::new(), size: 0, etag: None };
    let mut attempt = 1;
    loop {
        match download.resume(&client, url, to) {
            Ok(()) => return Ok(download.hasher.finalize().into()),
            Err(DownloadError::Permanent(error)) => return Err(failed(error)),
            Err(DownloadError::Transient(error)) if attempt == ATTEMPTS => return Err(failed(error)),
            Err(DownloadError::Transient(error)) => {
                ui.info(format!(
                    "attempt {attempt} of {ATTEMPTS} failed after {} bytes: {error}",
                    download.size
                ));
                std::thread::sleep(Duration::from_millis(250) * 2_u32.pow(attempt));
                attempt += 1;
            }
        }
    }
}

enum DownloadError {
    Transient(Box<dyn std::error::Error + Send + Sync>),
    Permanent(Box<dyn std::error::Error + Send + Sync>),
}

/// The progress of a download.
struct Download {
    hasher: Sha256,
    size: u64,
    etag: Option<String>,
}

impl Download {
    /// Requests the rest of the file, or all of it if the server cannot resume.
    fn resume(&mut self, client: &Client, url: &str, to: &mut File) -> Result<(), DownloadError> {
        let transient = |error: reqwest::Error| DownloadError::Transient(Box::new(error));
        let file = |error: io::Error| DownloadError::Permanent(Box::new(error));
        let mut request = client.get(url);
        // Without an ETag, the file may have changed since.
        if let (1.., Some(etag)) = (self.size, &self.etag) {
            request = request.header(RANGE, format!("bytes={}-", self.size)).header(IF_RANGE, etag);
        }
        let mut response = request.send().map_err(transient)?;
        let resumed = response.status() == StatusCode::PARTIAL_CONTENT && starts_at(&response, self.size);
        if !resumed {
            let status = response.status();
            if status.is_client_error() && !matches!(status.as_u16(), 408 | 416 | 429) {
                return Err(DownloadError::Permanent(format!("the server returned {status}").into()));
            }
            *self = Self { hasher: Sha256::new(), size: 0, etag: strong_etag(&response) };
            to.set_len(0).and_then(|()| to.rewind()).map_err(file)?;
            if status != StatusCode::OK {
                return Err(DownloadError::Transient(format!("the server returned {status}").into()));
            }
        }
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let count =
                response.read(&mut buffer).map_err(|error| DownloadError::Transient(Box::new(error)))?;
            if count == 0 {
                return Ok(());
            }
            self.hasher.update(&buffer[..count]);
            self.size += count as u64;
            if self.size > MAX_SIZE {
                return Err(DownloadError::Permanent(
                    format!("the file is longer than {MAX_SIZE} bytes").into(),
                ));
            }
            to.write_all(&buffer[..count]).map_err(file)?;
        }
    }
}

fn strong_etag(response: &Response) -> Option<String> {
    let etag = response.headers().get(ETAG)?.to_str().ok()?;
    (!etag.starts_with("W/")).then(|| etag.to_owned())
}

fn starts_at(response: &Response, offset: u64) -> bool {
    let range = response.headers().get("content-range").and_then(|range| range.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {offset}-")))
}
