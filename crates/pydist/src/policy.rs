//! What platforms promise: manylinux and musllinux, the stable ABI, macOS
//! versions, classifiers. The data are generated (`cargo xtask gen`) from the
//! packages that their files name as source.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::LazyLock;

use serde::Deserialize;

use binfmt::elf::ElfInfo;

/// A version of a platform or language: major, minor.
pub type Version = (u32, u32);

/// A manylinux or musllinux policy.
#[derive(Debug, Deserialize)]
pub struct Linux {
    /// `manylinux` or `musllinux`.
    pub family: String,
    /// The version of the C library.
    pub version: Version,
    /// Architecture → prefix (`GLIBC`, `GLIBCXX` …) → versions it provides.
    pub symbol_versions: HashMap<String, HashMap<String, HashSet<String>>>,
    /// Libraries that every such system has.
    pub libraries: HashSet<String>,
    /// Library → symbols that must not be taken from it.
    pub forbidden_symbols: HashMap<String, HashSet<String>>,
}

/// Something a policy does not grant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Excess {
    /// A symbol version that is newer: library, version.
    Symbol(String, String),
    /// A library that is not on every such system.
    Library(String),
    /// A symbol that must not be used: library, symbol.
    Forbidden(String, String),
}

/// Every known policy, oldest first within a family.
pub fn linux() -> &'static [Linux] {
    #[derive(Deserialize)]
    struct Data {
        policies: Vec<Linux>,
    }
    static POLICIES: LazyLock<Vec<Linux>> = LazyLock::new(|| {
        let data: Data =
            serde_json::from_str(include_str!("../data/linux.json")).expect("generated data are sound");
        let mut policies = data.policies;
        policies.sort_by(|a, b| (&a.family, a.version).cmp(&(&b.family, b.version)));
        policies
    });
    &POLICIES
}

impl Linux {
    /// The policy that holds for a version: the newest that is not newer.
    pub fn of(family: &str, version: Version) -> Option<&'static Self> {
        linux().iter().rfind(|policy| policy.family == family && policy.version <= version)
    }

    /// What a file asks for beyond this policy. `bundled` are the libraries
    /// that the wheel brings along, by name: they answer for themselves.
    pub fn excess(&self, elf: &ElfInfo, arch: &str, bundled: &BTreeSet<String>) -> BTreeSet<Excess> {
        let mut excess = BTreeSet::new();
        let provided = self.symbol_versions.get(arch);
        for (library, versions) in &elf.versions {
            if bundled.contains(library) || is_loader(library) {
                continue;
            }
            for version in versions {
                let Some((prefix, number)) = version.split_once('_') else { continue };
                let known = provided.and_then(|provided| provided.get(prefix));
                if known.is_some_and(|known| !known.contains(number)) {
                    excess.insert(Excess::Symbol(library.clone(), version.clone()));
                }
            }
        }
        for library in elf.needed() {
            if bundled.contains(library) || is_loader(library) || is_libpython(library) {
                continue;
            }
            if !self.libraries.contains(library) {
                excess.insert(Excess::Library(library.to_owned()));
            } else if let Some(forbidden) = self.forbidden_symbols.get(library) {
                for symbol in elf.undefined.iter().filter(|symbol| forbidden.contains(*symbol)) {
                    excess.insert(Excess::Forbidden(library.to_owned(), symbol.clone()));
                }
            }
        }
        excess
    }
}

/// The dynamic loader itself: every system of the architecture has it.
pub fn is_loader(library: &str) -> bool {
    library.starts_with("ld-linux")
        || library.starts_with("ld64.so")
        || library.starts_with("ld.so")
        || library.starts_with("ld-musl")
        || library.starts_with("libc.musl-")
}

/// The path of glibc's loader (its manual page ld.so(8) and the ABI of each
/// architecture), by the architecture's name in platform tags.
pub fn glibc_loader(arch: &str) -> Option<&'static str> {
    Some(match arch {
        "x86_64" => "/lib64/ld-linux-x86-64.so.2",
        "i686" => "/lib/ld-linux.so.2",
        "aarch64" => "/lib/ld-linux-aarch64.so.1",
        "armv7l" => "/lib/ld-linux-armhf.so.3",
        "ppc64le" => "/lib64/ld64.so.2",
        "s390x" => "/lib/ld64.so.1",
        "riscv64" => "/lib/ld-linux-riscv64-lp64d.so.1",
        "loongarch64" => "/lib64/ld-linux-loongarch-lp64d.so.1",
        _ => return None,
    })
}

