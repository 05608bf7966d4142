//! `MAC`: Mach-O files, compared with the macOS tags.

use binfmt::macho::Slice;
use pydist::policy;
use pydist::store::is_store_path;
use pydist::tags::Platform;

use super::foreign;
use super::linux_policy::EXTERNAL;
use crate::dist::{Dist, Member, Wheel};
#[cfg(test)]
use crate::fixture;
use crate::libraries::{DylibProblem, Dylibs};
use crate::rule::Provenance::BreaksRuntime;
use crate::rule::Severity::{Error, Note, Warning};
use crate::rule::{Check, Findings, Rule, some};

const TAGS: &str = "PyPA \"Platform compatibility tags\", macOS; delocate.";

pub(super) static RULES: &[Rule] = &[ARCHS, MINIMUM, SIGNED, LIBRARIES, RPATH, PLATFORM, PAGES];

/// The tags for macOS.
fn macos(dist: &Dist) -> Vec<((u32, u32), String)> {
    let macos = |platform| match platform {
        Platform::Macos { version, arch } => Some((version, arch)),
        _ => None,
    };
    dist.platforms().into_iter().filter_map(macos).collect()
}

/// Executables, libraries and bundles, slice by slice.
fn loaded(wheel: &Wheel) -> impl Iterator<Item = (&Member, &Slice)> {
    let slices =
        wheel.macho().flat_map(|(member, info)| info.slices.iter().map(move |slice| (member, slice)));
    slices.filter(|(_, slice)| slice.is_loaded())
}

const ARCHS: Rule = Rule {
    id: "MAC001",
    title: "Mach-O files have a slice for each architecture of the tag",
    severity: Error,
    provenance: BreaksRuntime,
    why: "dyld rejects a file without a slice for the machine. In a wheel for another system, it is a warning \
        if nothing in the wheel loads the file.",
    source: TAGS,
    fix: "Check `--target`; for `universal2` build both and join them (maturin: `--target universal2-apple-darwin`).",
    example: "sample-1.0-py3-none-macosx_11_0_arm64.whl: sample/bin/tool: it has `x86_64`, the tag `arm64` needs `arm64` too",
    check: Check::Wheel(archs),
    #[cfg(test)]
    fails: || fixture::macos(fixture::MachO { cpu: 0x0100_0007, ..fixture::MachO::default() }).into(),
};

fn archs(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    let platforms = dist.platforms();
    if wheel.every_macho().next().is_none() || platforms.contains(&Platform::Any) {
        return out.not_applicable();
    }
    let macos = macos(dist);
    if macos.is_empty() {
        if let Some(platform) = platforms.iter().find(|platform| !matches!(platform, Platform::Other(_))) {
            for (member, _) in wheel.every_macho() {
                out.with_severity(foreign::severity(dist, wheel, member));
                out.at(&member.name, format!("a Mach-O file in a wheel for `{platform}`"));
            }
        }
        return;
    }
    for (member, info) in wheel.macho() {
        if !info.slices.iter().any(Slice::is_loaded) {
            continue;
        }
        let has: Vec<&str> = info.slices.iter().map(|slice| slice.arch).collect();
        let is_thin = !member.name.to_ascii_lowercase().contains("universal") && has.len() == 1;
        for (_, arch) in &macos {
            let missing: Vec<&&str> =
                policy::macos_archs(arch).iter().filter(|arch| !has.contains(arch)).collect();
            // A universal wheel may contain a thin file for each architecture.
            let pair = is_thin && missing.len() == 1 && macos.len() == 1 && twin(wheel, member, missing[0]);
            if !missing.is_empty() && !pair {
                out.at(
                    &member.name,
                    format!("it has {}, the tag `{arch}` needs {} too", some(has), some(missing)),
                );
                break;
            }
        }
    }
}

/// Whether the wheel has a thin file for `arch` beside `member`.
fn twin(wheel: &Wheel, member: &Member, arch: &str) -> bool {
    wheel.macho().any(|(other, info)| {
        other.name != member.name
            && info.slices.len() == 1
            && info.slices[0].arch == arch
            && other.name.contains(arch)
    })
}

const MINIMUM: Rule = Rule {
    id: "MAC002",
    title: "Mach-O files run on the macOS of the tag",
    severity: Error,
    provenance: BreaksRuntime,
    why: "On the oldest version that the tag allows, dyld rejects the file or a symbol is missing. \
        A warning up to macOS 10.13, because no supported Python runs on older versions.",
    source: TAGS,
    fix: "Set MACOSX_DEPLOYMENT_TARGET for the build (Nix: `darwinMinVersion`, or the SDK's minimum), or raise the tag.",
    example: "sample-1.0-py3-none-macosx_11_0_arm64.whl: sample/bin/tool: the arm64 slice needs macOS 14.0, the tag allows 11.0",
    check: Check::Wheel(minimum),
    #[cfg(test)]
    fails: || fixture::macos(fixture::MachO { minimum: (14, 0), ..fixture::MachO::default() }).into(),
};

