//! Pages in JSON (PEP 691).

use std::io::{BufReader, Read};

use pydist::name::ProjectName;
use reqwest::Url;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::bounded::{Bounded, JsonScan};
use super::common::{add, as_sha256, ended, malformed};
use crate::error::HttpError;
use crate::listing::{Keep, ListedFile, Listing};

const JSON: &str = "a Simple API page (PEP 691)";

/// Reads a page as JSON (PEP 691).
pub(crate) fn read(page: &Url, source: impl Read, keep: &Keep) -> Result<Listing, HttpError> {
    let bounded = Bounded::<_, JsonScan>::new(source);
    let mut reader = serde_json::Deserializer::from_reader(BufReader::with_capacity(64 * 1024, bounded));
    let parsed = PageSeed { page, keep }.deserialize(&mut reader).and_then(|page| {
        reader.end()?;
        Ok(page)
    });
    let parsed = parsed.map_err(|error| {
        if error.is_io() { ended(page, JSON, error.into()) } else { malformed(page, JSON, error) }
    })?;
    let version = parsed.meta.api_version.unwrap_or_else(|| "1.0".to_owned());
    if version.split('.').next() != Some("1") {
        return Err(malformed(page, "version 1 of the Simple API", format!("version {version}")));
    }
    let project = page.path_segments().and_then(|mut parts| parts.rfind(|part| !part.is_empty()));
    if let Some(other) = parsed.name.filter(|name| Some(ProjectName::new(name).as_str()) != project) {
        let project = project.unwrap_or_default();
        return Err(malformed(page, JSON, format!("the page of `{other}` instead of `{project}`")));
    }
    let mut listing = parsed.listing.ok_or_else(|| malformed(page, JSON, "no field `files`"))?;
    listing.exists = true;
    listing.status = parsed.status.and_then(|status| status.status).filter(|status| status != "active");
    listing.is_warehouse = parsed.meta.serial.is_some();
    Ok(listing)
}

#[derive(Default)]
struct Page {
    name: Option<String>,
    meta: Meta,
    status: Option<ProjectStatus>,
    listing: Option<Listing>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Meta {
    #[serde(default)]
    api_version: Option<String>,
    #[serde(default, rename = "_last-serial")]
    serial: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct ProjectStatus {
    #[serde(default)]
    status: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: Hashes,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    requires_python: Option<String>,
    #[serde(default)]
    yanked: Yanked,
    #[serde(default)]
    provenance: Provenance,
    #[serde(default)]
    upload_time: Option<String>,
}

#[derive(Default, Deserialize)]
struct Hashes {
    #[serde(default)]
    sha256: Option<String>,
}

/// PEP 740: the field is missing on an index without attestations, and `null` for a file
/// without any.
#[derive(Default)]
enum Provenance {
    #[default]
    Unknown,
    Known(Option<String>),
}

impl<'de> Deserialize<'de> for Provenance {
    fn deserialize<D: Deserializer<'de>>(field: D) -> Result<Self, D::Error> {
        Option::deserialize(field).map(Self::Known)
    }
}

/// PEP 592: a flag, or the reason.
#[derive(Default)]
struct Yanked(bool);

impl<'de> Deserialize<'de> for Yanked {
    fn deserialize<D: Deserializer<'de>>(field: D) -> Result<Self, D::Error> {
        // Not an untagged enum, because serde would buffer a value of any size.
        struct FlagOrReason;

        impl Visitor<'_> for FlagOrReason {
            type Value = Yanked;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a boolean or a string")
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Yanked, E> {
                Ok(Yanked(flag))
            }

            fn visit_str<E>(self, _reason: &str) -> Result<Yanked, E> {
                Ok(Yanked(true))
            }

            fn visit_unit<E>(self) -> Result<Yanked, E> {
                Ok(Yanked(false))
            }
        }

        field.deserialize_any(FlagOrReason)
    }
}

struct PageSeed<'a> {
    page: &'a Url,
    keep: &'a Keep,
}

impl<'de> DeserializeSeed<'de> for PageSeed<'_> {
    type Value = Page;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Page, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for PageSeed<'_> {
    type Value = Page;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Page, A::Error> {
        let mut page = Page::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "name" => page.name = map.next_value()?,
                "meta" => page.meta = map.next_value()?,
                "project-status" => page.status = map.next_value()?,
                "files" => page.listing = Some(map.next_value_seed(FilesSeed(&self))?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(page)
    }
}

struct FilesSeed<'a>(&'a PageSeed<'a>);

impl<'de> DeserializeSeed<'de> for FilesSeed<'_> {
    type Value = Listing;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Listing, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for FilesSeed<'_> {
    type Value = Listing;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of files")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut files: A) -> Result<Listing, A::Error> {
        let mut listing = Listing::default();
        while let Some(file) = files.next_element::<File>()? {
            let url = self.0.page.join(&file.url);
            let url = url.map_err(|error| A::Error::custom(format!("`{}`: {error}", file.url)))?;
            let provenance = match file.provenance {
                Provenance::Unknown => None,
                Provenance::Known(place) => {
                    listing.lists_attestations = true;
                    place
                }
            };
            let listed = ListedFile {
                url,
                sha256: file.hashes.sha256.as_deref().and_then(as_sha256),
                size: file.size,
                requires_python: file.requires_python,
                yanked: file.yanked.0,
                provenance,
                uploaded: file.upload_time,
            };
            add(&mut listing, self.0.keep, file.filename, listed).map_err(A::Error::custom)?;
        }
        Ok(listing)
    }
}
