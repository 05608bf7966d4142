//! The rules, one file a family. `docs/adding-a-rule.md` says how to add one.

mod abi;
mod archive;
mod attestation;
mod build;
mod contact;
mod content;
mod environments;
mod licence;
mod linux;
mod macos;
mod metadata;
mod names;
mod nix;
mod project;
mod record;
mod restructured;
mod scripts;
mod sdist;
mod set;
mod tags;
mod top;
mod windows;

pub use environments::{PackageChanges, changes};
pub use licence::is_licence_expression;
pub use restructured::{Reading as RestructuredReading, reading as read_restructured};

use crate::rule::Rule;

/// Every rule, family by family.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    [
        archive::RULES,
        names::RULES,
        tags::RULES,
        record::RULES,
        metadata::RULES,
        contact::RULES,
        licence::RULES,
        project::RULES,
        restructured::RULES,
        scripts::RULES,
        nix::RULES,
        linux::RULES,
        macos::RULES,
        windows::RULES,
        abi::RULES,
        content::RULES,
        top::RULES,
        sdist::RULES,
        build::RULES,
        attestation::RULES,
        set::RULES,
        environments::RULES,
    ]
    .into_iter()
    .flatten()
}

/// The rule with this id, in any case.
pub fn find(id: &str) -> Option<&'static Rule> {
    all().find(|rule| rule.id.eq_ignore_ascii_case(id))
}

/// The rule or family whose name is most like `text`, for "did you mean".
pub fn suggest(text: &str) -> Option<&'static str> {
    let text = text.to_ascii_uppercase();
    let families = all().map(|rule| rule.id.trim_end_matches(|c: char| c.is_ascii_digit()));
    let names = all().map(|rule| rule.id).chain(families);
    let near =
        names.map(|name| (strsim::osa_distance(name, &text), name)).filter(|(distance, _)| *distance <= 2);
    near.min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_families_in_order() {
        let ids: Vec<&str> = all().map(|rule| rule.id).collect();
        let mut unique = ids.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), ids.len(), "an id stands twice in {ids:?}");
        for rule in all() {
            let family = rule.id.trim_end_matches(|c: char| c.is_ascii_digit());
            assert!(rule.id.len() == family.len() + 3, "{}", rule.id);
            for text in [rule.why, rule.source, rule.fix] {
                assert!(text.ends_with('.'), "{}: {text}", rule.id);
            }
        }
    }
}
