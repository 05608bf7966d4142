//! The module `sample_mixed._native`.

/// What is worth doing in Rust.
#[pyo3::pymodule]
mod _native {
    use pyo3::pyfunction;

    /// The first longest run of one character in a text.
    #[pyfunction]
    fn longest_run(text: &str) -> String {
        let mut best = String::new();
        let mut run = String::new();
        for character in text.chars() {
            if !run.starts_with(character) {
                run.clear();
            }
            run.push(character);
            if run.len() > best.len() {
                best.clone_from(&run);
            }
        }
        best
    }
}
