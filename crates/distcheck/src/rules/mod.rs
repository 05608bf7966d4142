//! The rules. A family has one file, or one for each of its topics.
//! `docs/adding-a-rule.md` describes how to add one.

mod abi;
mod archive;
mod attestation;
mod build;
mod contact;
mod content;
mod description;
mod environments;
mod foreign;
mod installed_files;
mod licence;
mod linux;
mod linux_loading;
mod linux_policy;
mod macos;
mod member_names;
mod metadata;
mod metadata_fields;
mod names;
mod nix;
mod previous_release;
mod project;
mod record;
mod scripts;
mod sdist;
mod set;
mod set_files;
mod tags;
mod top_level;
mod wheel_file;
mod windows;

pub use environments::{PackageChanges, changes};
pub use licence::is_licence_expression;

use crate::rule::Rule;

/// Every rule, family by family.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    [
        archive::RULES,
        member_names::RULES,
        names::RULES,
        tags::RULES,
        wheel_file::RULES,
        record::RULES,
        metadata::RULES,
        metadata_fields::RULES,
        description::RULES,
        contact::RULES,
        licence::RULES,
        project::RULES,
        scripts::RULES,
        nix::RULES,
        linux::RULES,
        linux_policy::RULES,
        linux_loading::RULES,
        macos::RULES,
        windows::RULES,
        abi::RULES,
        content::RULES,
        installed_files::RULES,
        top_level::RULES,
        sdist::RULES,
        build::RULES,
        attestation::RULES,
        set::RULES,
        set_files::RULES,
        previous_release::RULES,
        environments::RULES,
    ]
    .into_iter()
    .flatten()
}

/// The rule with this id, in any case.
pub fn find(id: &str) -> Option<&'static Rule> {
    all().find(|rule| rule.id.eq_ignore_ascii_case(id))
}

/// The rule or family whose name is most similar to `text`, for "did you mean".
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
    fn ids_are_unique_and_texts_are_sentences() {
        let ids: Vec<&str> = all().map(|rule| rule.id).collect();
        let mut unique = ids.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), ids.len(), "duplicate id in {ids:?}");
        for rule in all() {
            let family = rule.id.trim_end_matches(|c: char| c.is_ascii_digit());
            assert!(rule.id.len() == family.len() + 3, "{}", rule.id);
            for text in [rule.why, rule.source, rule.fix] {
                assert!(text.ends_with('.'), "{}: {text}", rule.id);
            }
        }
    }
}
