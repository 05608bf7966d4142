//! Checks source distributions, which are never changed.

use std::io::{BufReader, Read};

use pydist::filename::DistName;

use crate::error::Error;

/// The maximum size of an unpacked source distribution.
const MAX_SIZE: u64 = 4 << 30;

/// Checks the name, and that the archive is complete and contains `PKG-INFO`.
pub(crate) fn check(file_name: &str, source: impl Read) -> Result<DistName, Error> {
    let fault = |what: String| Error::Sdist { file: file_name.to_owned(), what };
    let name: DistName = file_name.parse().map_err(|error| fault(format!("{error}")))?;
    let expected = format!("{}/PKG-INFO", file_name.trim_end_matches(".tar.gz"));
    let read_error = |error: std::io::Error| fault(format!("it cannot be unpacked: {error}"));
    let mut decoder = flate2::read::MultiGzDecoder::new(BufReader::new(source)).take(MAX_SIZE);
    let mut has_metadata = false;
    let mut archive = tar::Archive::new(&mut decoder);
    for entry in archive.entries().map_err(read_error)? {
        let entry = entry.map_err(read_error)?;
        let path = entry.path().map_err(read_error)?;
        has_metadata |= path.as_os_str() == expected.as_str();
    }
    // Read the checksum at the end.
    std::io::copy(&mut decoder, &mut std::io::sink()).map_err(read_error)?;
    if has_metadata { Ok(name) } else { Err(fault(format!("it does not contain `{expected}`"))) }
}
