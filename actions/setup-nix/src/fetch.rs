//! A file from the network: retried, resumed, hashed as it comes.

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

/// How often a download is begun or gone on with.
const ATTEMPTS: u32 = 5;
/// The largest tarball that is read: 20 times an official one.
const LIMIT: u64 = 1 << 30;

/// Makes `to` hold what `source` (a path or a URL) gives, if its SHA-256 is
/// `expected`; a `to` that already does is kept. `plain_http` lets this machine
/// be asked without TLS, which only tests do.
pub fn fetch(source: &str, expected: Sha256Bytes, to: &Path, plain_http: bool, ui: &Ui) -> Result<(), Error> {
    // What is kept may come from an archive: a pipe would never end.
    if std::fs::symlink_metadata(to).is_ok_and(|meta| meta.is_file() && meta.len() <= LIMIT)
        && let Ok(file) = File::open(to)
        && sha256_reader(file).is_ok_and(|(found, _)| found == expected)
    {
        return Ok(());
    }
    if std::fs::symlink_metadata(to).is_ok_and(|meta| meta.is_dir()) {
        crate::tree::remove(to).map_err(FileError::new("remove", to))?;
    }
    let folder = to.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(FileError::new("create", folder))?;
    let mut part = tempfile::Builder::new()
        .prefix(".tmp-")
        .tempfile_in(folder)
        .map_err(FileError::new("create a file in", folder))?;
    let found = if source.contains("://") {
        download(source, part.as_file_mut(), plain_http, ui)?
    } else {
        let mut copy = || {
            let mut from = File::open(source)?.take(LIMIT);
            io::copy(&mut from, &mut part)?;
            part.rewind()?;
            sha256_reader(part.as_file_mut())
        };
        match copy() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::Plan {
                    message: format!("the input `tarball` names `{source}`, which is not there"),
                    hint: "give the path of a file, or an https address".into(),
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
        return Err(failed("expected a path or an https address".into()));
    }
    let client = Client::builder()
        .https_only(url.starts_with("https://"))
        .connect_timeout(Duration::from_secs(20))
        // Of each read, not of the whole.
        .timeout(Some(Duration::from_secs(600)))
        .user_agent(concat!("setup-nix/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| failed(error.into()))?;
    let mut state = State { hasher: Sha256::new(), size: 0, etag: None };
    let mut attempt = 1;
    loop {
        match state.go_on(&client, url, to) {
            Ok(()) => return Ok(state.hasher.finalize().into()),
            Err(Fault::Final(error)) => return Err(failed(error)),
            Err(Fault::Passing(error)) if attempt == ATTEMPTS => return Err(failed(error)),
            Err(Fault::Passing(error)) => {
                ui.info(format!(
                    "attempt {attempt} of {ATTEMPTS} failed after {} bytes: {error}",
                    state.size
                ));
                std::thread::sleep(Duration::from_millis(250) * 2_u32.pow(attempt));
                attempt += 1;
            }
        }
    }
}

enum Fault {
    Passing(Box<dyn std::error::Error + Send + Sync>),
    Final(Box<dyn std::error::Error + Send + Sync>),
}

/// How far a download has come.
struct State {
    hasher: Sha256,
    size: u64,
    etag: Option<String>,
}

impl State {
    fn go_on(&mut self, client: &Client, url: &str, to: &mut File) -> Result<(), Fault> {
        let passing = |error: reqwest::Error| Fault::Passing(Box::new(error));
        let file = |error: io::Error| Fault::Final(Box::new(error));
        let mut request = client.get(url);
        // Without an ETag it could be the rest of another file.
        if let (1.., Some(etag)) = (self.size, &self.etag) {
            request = request.header(RANGE, format!("bytes={}-", self.size)).header(IF_RANGE, etag);
        }
        let mut response = request.send().map_err(passing)?;
        let goes_on = response.status() == StatusCode::PARTIAL_CONTENT && starts_at(&response, self.size);
        if !goes_on {
            let status = response.status();
            if status.is_client_error() && !matches!(status.as_u16(), 408 | 416 | 429) {
                return Err(Fault::Final(format!("the server answered {status}").into()));
            }
            *self = Self { hasher: Sha256::new(), size: 0, etag: strong_etag(&response) };
            to.set_len(0).and_then(|()| to.rewind()).map_err(file)?;
            if status != StatusCode::OK {
                return Err(Fault::Passing(format!("the server answered {status}").into()));
            }
        }
        let mut buffer = vec![0; 128 * 1024];
        loop {
            let count = response.read(&mut buffer).map_err(|error| Fault::Passing(Box::new(error)))?;
            if count == 0 {
                return Ok(());
            }
            self.hasher.update(&buffer[..count]);
            self.size += count as u64;
            if self.size > LIMIT {
                return Err(Fault::Final(format!("it is longer than {LIMIT} bytes").into()));
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
