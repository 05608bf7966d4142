//! Source distributions: checked, never changed.

use std::io::Read as _;

use pydist::filename::DistName;

use crate::error::Error;

/// The most that a source distribution may unpack to.
const LIMIT: u64 = 4 << 30;

/// Checks the name, and that the archive is whole and holds `PKG-INFO`.
pub(crate) fn check(file_name: &str, bytes: &[u8]) -> Result<DistName, Error> {
    let fault = |what: String| Error::Sdist { file: file_name.to_owned(), what };
    let name: DistName = file_name.parse().map_err(|error| fault(format!("{error}")))?;
    let mut content = Vec::new();
    let mut decoder = flate2::read::MultiGzDecoder::new(bytes).take(LIMIT);
    decoder.read_to_end(&mut content).map_err(|error| fault(format!("it cannot be unpacked: {error}")))?;
    let expected = format!("{}/PKG-INFO", file_name.trim_end_matches(".tar.gz"));
    let mut archive = tar::Archive::new(&*content);
    let entries = archive.entries().map_err(|error| fault(error.to_string()))?;
    for entry in entries {
        let entry = entry.map_err(|error| fault(format!("its archive cannot be read: {error}")))?;
        let path = entry.path().map_err(|error| fault(format!("its archive cannot be read: {error}")))?;
        if path.as_os_str() == expected.as_str() {
            return Ok(name);
        }
    }
    Err(fault(format!("it holds no `{expected}`")))
}
