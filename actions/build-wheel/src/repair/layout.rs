//! Where an installer puts the members of a wheel.

use std::borrow::Cow;

/// A directory that an installer chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Root {
    /// `site-packages`.
    Site,
    /// The prefix.
    Data,
    /// The directory of C headers, which Python and loaders do not search.
    Headers,
}

/// Where an installer puts `member` of the wheel `<package>-<version>`: the root
/// and the path below it.
pub(crate) fn installed<'m>(stem: &str, member: &'m str) -> (Root, Cow<'m, str>) {
    let in_data = member.strip_prefix(&format!("{stem}.data/")).and_then(|rest| rest.split_once('/'));
    match in_data {
        Some(("scripts", path)) => (Root::Data, format!("bin/{path}").into()),
        Some(("data", path)) => (Root::Data, path.into()),
        Some(("headers", path)) => (Root::Headers, path.into()),
        Some(("purelib" | "platlib", path)) => (Root::Site, path.into()),
        _ => (Root::Site, member.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolves_installed_paths() {
        let at = |member| installed("a-1.0", member);
        assert_eq!(at("a/b.so"), (Root::Site, "a/b.so".into()));
        assert_eq!(at("a-1.0.data/platlib/a/b.so"), (Root::Site, "a/b.so".into()));
        assert_eq!(at("a-1.0.data/scripts/a"), (Root::Data, "bin/a".into()));
        assert_eq!(at("a-1.0.data/headers/a.h"), (Root::Headers, "a.h".into()));
        assert_eq!(at("a/b.data/scripts/c"), (Root::Site, "a/b.data/scripts/c".into()));
    }
}