/// The path of musl's loader, by the architecture's name in platform tags.
pub fn musl_loader(arch: &str) -> String {
    let arch = match arch {
        "i686" => "i386",
        "armv7l" => "armhf",
        "ppc64le" => "powerpc64le",
        arch => arch,
    };
    format!("/lib/ld-musl-{arch}.so.1")
}

/// Whether a Mach-O file loads `path` from macOS itself.
pub fn is_macos_library(path: &str) -> bool {
    path.starts_with("/usr/lib/") || path.starts_with("/System/Library/")
}

/// The interpreter's own library, which no wheel may need or bring.
pub fn is_libpython(library: &str) -> bool {
    library.starts_with("libpython")
}

/// The Python version in which a symbol joined the stable ABI.
pub fn stable_abi(symbol: &str) -> Option<Version> {
    #[derive(Deserialize)]
    struct Data {
        symbols: BTreeMap<String, Version>,
    }
    static SYMBOLS: LazyLock<BTreeMap<String, Version>> = LazyLock::new(|| {
        let data: Data =
            serde_json::from_str(include_str!("../data/stable_abi.json")).expect("generated data are sound");
        data.symbols
    });
    SYMBOLS.get(symbol).copied()
}

/// How the index takes a classifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Classifier {
    /// Known.
    Valid,
    /// Known, but no longer accepted; what to use in its place.
    Deprecated(&'static [String]),
    /// Not known.
    Unknown,
}

/// Looks a classifier up.
pub fn classifier(text: &str) -> Classifier {
    #[derive(Deserialize)]
    struct Data {
        valid: HashSet<String>,
        deprecated: HashMap<String, Vec<String>>,
    }
    static DATA: LazyLock<Data> = LazyLock::new(|| {
        serde_json::from_str(include_str!("../data/classifiers.json")).expect("generated data are sound")
    });
    if let Some(instead) = DATA.deprecated.get(text) {
        Classifier::Deprecated(instead)
    } else if DATA.valid.contains(text) {
        Classifier::Valid
    } else {
        Classifier::Unknown
    }
}

/// Whether the index accepts this macOS version in a platform tag
/// (`data/macos.json`: 10 with any minor, later ones with minor 0).
pub fn macos_accepted((major, minor): Version) -> bool {
    #[derive(Deserialize)]
    struct Data {
        any_minor: HashSet<u32>,
        minor_zero: HashSet<u32>,
    }
    static DATA: LazyLock<Data> = LazyLock::new(|| {
        serde_json::from_str(include_str!("../data/macos.json")).expect("the data are sound")
    });
    DATA.any_minor.contains(&major) || (minor == 0 && DATA.minor_zero.contains(&major))
}

/// The architectures of a macOS tag's name (PyPA "Platform compatibility
/// tags"): `universal2` stands for two.
pub fn macos_archs(arch: &str) -> &'static [&'static str] {
    match arch {
        "x86_64" => &["x86_64"],
        "arm64" => &["arm64"],
        "universal2" => &["arm64", "x86_64"],
        "i386" => &["i386"],
        "ppc" => &["ppc"],
        "ppc64" => &["ppc64"],
        "intel" => &["i386", "x86_64"],
        "fat" => &["i386", "ppc"],
        "fat3" => &["i386", "ppc", "x86_64"],
        "fat32" => &["i386", "ppc"],
        "fat64" => &["ppc64", "x86_64"],
        "universal" => &["i386", "ppc", "ppc64", "x86_64"],
        _ => &[],
    }
}

/// The architectures that the index accepts after `manylinux_x_y_` and
/// `musllinux_x_y_` (Warehouse, `utils/wheel.py`).
pub const LINUX_ARCHS: [&str; 8] =
    ["x86_64", "i686", "aarch64", "armv7l", "ppc64le", "s390x", "ppc64", "riscv64"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_data_are_sound() {
        let policy = Linux::of("manylinux", (2, 17)).unwrap();
        assert!(policy.symbol_versions["x86_64"]["GLIBC"].contains("2.17"));
        assert!(!policy.symbol_versions["x86_64"]["GLIBC"].contains("2.18"));
        assert_eq!(Linux::of("manylinux", (2, 33)).unwrap().version, (2, 31));
        assert_eq!(stable_abi("PyModule_AddType"), Some((3, 10)));
        assert_eq!(stable_abi("_PyLong_AsByteArray"), None);
        assert_eq!(classifier("Programming Language :: Rust"), Classifier::Valid);
        assert!(matches!(classifier("Natural Language :: Ukranian"), Classifier::Deprecated(_)));
        assert_eq!(classifier("Programming Language :: Rost"), Classifier::Unknown);
        assert!(macos_accepted((10, 9)) && macos_accepted((26, 0)));
        assert!(!macos_accepted((12, 3)) && !macos_accepted((16, 0)));
    }
}
