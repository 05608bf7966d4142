//! Counts words.

/// Counts words.
#[pyo3::pymodule]
mod sample_abi3 {
    use std::collections::BTreeMap;

    use pyo3::pyfunction;

    /// How often each word, in lower case, occurs in a text.
    #[pyfunction]
    fn count(text: &str) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for word in text.split_whitespace() {
            *counts.entry(word.to_lowercase()).or_default() += 1;
        }
        counts
    }
}
