//! Where an installer puts the members of a wheel.

use std::borrow::Cow;

/// A directory that an installer chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Root {
    /// `site-packages`.
    Site,
    /// The prefix.
    Data,
}

/// Where `member` of the wheel `<package>-<version>` is once it is installed:
/// the root and the path there.
pub(crate) fn installed<'m>(stem: &str, member: &'m str) -> (Root, Cow<'m, str>) {
    let in_data = member.strip_prefix(&format!("{stem}.data/")).and_then(|rest| rest.split_once('/'));
    match in_data {
        Some(("scripts", path)) => (Root::Data, format!("bin/{path}").into()),
        Some(("data", path)) => (Root::Data, path.into()),
        Some(("purelib" | "platlib", path)) => (Root::Site, path.into()),
        _ => (Root::Site, member.into()),
    }
}

/// The directory of a path; empty at the top.
pub(super) fn directory(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

/// The last part of a path.
pub(super) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The path that `relative` leads to from `directory`; `None` where it leads
/// out of the root.
pub(super) fn join(directory: &str, relative: &str) -> Option<String> {
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_installed_by_their_scheme() {
        let at = |member| installed("a-1.0", member);
        assert_eq!(at("a/b.so"), (Root::Site, "a/b.so".into()));
        assert_eq!(at("a-1.0.data/platlib/a/b.so"), (Root::Site, "a/b.so".into()));
        assert_eq!(at("a-1.0.data/scripts/a"), (Root::Data, "bin/a".into()));
        assert_eq!(join("a/b", "../c/./d"), Some("a/c/d".into()));
        assert_eq!(join("a", "../.."), None);
    }
}
