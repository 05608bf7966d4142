//! Software bills of materials (CycloneDX, JSON): the one that maturin adds,
//! without the random serial number, the time and the directory of the sources;
//! and one of grafted and external libraries.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pydist::digest;
use pydist::store::STORES;
use serde_json::{Value, json};
use time::OffsetDateTime;

/// The SBOM that the repair writes, below `….dist-info`.
pub(super) const MEMBER: &str = "sboms/build-wheel.cyclonedx.json";

/// Normalises the document; `None` if it is not CycloneDX or already normal.
pub(super) fn normalize(text: &[u8], epoch: u64) -> Option<Vec<u8>> {
    let mut document: Value = serde_json::from_slice(text).ok()?;
    let object = document.as_object_mut()?;
    if object.get("bomFormat")?.as_str() != Some("CycloneDX") {
        return None;
    }
    if let Some(time) = object.get_mut("metadata").and_then(|metadata| metadata.get_mut("timestamp")) {
        *time = Value::String(timestamp(epoch));
    }
    let mut dirs = Vec::new();
    visit(&mut document, &mut |text| {
        if let Some(full) = full_id(text) {
            *text = full;
        }
        dirs.extend(dir(text).map(str::to_owned));
    });
    if let Some(common) = common_directory(&dirs) {
        visit(&mut document, &mut |text| {
            if let Some(rest) = dir(text).and_then(|dir| dir.strip_prefix(&common)) {
                let (start, end) =
                    (format!("file://{common}{rest}"), format!("file:///{}", rest.trim_start_matches('/')));
                *text = text.replace(&start, &end);
            }
        });
    }
    if document.get("serialNumber").is_some() {
        document["serialNumber"] = Value::Null;
        let serial = uuid(&digest::sha256(document.to_string().as_bytes()));
        document["serialNumber"] = Value::String(format!("urn:uuid:{serial}"));
    }
    let normal = serde_json::to_vec_pretty(&document).ok()?;
    (normal != text).then_some(normal)
}

/// An SBOM (PEP 770) of the libraries that were grafted into the wheel and of
/// the external ones, which the user's system provides; `None` if there are
/// none. Components in `previous` are kept.
pub(super) fn of_libraries(
    grafts: &[(String, PathBuf, [u8; 32])],
    external: &BTreeSet<String>,
    previous: Option<&[u8]>,
    epoch: u64,
) -> Option<Vec<u8>> {
    let previous: Value = previous.and_then(|text| serde_json::from_slice(text).ok()).unwrap_or_default();
    let previous = previous["components"].as_array().cloned().unwrap_or_default();
    let new = grafts.iter().map(grafted).chain(external.iter().map(|name| external_library(name)));
    let components = previous.into_iter().chain(new);
    // Sorted and deduplicated: the newest wins.
    let components: BTreeMap<String, Value> =
        components.map(|component| (component["bom-ref"].to_string(), component)).collect();
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.7",
        "serialNumber": "",
        "version": 1,
        "metadata": { "timestamp": "", "tools": { "components": [{ "type": "application", "name": "build-wheel" }] } },
        "components": components.values().collect::<Vec<_>>(),
    });
    (!components.is_empty()).then(|| normalize(document.to_string().as_bytes(), epoch)).flatten()
}

fn grafted((member, from, hash): &(String, PathBuf, [u8; 32])) -> Value {
    let file = from.file_name().unwrap_or_default().to_string_lossy();
    let stem = file.split(".so").next().unwrap_or_default();
    let stem = stem.strip_suffix(".dll").unwrap_or(stem).to_owned();
    let (name, version) = store_package(from).unwrap_or((stem, None));
    let at = version.as_ref().map(|version| format!("@{version}")).unwrap_or_default();
    // A package URL has no plus sign.
    let purl = format!("pkg:generic/{name}{at}?file_name={file}").replace('+', "%2B");
    let mut component = json!({
        "type": "library",
        "bom-ref": format!("file:{member}"),
        "name": name,
        "purl": purl,
        "hashes": [{ "alg": "SHA-256", "content": digest::hex(hash) }],
        "evidence": { "occurrences": [{ "location": member }] },
    });
    if let Some(version) = version {
        component["version"] = Value::String(version);
    }
    component
}

/// `name` is the name in the binary, with which verify-dist compares it.
fn external_library(name: &str) -> Value {
    json!({ "type": "library", "bom-ref": format!("external:{name}"), "name": name, "isExternal": true })
}

/// The name and version of the package in `/nix/store/<hash>-<name>-<version>/…`.
fn store_package(path: &Path) -> Option<(String, Option<String>)> {
    let path = path.to_str()?;
    let (_, rest) = STORES.iter().find_map(|store| path.split_once(store))?;
    let (_, package) = rest.split('/').next()?.split_once('-')?;
    let is_version = |(at, _): &(usize, &str)| package[at + 1..].starts_with(|c: char| c.is_ascii_digit());
    Some(match package.match_indices('-').find(is_version) {
        Some((at, _)) => (package[..at].to_owned(), Some(package[at + 1..].to_owned())),
        None => (package.to_owned(), None),
    })
}

fn visit(value: &mut Value, act: &mut impl FnMut(&mut String)) {
    match value {
        Value::String(text) => act(text),
        Value::Array(items) => items.iter_mut().for_each(|item| visit(item, act)),
        Value::Object(fields) => fields.values_mut().for_each(|field| visit(field, act)),
        _ => {}
    }
}

