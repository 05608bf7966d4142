//! TODO
pub(super) static RULES: &[super::Rule] = &[];
