//! Checks Python distributions: what indexes reject, what installers cannot
//! install, and what fails on the user's machine.
//!
//! [`scan`] reads every archive once into a [`dist::Dist`]; [`check`] applies
//! [`rules`] to it. Nothing here prints, reads configuration or opens a network
//! connection.
//!
//! ```no_run
//! use distcheck::{Limits, Selection, Set, check, scan};
//!
//! let dists = scan(&["dist/a-1.0-py3-none-any.whl".into()], &Limits::default(), 2)?;
//! let set = Set { dists: &dists, ..Set::default() };
//! let verdict = check(&set, &Selection::Gate);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod check;
mod content;
mod coverage;
pub mod dist;
mod email;
mod file_pattern;
#[cfg(test)]
mod fixture;
mod hashed;
mod installable;
mod libraries;
mod pattern;
mod python_name;
mod restructured;
mod rule;
#[cfg(test)]
mod rule_tests;
pub mod rules;
mod scan;

pub use check::{Finding, RuleOutcome, Selection, Verdict, check};
pub use coverage::systems;
pub use file_pattern::{FilePatternError, is_file_pattern, matching_files};
pub use installable::installable;
pub use pattern::{Pattern, PatternError};
pub use pydist::zip::Limits;
pub use restructured::{RestructuredCheck, check_text as check_restructured};
pub use rule::{Check, Provenance, Published, PublishedFile, Rule, Set, Severity};
pub use scan::scan;