/// Cargo leaves a package's name out of its ID if the directory has the same name:
/// `path+file:///directory/name#1.0` for `path+file:///directory/name#name@1.0`.
fn full_id(id: &str) -> Option<String> {
    let (path, version) = id.strip_prefix("path+file://").and_then(|rest| rest.split_once('#'))?;
    let name = path.rsplit('/').next()?;
    version.starts_with(|c: char| c.is_ascii_digit()).then(|| format!("path+file://{path}#{name}@{version}"))
}

/// The directory in `path+file:///directory#name@version`.
fn dir(text: &str) -> Option<&str> {
    let path = text.strip_prefix("path+file://")?.split(['#', '?']).next()?;
    path.starts_with('/').then_some(path)
}

/// The deepest directory that contains or equals all of these.
fn common_directory(dirs: &[String]) -> Option<String> {
    let mut common = dirs.first()?.as_str();
    for dir in dirs {
        while !dir.strip_prefix(common).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            common = common.rsplit_once('/')?.0;
        }
    }
    (!common.is_empty()).then(|| common.to_owned())
}

/// A version 8 UUID (RFC 9562, 5.8), for values derived from content.
fn uuid(digest: &[u8; 32]) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = digest::hex(&bytes);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// RFC 3339, in UTC.
fn timestamp(epoch: u64) -> String {
    let time = i64::try_from(epoch).ok().and_then(|epoch| OffsetDateTime::from_unix_timestamp(epoch).ok());
    let time = time.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (date, hour, minute, second) = (time.date(), time.hour(), time.minute(), time.second());
    format!("{date}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(dir: &str, serial: &str, time: &str) -> String {
        format!(
            r#"{{"bomFormat":"CycloneDX","serialNumber":"urn:uuid:{serial}","metadata":{{"timestamp":"{time}",
            "component":{{"bom-ref":"path+file://{dir}/core#core@1.0","purl":"pkg:cargo/core@1.0?download_url=file://."}}}},
            "dependencies":[{{"ref":"path+file://{dir}/lib/util#0.1"}}]}}"#
        )
    }

    #[test]
    fn builds_in_two_directories_give_the_same_document() {
        let first = sample("/home/a/src", "9dc05d0d-0e97-423d-b752-8e5b1118cfed", "2026-11-23T02:25:06.8Z");
        let second = sample("/build", "00000000-0e97-423d-b752-8e5b1118cfed", "2025-01-01T00:00:00Z");
        let first = normalize(first.as_bytes(), 1_709_210_096).unwrap();
        assert_eq!(Some(&first), normalize(second.as_bytes(), 1_709_210_096).as_ref());
        let text = String::from_utf8(first.clone()).unwrap();
        assert!(
            text.contains("path+file:///core#core@1.0") && text.contains("path+file:///lib/util#util@0.1"),
            "{text}"
        );
        assert!(text.contains("2024-02-29T12:34:56Z") && !text.contains("/home"), "{text}");
        assert_eq!(normalize(&first, 1_709_210_096), None);
    }

    #[test]
    fn the_name_of_the_only_directory_does_not_matter() {
        let document =
            |id: &str| normalize(format!(r#"{{"bomFormat":"CycloneDX","ref":"{id}"}}"#).as_bytes(), 0);
        assert_eq!(
            document("path+file:///tmp/hello#1.2.3 bin-target-0"),
            document("path+file:///src#hello@1.2.3 bin-target-0")
        );
    }

    #[test]
    fn lists_grafted_libraries() {
        let library = |path: &str| ("sample.libs/x.so".to_owned(), PathBuf::from(path), [0; 32]);
        let of_grafts =
            |grafts: &[(String, PathBuf, [u8; 32])]| of_libraries(grafts, &BTreeSet::new(), None, 0);
        let store = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-openssl-3.0.14/lib/libssl.so.3";
        let text = String::from_utf8(of_grafts(&[library(store)]).unwrap()).unwrap();
        for expected in
            ["pkg:generic/openssl@3.0.14?file_name=libssl.so.3", "sample.libs/x.so", "1970-01-01T00:00:00Z"]
        {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        let text = String::from_utf8(of_grafts(&[library("/usr/lib/libfoo.so.1")]).unwrap()).unwrap();
        assert!(text.contains("pkg:generic/libfoo?file_name=libfoo.so.1"), "{text}");
        let text = String::from_utf8(of_grafts(&[library("/usr/lib/libstdc++-6.dll")]).unwrap()).unwrap();
        for expected in ["\"libstdc++-6\"", "pkg:generic/libstdc%2B%2B-6?file_name=libstdc%2B%2B-6.dll"] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        assert_eq!(of_grafts(&[]), None);
    }

    #[test]
    fn adds_external_libraries_to_the_previous_document() {
        let grafts = [("sample.libs/x.so".to_owned(), PathBuf::from("/usr/lib/libx.so.1"), [0; 32])];
        let first = of_libraries(&grafts, &BTreeSet::new(), None, 0).unwrap();
        let external = BTreeSet::from(["libcuda.so.1".to_owned()]);
        let second = of_libraries(&[], &external, Some(&first), 0).unwrap();
        let document: Value = serde_json::from_slice(&second).unwrap();
        let names = document["components"].as_array().unwrap().iter();
        let names: Vec<_> = names.map(|component| (&component["name"], &component["isExternal"])).collect();
        assert_eq!(names, [(&json!("libcuda.so.1"), &json!(true)), (&json!("libx"), &Value::Null)]);
        assert_eq!(of_libraries(&[], &external, Some(&second), 0).unwrap(), second, "listed only once");
    }

    #[test]
    fn keeps_other_documents() {
        assert_eq!(normalize(b"{\"spdxVersion\": \"SPDX-2.3\"}", 0), None);
        assert_eq!(normalize(b"not json", 0), None);
    }
}