fn minimum(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    let macos = macos(dist);
    if macos.is_empty() || wheel.macho().next().is_none() {
        return out.not_applicable();
    }
    for (member, slice) in loaded(wheel) {
        let Some(needed) = slice.min_macos else { continue };
        let tags = macos.iter().filter(|(_, arch)| policy::macos_archs(arch).contains(&slice.arch));
        let Some(tag) = tags.map(|(version, _)| *version).min() else { continue };
        // Apple silicon starts with macOS 11, so an older tag means 11.0.
        let tag = if slice.arch == "arm64" { tag.max((11, 0)) } else { tag };
        // 10.16 and 11.0 are the same release.
        let same = |version| if version == (10, 16) { (11, 0) } else { version };
        // From 11 on, tags have no minor version.
        let needed = if needed.0 >= 11 && tag.0 >= 11 { (needed.0, 0) } else { needed };
        if same(needed) > same(tag) {
            // No supported Python runs on versions before 10.13.
            if needed <= (10, 13) {
                out.with_severity(Warning);
            }
            out.at(
                &member.name,
                format!(
                    "the {} slice needs macOS {}.{}, the tag allows {}.{}",
                    slice.arch, needed.0, needed.1, tag.0, tag.1
                ),
            );
        }
    }
}

const SIGNED: Rule = Rule {
    id: "MAC003",
    title: "arm64 code is signed",
    severity: Error,
    provenance: BreaksRuntime,
    why: "Apple silicon kills a process that loads unsigned code.",
    source: "Apple, \"Apple silicon\": all arm64 code must be signed, at least ad hoc.",
    fix: "`codesign --force --sign - FILE` after the last change (strip, install_name_tool), then update RECORD.",
    example: "sample-1.0-py3-none-macosx_11_0_arm64.whl: sample/bin/tool: the arm64 slice has no code signature",
    check: Check::Wheel(signed),
    #[cfg(test)]
    fails: || fixture::macos(fixture::MachO { signed: false, ..fixture::MachO::default() }).into(),
};

fn signed(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    // On iOS, the app is signed with all its modules.
    if dist.is_only_for(&["ios_"]) {
        return out.not_applicable();
    }
    let mut any = false;
    for (member, slice) in loaded(wheel).filter(|(_, slice)| slice.arch.starts_with("arm64")) {
        any = true;
        if slice.signature.is_none() {
            out.at(&member.name, "the arm64 slice has no code signature");
        }
    }
    if !any {
        out.not_applicable();
    }
}

const LIBRARIES: Rule = Rule {
    id: "MAC004",
    title: "libraries belong to the system or the wheel",
    severity: Error,
    provenance: BreaksRuntime,
    why: "A library at a path of the build machine (Homebrew, MacPorts, a home directory) is missing for users. \
        `@loader_path`, `@executable_path` and `@rpath` are resolved to files of the wheel. A warning for a library that is \
        not in the wheel or not on the search path, because another package may provide it. A note for a library that the wheel's \
        SBOM declares as external.",
    source: TAGS,
    fix: "`delocate-wheel`, or link statically.",
    example: "sample-1.0-py3-none-macosx_11_0_arm64.whl: sample/bin/tool: the arm64 slice loads `/opt/homebrew/lib/libx.dylib`",
    check: Check::Wheel(libraries),
    #[cfg(test)]
    fails: || {
        fixture::macos(fixture::MachO {
            dylibs: vec!["/opt/homebrew/lib/libx.dylib".into()],
            ..fixture::MachO::default()
        })
        .into()
    },
};

fn libraries(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    if wheel.macho().next().is_none() {
        return out.not_applicable();
    }
    let dylibs = Dylibs::new(wheel);
    for (member, slice) in loaded(wheel) {
        let missing = dylibs.missing(member, slice).into_iter();
        let (external, missing): (Vec<_>, Vec<_>) =
            missing.partition(|(path, _)| wheel.external.contains(*path));
        if !external.is_empty() {
            let paths = some(external.iter().map(|(path, _)| path));
            out.with_severity(Note)
                .at(&member.name, format!("the {} slice loads {paths}{EXTERNAL}", slice.arch));
        }
        for absence in [
            DylibProblem::BuildMachine,
            DylibProblem::Elsewhere,
            DylibProblem::Unreached,
            DylibProblem::Unknown,
        ] {
            let paths: Vec<&str> =
                missing.iter().filter(|(_, found)| *found == absence).map(|(path, _)| *path).collect();
            if paths.is_empty() {
                continue;
            }
            let (severity, what) = match absence {
                DylibProblem::BuildMachine => (Error, ""),
                DylibProblem::Elsewhere => (Error, ", which is in the wheel but elsewhere"),
                // A previously loaded file or another package may provide it.
                DylibProblem::Unreached => (Warning, ", which is in the wheel but not on the search path"),
                DylibProblem::Unknown => (Warning, ", which is not in the wheel"),
            };
            let message = format!("the {} slice loads {}{what}", slice.arch, some(paths));
            out.with_severity(severity).at(&member.name, message);
        }
    }
}

