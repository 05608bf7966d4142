//! Room for a search path in an ELF file that has none, or a short one: made by
//! patchelf, as auditwheel has it made. The edit itself is in place.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use pydist::zip::Content;

/// An absolute path that goes with the edit, as long as any way to a
/// directory of libraries.
fn placeholder() -> String {
    format!("/{}", "x".repeat(120))
}

/// Adds room to the search path; tells whether that was possible.
pub(super) fn make(content: &mut Content, search_path: &str, scratch: &Path) -> io::Result<bool> {
    let directory = tempfile::tempdir_in(scratch)?;
    let path = directory.path().join("binary");
    std::fs::write(&path, content.to_vec()?)?;
    let new = if search_path.is_empty() { placeholder() } else { format!("{search_path}:{}", placeholder()) };
    let mut patchelf = Command::new("patchelf");
    patchelf.args(["--set-rpath", &new]).arg(&path);
    let is_done =
        patchelf.stdin(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if is_done {
        *content = Content::copy(std::fs::read(&path)?.as_slice(), scratch)?;
    }
    Ok(is_done)
}
