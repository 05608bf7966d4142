//! The files about the wheel itself: `WHEEL`, and `RECORD`, which is checked
//! first and written last.

use std::collections::BTreeMap;

use pydist::digest;
use pydist::filename::WheelName;
use pydist::record::{self, Entry};
use pydist::wheel_file::WheelFile;

use super::WheelError;
use super::archive::Member;

/// The metadata folder, with a slash at its end.
pub(super) fn dist_info(members: &[(Member<'_>, Vec<u8>)]) -> Result<String, WheelError> {
    let with = |file: &str| -> Vec<&str> {
        let names = members.iter().filter_map(|(member, _)| member.name.strip_suffix(file));
        names.filter(|folder| folder.ends_with(".dist-info/") && folder.matches('/').count() == 1).collect()
    };
    for file in ["METADATA", "RECORD"] {
        if with(file).len() != 1 {
            return Err(WheelError::Metadata(file, with(file).len()));
        }
    }
    match with("WHEEL")[..] {
        [folder] => Ok(folder.to_owned()),
        ref folders => Err(WheelError::Metadata("WHEEL", folders.len())),
    }
}

/// Compares `RECORD` with what is there; gives its entries by path.
pub(super) fn check_record(
    members: &[(Member<'_>, Vec<u8>)],
    dist_info: &str,
) -> Result<BTreeMap<String, Entry>, WheelError> {
    let mut unlisted: BTreeMap<&str, &[u8]> =
        members.iter().map(|(member, content)| (member.name.as_str(), content.as_slice())).collect();
    let record_name = format!("{dist_info}RECORD");
    let lies = |what: String| Err(WheelError::Lies(what));
    let mut entries = BTreeMap::new();
    for entry in record::parse(unlisted.get(record_name.as_str()).copied().unwrap_or_default())? {
        let Some(content) = unlisted.remove(entry.path.as_str()) else {
            return lies(format!("`{}` is listed, but not in the wheel (or listed before)", entry.path));
        };
        if let Some(size) = entry.size.filter(|size| *size != content.len() as u64) {
            return lies(format!("`{}` has {} bytes, listed are {size}", entry.path, content.len()));
        }
        match &entry.hash {
            None if unhashed(&entry.path, dist_info) => {}
            None => return lies(format!("`{}` is listed without a hash", entry.path)),
            Some((algorithm, listed)) if algorithm == "sha256" => {
                let found = digest::record_hash(&digest::sha256(content));
                if found != *listed {
                    return lies(format!("`{}` has the sha256 `{found}`, listed is `{listed}`", entry.path));
                }
            }
            Some((algorithm, _)) => {
                return lies(format!("`{}` is listed with `{algorithm}`, expected `sha256`", entry.path));
            }
        }
        let size = Some(content.len() as u64);
        entries.insert(entry.path.clone(), Entry { size, ..entry });
    }
    match unlisted.into_keys().find(|name| !unhashed(name, dist_info)) {
        Some(name) => lies(format!("`{name}` is in the wheel, but not listed")),
        None => Ok(entries),
    }
}

/// `RECORD` and its signatures cannot be in `RECORD` with a hash.
fn unhashed(name: &str, dist_info: &str) -> bool {
    name.strip_prefix(dist_info).is_some_and(|file| matches!(file, "RECORD" | "RECORD.jws" | "RECORD.p7s"))
}

/// A member that goes into the new wheel.
pub(super) struct Written<'m> {
    pub(super) member: Member<'m>,
    pub(super) entry: Entry,
}

impl Written<'_> {
    /// A new member with this content.
    pub(super) fn new(name: &str, executable: bool, content: &[u8]) -> Self {
        Self { member: Member::new(name, executable, content), entry: Entry::of(name, content) }
    }
}

/// The content of `WHEEL` with the tags of `name`.
pub(super) fn wheel_file(content: &[u8], name: &WheelName) -> Result<Vec<u8>, WheelError> {
    Ok(WheelFile::parse(content)?.with_tags(&name.tags.expand()).write())
}

/// The members in their final order, with a `RECORD` of them.
pub(super) fn with_record<'m>(mut members: Vec<Written<'m>>, dist_info: &str) -> Vec<Member<'m>> {
    let record_name = format!("{dist_info}RECORD");
    // A signature of the old RECORD says nothing about the new one.
    members.retain(|written| !unhashed(&written.member.name, dist_info));
    // Metadata at the end, as PEP 427 recommends, and RECORD last.
    members.sort_by(|a, b| {
        let key = |written: &Written<'_>| written.member.name.starts_with(dist_info);
        (key(a), &a.member.name).cmp(&(key(b), &b.member.name))
    });
    let (mut members, mut entries): (Vec<_>, Vec<_>) =
        members.into_iter().map(|written| (written.member, written.entry)).unzip();
    entries.push(Entry::unhashed(&record_name));
    members.push(Member::new(record_name, false, &record::write(&entries)));
    members
}
