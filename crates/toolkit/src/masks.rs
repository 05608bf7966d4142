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
    /// Replaces all masked secrets in `text`. Call this before truncating or escaping a text,
    /// because parts of a secret are not recognised.
    pub fn hide(&self, text: &str) -> String {
        self.lock().iter().fold(text.to_owned(), |text, mask| text.replace(mask.as_str(), "***"))
    }

    /// Masks all `forms` of a secret.
    pub(crate) fn add(&self, forms: Vec<Zeroizing<String>>) {
        let mut lock = self.lock();
        lock.extend(forms);
        lock.sort_by_key(|form| std::cmp::Reverse(form.len()));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Zeroizing<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
