//! Secrets that must not be printed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zeroize::Zeroizing;

/// The secrets masked so far. Clones share them.
#[derive(Clone, Default)]
pub struct Masks(Arc<Mutex<Vec<Zeroizing<String>>>>);

impl std::fmt::Debug for Masks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Masks(***)")
    }
}

impl Masks {
    /// Replaces all masked secrets in `text`. Call this before a text is cut or
    /// escaped: half a secret is not recognised.
    pub fn hide(&self, text: &str) -> String {
        self.held().iter().fold(text.to_owned(), |text, mask| text.replace(mask.as_str(), "***"))
    }

    /// Masks all `forms` of a secret.
    pub(crate) fn add(&self, forms: Vec<Zeroizing<String>>) {
        let mut held = self.held();
        held.extend(forms);
        held.sort_by_key(|form| std::cmp::Reverse(form.len()));
    }

    fn held(&self) -> MutexGuard<'_, Vec<Zeroizing<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
