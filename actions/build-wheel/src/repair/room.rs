//! Makes room for a search path in an ELF file with patchelf, like auditwheel,
//! if the file has no search path or a short one. The edit itself is in place.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use pydist::zip::Content;

/// An absolute path that the edit removes, longer than any relative path to the
/// libraries.
fn placeholder() -> String {
    format!("/{}", "x".repeat(120))
}

/// Makes room in the search path. Returns whether that was possible.
pub(super) fn make(content: &mut Content, search_path: &str, scratch: &Path) -> io::Result<bool> {
    let directory = tempfile::tempdir_in(scratch)?;
    let path = directory.path().join("binary");
    std::fs::write(&path, content.to_vec()?)?;
    let new = if search_path.is_empty() { placeholder() } else { format!("{search_path}:{}", placeholder()) };
    let mut patchelf = Command::new("patchelf");
    patchelf.args(["--set-rpath", &new]).arg(&path);
    let succeeded =
        patchelf.stdin(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if succeeded {
        *content = Content::copy(std::fs::read(&path)?.as_slice(), scratch)?;
    }
    Ok(succeeded)
}
