//! Versions of Nix with published security advisories.

use std::cmp::Ordering;

use serde::Deserialize;

/// The affected ranges and the date they were fetched (`.github/renew.sh`).
const FILE: &str = include_str!("../data/nix-advisories.json");

#[derive(Debug, Deserialize)]
struct File {
    updated: String,
    advisories: Vec<Advisory>,
}

#[derive(Debug, Deserialize)]
struct Advisory {
    id: String,
    /// Ranges as GitHub writes them: `>= 2.24.4, < 2.31.5`.
    affected: Vec<String>,
}

/// The advisories that affect `version`, and the date of the data.
pub(crate) fn affecting(version: &str) -> (Vec<String>, String) {
    let Ok(file) = serde_json::from_str::<File>(FILE) else { return (Vec::new(), String::new()) };
    let affects = |advisory: &Advisory| advisory.affected.iter().any(|range| contains(range, version));
    let ids = file.advisories.into_iter().filter(affects).map(|advisory| advisory.id).collect();
    (ids, file.updated)
}

fn contains(range: &str, version: &str) -> bool {
    range.split(',').map(str::trim).all(|comparator| {
        let (operator, bound) = comparator.split_once(' ').unwrap_or(("=", comparator));
        let order = compare(version, bound.trim());
        match operator {
            ">=" => order != Ordering::Less,
            ">" => order == Ordering::Greater,
            "<=" => order != Ordering::Greater,
            "<" => order == Ordering::Less,
            _ => order == Ordering::Equal,
        }
    })
}

/// Compares by numeric parts; a pre-release such as `2.35pre20260101` counts as its release.
fn compare(a: &str, b: &str) -> Ordering {
    let parts = |text: &str| {
        let digits = |part: &str| part.bytes().take_while(u8::is_ascii_digit).count();
        let number = |part: &str| part[..digits(part)].parse::<u64>().unwrap_or(0);
        let mut parts: Vec<u64> = text.split('.').map(number).collect();
        parts.resize(4, 0);
        parts
    };
    parts(a).cmp(&parts(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_version_has_no_known_advisory() {
        let version = crate::SPEC.input("nix-version").default;
        let (ids, updated) = affecting(version);
        assert!(ids.is_empty(), "Nix {version} is affected by {ids:?} (as of {updated}): raise the default");
    }

    #[test]
    fn every_range_parses() {
        let file: File = serde_json::from_str(FILE).unwrap();
        assert!(!file.advisories.is_empty() && file.updated.len() == 10);
        for comparator in
            file.advisories.iter().flat_map(|one| &one.affected).flat_map(|range| range.split(','))
        {
            let (operator, version) = comparator.trim().split_once(' ').unwrap();
            assert!([">=", ">", "<=", "<", "="].contains(&operator), "{comparator}");
            assert!(version.split('.').all(|part| part.parse::<u64>().is_ok()), "{comparator}");
        }
    }

    #[test]
    fn branches_are_affected_until_fixed() {
        for (version, affected) in [
            ("2.18.1", false),
            ("2.24.4", true),
            ("2.31.5", true),
            ("2.34.4", true),
            ("2.34.6", true),
            ("2.34.7", false),
            ("2.35.2", false),
            ("2.35pre20260101", false),
        ] {
            assert_eq!(!affecting(version).0.is_empty(), affected, "{version}");
        }
        assert_eq!(affecting("2.33.6").0, ["CVE-2026-39860"]);
    }
}
