//! Source distributions: checked, never changed.

use std::io::{BufReader, Read};

use pydist::filename::DistName;

use crate::error::Error;

/// The most that a source distribution may unpack to.
const LIMIT: u64 = 4 << 30;

/// Checks the name, and that the archive is whole and holds `PKG-INFO`.
pub(crate) fn check(file_name: &str, source: impl Read) -> Result<DistName, Error> {
    let fault = |what: String| Error::Sdist { file: file_name.to_owned(), what };
    let name: DistName = file_name.parse().map_err(|error| fault(format!("{error}")))?;
    let expected = format!("{}/PKG-INFO", file_name.trim_end_matches(".tar.gz"));
    let unread = |error: std::io::Error| fault(format!("it cannot be unpacked: {error}"));
    let mut decoder = flate2::read::MultiGzDecoder::new(BufReader::new(source)).take(LIMIT);
    let mut has_metadata = false;
    let mut archive = tar::Archive::new(&mut decoder);
    for entry in archive.entries().map_err(unread)? {
        let entry = entry.map_err(unread)?;
        let path = entry.path().map_err(unread)?;
        has_metadata |= path.as_os_str() == expected.as_str();
    }
    // The checksum is at the end.
    std::io::copy(&mut decoder, &mut std::io::sink()).map_err(unread)?;
    if has_metadata { Ok(name) } else { Err(fault(format!("it holds no `{expected}`"))) }
}
