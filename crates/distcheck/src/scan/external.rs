//! Libraries that a wheel declares as provided by the user's system.

use serde_json::Value;

/// Whether a member of `….dist-info` is an SBOM (PEP 770).
pub(super) fn is_sbom(rest: &str) -> bool {
    rest.strip_prefix("sboms/").is_some_and(|file| file.ends_with(".json"))
}

/// The names of the external libraries in an SBOM; empty if it is not CycloneDX.
pub(super) fn libraries(text: &[u8]) -> Vec<String> {
    let document: Value = serde_json::from_slice(text).unwrap_or_default();
    if document["bomFormat"] != "CycloneDX" {
        return Vec::new();
    }
    let components = document["components"].as_array().into_iter().flatten();
    let external =
        components.filter(|component| component["isExternal"] == true && component["type"] == "library");
    external.filter_map(|component| component["name"].as_str().map(str::to_owned)).collect()
}