const RPATH: Rule = Rule {
    id: "MAC005",
    title: "search paths are relative to the file",
    severity: Warning,
    provenance: BreaksRuntime,
    why: "dyld searches a directory of the build machine on the user's machine.",
    source: TAGS,
    fix: "`install_name_tool -delete_rpath PATH FILE`, then sign again.",
    example: "sample-1.0-py3-none-macosx_11_0_arm64.whl: sample/bin/tool: the arm64 slice searches `/Users/me/build`",
    check: Check::Wheel(rpath),
    #[cfg(test)]
    fails: || {
        fixture::macos(fixture::MachO { rpaths: vec!["/Users/me/build".into()], ..fixture::MachO::default() })
            .into()
    },
};

fn rpath(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    if wheel.macho().next().is_none() {
        return out.not_applicable();
    }
    for (member, slice) in loaded(wheel) {
        let fine = |path: &str| {
            path.starts_with('@')
                || path.starts_with("/usr/lib")
                || path.starts_with("/System/")
                || is_store_path(path)
        };
        let paths: Vec<&str> = slice.rpaths().filter(|path| !fine(path)).collect();
        if !paths.is_empty() {
            out.at(&member.name, format!("the {} slice searches {}", slice.arch, some(paths)));
        }
    }
}

const PLATFORM: Rule = Rule {
    id: "MAC006",
    title: "Mach-O files are for macOS",
    severity: Error,
    provenance: BreaksRuntime,
    why: "dyld rejects a file for iOS, a simulator or another platform. A warning for a file that nothing in \
        the wheel loads.",
    source: "Apple, `mach-o/loader.h`, LC_BUILD_VERSION.",
    fix: "Check the SDK and the target of the build.",
    example: "sample-1.0-py3-none-macosx_11_0_arm64.whl: sample/bin/tool: the arm64 slice is built for platform 2, expected 1 (macOS)",
    check: Check::Wheel(platform),
    #[cfg(test)]
    fails: || fixture::macos(fixture::MachO { platform: 2, ..fixture::MachO::default() }).into(),
};

fn platform(dist: &Dist, wheel: &Wheel, out: &mut Findings) {
    if macos(dist).is_empty() || wheel.every_macho().next().is_none() {
        return out.not_applicable();
    }
    let slices =
        wheel.every_macho().flat_map(|(member, info)| info.slices.iter().map(move |it| (member, it)));
    for (member, slice) in slices.filter(|(_, slice)| slice.is_loaded()) {
        // 1 is macOS, 6 is Catalyst, which a zippered file also has.
        if let Some(platform) = slice.platform.filter(|platform| ![1, 6].contains(platform)) {
            out.with_severity(foreign::severity(dist, wheel, member));
            out.at(
                &member.name,
                format!("the {} slice is built for platform {platform}, expected 1 (macOS)", slice.arch),
            );
        }
    }
}

const PAGES: Rule = Rule {
    id: "MAC007",
    title: "code signatures match the code",
    severity: Error,
    provenance: BreaksRuntime,
    why: "Apple silicon kills a process that runs a page whose hash does not match the signature: the file was \
        changed after it was signed.",
    source: "Apple, `cs_blobs.h`; Technical Note TN3126, \"Inside Code Signing: Hashes\".",
    fix: "`codesign --force --sign - FILE` after the last change (strip, install_name_tool), then update RECORD.",
    example: "sample-1.0-py3-none-macosx_11_0_arm64.whl: sample/bin/tool: the arm64 slice was changed after it was signed",
    check: Check::Wheel(pages),
    #[cfg(test)]
    fails: || fixture::signed_macho(true),
};

fn pages(_: &Dist, wheel: &Wheel, out: &mut Findings) {
    if !loaded(wheel).any(|(_, slice)| slice.arch.starts_with("arm64") && slice.signature.is_some()) {
        return out.not_applicable();
    }
    for member in &wheel.members {
        for arch in &member.broken_signatures {
            out.at(&member.name, format!("the {arch} slice was changed after it was signed"));
        }
    }
}
