//! Copies directories, where links to them are not allowed.

use std::io;
use std::path::{Path, PathBuf};

/// Copies the directory `from`, with the content of linked files and directories. `to` must not
/// exist.
pub(super) fn copy_directory(from: &Path, to: &Path) -> io::Result<()> {
    copy(from, to, &mut Vec::new())
}

/// Copies what the link `from` leads to.
pub(super) fn copy_target(from: &Path, to: &Path, is_directory: bool) -> io::Result<()> {
    if is_directory { copy_directory(from, to) } else { std::fs::copy(from, to).map(drop) }
}

/// `open` are the directories whose copies are not complete.
fn copy(from: &Path, to: &Path, open: &mut Vec<PathBuf>) -> io::Result<()> {
    let real = std::fs::canonicalize(from)?;
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if open.contains(&real) || std::fs::canonicalize(parent)?.starts_with(&real) {
        return Err(io::Error::other("a copy of a directory would contain itself"));
    }
    std::fs::create_dir(to)?;
    open.push(real);
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (path, copied) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &copied, open)?;
        } else {
            std::fs::copy(&path, &copied)?;
        }
    }
    open.pop();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{copy_link, link};

    #[test]
    fn copies_files_and_directories() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::create_dir_all(at("from/inner")).unwrap();
        std::fs::write(at("from/inner/file"), b"x").unwrap();
        copy_directory(&at("from"), &at("to")).unwrap();
        assert_eq!(std::fs::read(at("to/inner/file")).unwrap(), b"x");
    }

    #[test]
    #[cfg_attr(emulated, ignore = "Wine makes no links, but reports success")]
    fn copies_what_links_point_to() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::create_dir(at("from")).unwrap();
        std::fs::create_dir(at("other")).unwrap();
        std::fs::write(at("other/file"), b"y").unwrap();
        link(Path::new("../other"), &at("from/linked")).unwrap();
        copy_directory(&at("from"), &at("to")).unwrap();
        assert_eq!(std::fs::read(at("to/linked/file")).unwrap(), b"y");
        assert!(!at("to/linked").is_symlink());
    }

    /// While a tree is copied, a link can come before its target.
    #[test]
    #[cfg_attr(emulated, ignore = "Wine makes no links, but reports success")]
    fn a_link_is_copied_before_its_target() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::create_dir_all(at("from/z")).unwrap();
        std::fs::write(at("from/z/file"), b"y").unwrap();
        std::fs::create_dir(at("to")).unwrap();
        link(Path::new("z"), &at("from/a")).unwrap();
        copy_link(&at("from/a"), &at("to/a")).unwrap();
        assert!(
            at("to/a").is_symlink() != at("to/a/file").exists(),
            "a link, or a copy where it is not allowed"
        );
        copy_directory(&at("from/z"), &at("to/z")).unwrap();
        assert_eq!(std::fs::read(at("to/a/file")).unwrap(), b"y");
        // Without the rights for links.
        std::fs::create_dir(at("copied")).unwrap();
        copy_target(&at("from/a"), &at("copied/a"), true).unwrap();
        copy_target(&at("from/a/file"), &at("copied/file"), false).unwrap();
        assert_eq!(std::fs::read(at("copied/a/file")).unwrap(), b"y");
        assert_eq!(std::fs::read(at("copied/file")).unwrap(), b"y");
    }

    #[test]
    fn a_copy_that_would_contain_itself_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::create_dir_all(at("from/inner")).unwrap();
        let error = |from: &str, to: &str| copy_directory(&at(from), &at(to)).unwrap_err().to_string();
        assert!(error("from", "from/inner/copy").contains("contain itself"));
        #[cfg(unix)]
        {
            link(Path::new(".."), &at("from/inner/up")).unwrap();
            assert!(error("from", "to").contains("contain itself"));
        }
    }
}
