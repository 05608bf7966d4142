//! Hashes the files that match `hash-files` into the cache key.

use std::path::Path;

use pydist::digest::{hex, sha256};

/// Rejects patterns that this matcher does not support.
pub(crate) fn check(pattern: &str) -> Result<(), String> {
    if pattern.starts_with(['/', '!']) || pattern.contains(['[', ']', '{', '}']) {
        return Err(format!(
            "expected a path below the workspace with only `*`, `?` and `**`, found `{pattern}`"
        ));
    }
    Ok(())
}

/// One digest over the files below `root` that match a pattern, sorted by path, and their number.
pub(crate) fn hash_files(root: &Path, patterns: &[String]) -> (String, usize) {
    let mut text = String::new();
    let mut count = 0;
    if patterns.is_empty() {
        return (hex(&sha256(b"")), 0);
    }
    // Large, generated directories are searched only if a pattern names them.
    let named = |name: &str| patterns.iter().any(|pattern| pattern.split('/').any(|part| part == name));
    let skip: Vec<&str> =
        ["node_modules", "target"].into_iter().filter(|name| !named(name)).chain([".git"]).collect();
    let walk = walkdir::WalkDir::new(root).sort_by_file_name().into_iter();
    for entry in walk
        .filter_entry(|entry| entry.depth() == 0 || !skip.iter().any(|name| entry.file_name() == *name))
        .flatten()
    {
        let Ok(path) = entry.path().strip_prefix(root) else { continue };
        let path = path.to_string_lossy();
        // As with `hashFiles`, a link to a file counts; a link to a directory is not followed.
        let is_file = || std::fs::metadata(entry.path()).is_ok_and(|meta| meta.is_file());
        if !patterns.iter().any(|pattern| matches(pattern, &path)) || !is_file() {
            continue;
        }
        if let Ok(content) = std::fs::read(entry.path()) {
            text += &format!("{path} {}\n", hex(&sha256(&content)));
            count += 1;
        }
    }
    (hex(&sha256(text.as_bytes())), count)
}

/// Whether `pattern` (`*` within a name, `**` for any directories) matches `path`.
fn matches(pattern: &str, path: &str) -> bool {
    fn name(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'?', rest)) => text.split_first().is_some_and(|(_, text)| name(rest, text)),
            Some((b'*', rest)) => (0..=text.len()).any(|n| name(rest, &text[n..])),
            Some((first, rest)) => text.split_first().is_some_and(|(c, text)| c == first && name(rest, text)),
        }
    }
    fn parts(pattern: &[&str], path: &[&str]) -> bool {
        match pattern.split_first() {
            None => path.is_empty(),
            Some((&"**", rest)) => (0..=path.len()).any(|n| parts(rest, &path[n..])),
            Some((first, rest)) => path
                .split_first()
                .is_some_and(|(part, path)| name(first.as_bytes(), part.as_bytes()) && parts(rest, path)),
        }
    }
    let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
    parts(&pattern.split('/').collect::<Vec<_>>(), &path.split('/').collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_workflows() {
        for (pattern, path, expected) in [
            ("**/flake.lock", "flake.lock", true),
            ("**/flake.lock", "a/b/flake.lock", true),
            ("flake.lock", "a/flake.lock", false),
            ("nix/*.nix", "nix/a.nix", true),
            ("nix/*.nix", "nix/a/b.nix", false),
            ("nix/**", "nix/a/b.nix", true),
            ("*.lock", "lock", false),
            ("./flake.loc?", "flake.lock", true),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn the_digest_depends_on_contents_and_names() {
        let dir = tempfile::tempdir().unwrap();
        let patterns = ["**/flake.lock".to_owned()];
        let (none, count) = hash_files(dir.path(), &patterns);
        assert_eq!(count, 0);
        std::fs::create_dir_all(dir.path().join("node_modules")).unwrap();
        std::fs::write(dir.path().join("node_modules/flake.lock"), "1").unwrap();
        assert_eq!(hash_files(dir.path(), &patterns), (none.clone(), 0));
        std::fs::write(dir.path().join("flake.lock"), "1").unwrap();
        let (one, count) = hash_files(dir.path(), &patterns);
        std::fs::write(dir.path().join("flake.lock"), "2").unwrap();
        let (two, _) = hash_files(dir.path(), &patterns);
        assert_eq!(count, 1);
        assert!(one != none && two != one);
    }

    #[test]
    fn links_count_and_generated_directories_count_if_named() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        std::fs::create_dir(&target).unwrap();
        std::fs::write(target.join("made.nix"), "1").unwrap();
        std::os::unix::fs::symlink("target/made.nix", dir.path().join("link.nix")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("dangling.nix")).unwrap();
        let hash = |pattern: &str| hash_files(dir.path(), &[pattern.to_owned()]);
        let (before, count) = hash("**/*.nix");
        assert_eq!(count, 1, "only the link");
        assert_eq!(hash("target/*.nix").1, 1);
        assert_eq!(hash("target/**").1, 1);
        std::fs::write(target.join("made.nix"), "2").unwrap();
        assert_ne!(hash("**/*.nix").0, before, "the link's target is hashed");
    }
}
