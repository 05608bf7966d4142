//! The bindings of a package, from its manifests.

use toml::{Table, Value};

/// The kind of wheel that a package builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bindings {
    /// A wheel for each Python.
    PerPython,
    /// A module in the stable ABI: one wheel for all Pythons.
    Abi3,
    /// A program, cffi or uniffi: one wheel for all Pythons.
    AnyPython,
    /// No Rust.
    Pure,
}

impl Bindings {
    /// A description for messages.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::PerPython => "an extension module, one wheel for each Python",
            Self::Abi3 => "an extension module in the stable ABI",
            Self::AnyPython => "a program or a library, one wheel for all Pythons",
            Self::Pure => "no Rust",
        }
    }
}

/// The bindings that maturin chooses for a crate: from `[tool.maturin]`, or else
/// from its dependencies.
pub(super) fn bindings(maturin: Option<&Value>, cargo: &Table, workspace: &Table) -> Bindings {
    match maturin.and_then(|maturin| maturin.get("bindings")).and_then(Value::as_str) {
        Some("bin" | "cffi" | "uniffi") => return Bindings::AnyPython,
        Some("pyo3-ffi" | "pyo3" | "rust-cpython") => {
            return if is_abi3(maturin, cargo, workspace) { Bindings::Abi3 } else { Bindings::PerPython };
        }
        _ => {}
    }
    let depends = |name: &str| dependencies(cargo).any(|table| table.get(name).is_some());
    if depends("pyo3") || depends("pyo3-ffi") {
        if is_abi3(maturin, cargo, workspace) { Bindings::Abi3 } else { Bindings::PerPython }
    } else {
        // A program, or a library for cffi or uniffi.
        Bindings::AnyPython
    }
}

/// The dependency tables: the general one, and those of specific targets.
fn dependencies(cargo: &Table) -> impl Iterator<Item = &Value> {
    let targets = cargo.get("target").and_then(Value::as_table).into_iter().flatten();
    let of_targets = targets.filter_map(|(_, table)| table.get("dependencies"));
    cargo.get("dependencies").into_iter().chain(of_targets)
}

/// Whether a feature `abi3…` of pyo3 is enabled: in the dependency, in the
/// workspace's dependency, or by a feature of the crate.
fn is_abi3(maturin: Option<&Value>, cargo: &Table, workspace: &Table) -> bool {
    let features = |list: Option<&Value>| -> Vec<String> {
        let list = list.and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let of_dependency = |table: Option<&Value>, name: &str| {
        features(table.and_then(|table| table.get(name)).and_then(|pyo3| pyo3.get("features")))
    };
    let shared = workspace.get("workspace").and_then(|table| table.get("dependencies"));
    let mut on: Vec<String> = Vec::new();
    for name in ["pyo3", "pyo3-ffi"] {
        for own in dependencies(cargo) {
            on.extend(of_dependency(Some(own), name));
            if own.get(name).and_then(|pyo3| pyo3.get("workspace")).is_some() {
                on.extend(of_dependency(shared, name));
            }
        }
    }
    // The enabled features of the crate, and those that they enable.
    let table = cargo.get("features");
    let mut enabled = vec!["default".to_owned()];
    enabled.extend(features(maturin.and_then(|maturin| maturin.get("features"))));
    for _ in 0..8 {
        let implied: Vec<String> =
            enabled.iter().flat_map(|name| features(table.and_then(|table| table.get(name)))).collect();
        enabled.extend(implied);
        enabled.sort();
        enabled.dedup();
    }
    on.extend(enabled);
    on.iter().any(|feature| feature.rsplit('/').next().is_some_and(|name| name.starts_with("abi3")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bindings_of(maturin: &str, cargo: &str) -> Bindings {
        let maturin: Table = maturin.parse().unwrap();
        let workspace = "[workspace.dependencies]\npyo3 = { version = '1', features = ['abi3-py39'] }";
        let maturin = Value::Table(maturin);
        bindings(Some(&maturin), &cargo.parse().unwrap(), &workspace.parse().unwrap())
    }

    #[test]
    fn reads_the_bindings_from_the_manifests() {
        for (maturin, cargo, expected) in [
            ("", "[dependencies]\npyo3 = '1'", Bindings::PerPython),
            ("", "[dependencies]\npyo3 = { version = '1', features = ['abi3-py310'] }", Bindings::Abi3),
            ("", "[dependencies]\npyo3 = { workspace = true }", Bindings::Abi3),
            (
                "features = ['stable']",
                "[dependencies]\npyo3 = '1'\n[features]\nstable = ['pyo3/abi3-py38']",
                Bindings::Abi3,
            ),
            ("", "[dependencies]\npyo3 = '1'\n[features]\nstable = ['pyo3/abi3-py38']", Bindings::PerPython),
            (
                "",
                "[dependencies]\npyo3 = '1'\n[features]\ndefault = ['x']\nx = ['pyo3/abi3']",
                Bindings::Abi3,
            ),
            (
                "",
                "[target.'cfg(not(target_family = \"wasm\"))'.dependencies]\npyo3 = { workspace = true }",
                Bindings::Abi3,
            ),
            ("", "[target.'cfg(unix)'.dependencies]\npyo3 = '1'", Bindings::PerPython),
            ("bindings = 'bin'", "", Bindings::AnyPython),
            ("bindings = 'cffi'", "", Bindings::AnyPython),
            ("", "[dependencies]\nuniffi = '1'", Bindings::AnyPython),
        ] {
            assert_eq!(bindings_of(maturin, cargo), expected, "{maturin} {cargo}");
        }
    }
}
