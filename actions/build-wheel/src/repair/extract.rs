//! Unpacks a wheel like an installer.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use super::archive::{self, ArchiveError};
use super::error::WheelError;
use super::layout::{Root, installed};

/// Unpacks the wheel `<package>-<version>` as an installer would, into the
/// prefix `data` and the `site-packages` directory `site`.
pub fn extract(wheel: &Path, stem: &str, data: &Path, site: &Path) -> Result<(), WheelError> {
    let write = |error: io::Error| WheelError::Archive(ArchiveError::Write(error));
    let source = File::open(wheel).map_err(write)?;
    for member in archive::open(&source)? {
        let (root, path) = installed(stem, &member.name);
        let to = match root {
            Root::Site => site.join(&*path),
            Root::Data => data.join(&*path),
            Root::Headers => data.join("include").join(&*path),
        };
        std::fs::create_dir_all(to.parent().unwrap_or(&to)).map_err(write)?;
        let mut file = File::create(&to).map_err(write)?;
        archive::read(&member, &source, |bytes| file.write_all(bytes))?;
    }
    Ok(())
}
