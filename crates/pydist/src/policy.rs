//! What platforms provide: manylinux and musllinux, the stable ABI, macOS
//! versions, classifiers. The data is generated (`cargo xtask gen`) from the
//! packages that each data file names as its source.

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
    /// Architecture → prefix (`GLIBC`, `GLIBCXX` …) → versions provided.
    pub symbol_versions: HashMap<String, HashMap<String, HashSet<String>>>,
    /// Libraries that every such system has.
    pub libraries: HashSet<String>,
    /// Library → symbols that must not be imported from it.
    pub forbidden_symbols: HashMap<String, HashSet<String>>,
}

/// Something that a policy does not allow.
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
            serde_json::from_str(include_str!("../data/linux.json")).expect("generated data is valid");
        let mut policies = data.policies;
        policies.sort_by(|a, b| (&a.family, a.version).cmp(&(&b.family, b.version)));
        policies
    });
    &POLICIES
}

impl Linux {
    /// The policy for a version: the newest one that is not newer than it.
    pub fn of(family: &str, version: Version) -> Option<&'static Self> {
        linux().iter().rfind(|policy| policy.family == family && policy.version <= version)
    }

    /// What a file needs beyond this policy. `bundled` names the libraries that
    /// the wheel contains; they are checked on their own.
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

/// The dynamic loader itself, which every system of the architecture has.
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

/// The interpreter's own library, which a wheel must neither need nor contain.
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
            serde_json::from_str(include_str!("../data/stable_abi.json")).expect("generated data is valid");
        data.symbols
    });
    SYMBOLS.get(symbol).copied()
}

/// Whether the index accepts a classifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Classifier {
    /// Accepted.
    Valid,
    /// Deprecated and no longer accepted; what to use instead.
    Deprecated(&'static [String]),
    /// Unknown.
    Unknown,
}

/// Looks up a classifier.
pub fn classifier(text: &str) -> Classifier {
    #[derive(Deserialize)]
    struct Data {
        valid: HashSet<String>,
        deprecated: HashMap<String, Vec<String>>,
    }
    static DATA: LazyLock<Data> = LazyLock::new(|| {
        serde_json::from_str(include_str!("../data/classifiers.json")).expect("generated data is valid")
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
        serde_json::from_str(include_str!("../data/macos.json")).expect("generated data is valid")
    });
    DATA.any_minor.contains(&major) || (minor == 0 && DATA.minor_zero.contains(&major))
}

/// The architectures of a macOS tag's name (PyPA "Platform compatibility
/// tags"): `universal2` means two.
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

/// Platform tags without a version that the index accepts.
const INDEX_FIXED: [&str; 18] = [
    "any",
    "win32",
    "win_arm64",
    "win_amd64",
    "win_ia64",
    "manylinux1_x86_64",
    "manylinux1_i686",
    "manylinux2010_x86_64",
    "manylinux2010_i686",
    "manylinux2014_x86_64",
    "manylinux2014_i686",
    "manylinux2014_aarch64",
    "manylinux2014_armv7l",
    "manylinux2014_ppc64",
    "manylinux2014_ppc64le",
    "manylinux2014_s390x",
    "linux_armv6l",
    "linux_armv7l",
];
/// Architectures that the index accepts after `manylinux_X_Y` and `musllinux_X_Y`.
const INDEX_LINUX: [&str; 7] = ["x86_64", "i686", "aarch64", "armv7l", "ppc64le", "s390x", "riscv64"];
/// Architectures that the index accepts after `macosx_X_Y`.
const INDEX_MACOS: [&str; 11] =
    ["ppc", "ppc64", "i386", "x86_64", "arm64", "intel", "fat", "fat3", "fat64", "universal", "universal2"];
/// ABIs that the index accepts after `android_X`.
const INDEX_ANDROID: [&str; 4] = ["armeabi_v7a", "arm64_v8a", "x86", "x86_64"];
/// Architectures that the index accepts after `ios_X_Y`.
const INDEX_IOS: [&str; 2] = ["arm64", "x86_64"];

/// Whether PyPI accepts a platform tag (Warehouse, `forklift/legacy.py`).
pub fn index_accepts(tag: &str) -> bool {
    // The index compares in lower case.
    let tag = tag.to_ascii_lowercase();
    if INDEX_FIXED.contains(&tag.as_str()) {
        return true;
    }
    let Some((family, rest)) = tag.split_once('_') else { return false };
    let number = |text: &str| -> Option<u32> {
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
    };
    let versioned = || {
        let mut parts = rest.splitn(3, '_');
        Some((number(parts.next()?)?, number(parts.next()?)?, parts.next()?))
    };
    match family {
        "manylinux" => versioned().is_some_and(|(.., arch)| INDEX_LINUX.contains(&arch) || arch == "ppc64"),
        "musllinux" => versioned().is_some_and(|(.., arch)| INDEX_LINUX.contains(&arch)),
        "macosx" => versioned().is_some_and(|(major, minor, arch)| {
            INDEX_MACOS.contains(&arch) && macos_accepted((major, minor))
        }),
        "android" => rest
            .split_once('_')
            .is_some_and(|(level, arch)| number(level).is_some() && INDEX_ANDROID.contains(&arch)),
        "ios" => versioned().is_some_and(|(.., rest)| {
            rest.rsplit_once('_').is_some_and(|(arch, device)| {
                INDEX_IOS.contains(&arch) && ["iphoneos", "iphonesimulator"].contains(&device)
            })
        }),
        "pyemscripten" => versioned().is_some_and(|(.., arch)| arch.starts_with("wasm32")),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_data_is_valid() {
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

    #[test]
    fn accepts_the_platform_tags_of_the_index() {
        for tag in [
            "any",
            "win32",
            "linux_armv6l",
            "linux_armv7l",
            "manylinux_2_17_ppc64",
            "musllinux_1_2_riscv64",
            "macosx_10_9_universal2",
            "macosx_26_0_arm64",
            "ios_13_0_arm64_iphoneos",
            "android_21_arm64_v8a",
            "pyemscripten_2026_0_wasm32",
            "Win_AMD64",
        ] {
            assert!(index_accepts(tag), "{tag}");
        }
        for tag in [
            "linux_x86_64",
            "manylinux1_aarch64",
            "musllinux_1_2_ppc64",
            "macosx_10_6_fat32",
            "macosx_12_3_arm64",
            "macosx_16_0_arm64",
            "android_21",
            "ios_13_0_armv7_iphoneos",
            "pyodide_2024_0_wasm32",
            "win_x86",
            "manylinux_2_17",
            "manylinux_2_17_riscv32",
        ] {
            assert!(!index_accepts(tag), "{tag}");
        }
    }
}
