//! What a wheel installs that a smoke test can run.

use std::collections::BTreeSet;

use binfmt::elf::{ElfInfo, Kind};
use binfmt::macho::MachOInfo;
use binfmt::pe::PeInfo;
use pydist::headers::Headers;
use pydist::member_path::file_name;
use pydist::requirement::{self, MarkerEnvironment, Requirement};
use pydist::zip::Member;

use super::layout::{Root, installed};

/// What a smoke test can run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// `<package>-<version>`, as in the members' names.
    stem: String,
    /// Scripts that are not binaries, by name.
    pub scripts: Vec<String>,
    /// Members outside of `.data/scripts` that are executable and start with `#!`.
    pub package_scripts: Vec<String>,
    /// Executables, wherever they are in the wheel.
    pub executables: Vec<Executable>,
    /// Shared libraries that Python imports or that a package loads itself.
    pub extensions: Vec<Extension>,
    /// Top-level modules.
    pub modules: Vec<String>,
    /// The modules and packages below which every module is the wheel's own.
    pub own: BTreeSet<String>,
    /// The file names of the shared libraries, including bundled ones.
    pub libraries: BTreeSet<String>,
    /// Libraries that binaries need and that `exclude` matches.
    pub external: BTreeSet<String>,
    /// Whether the wheel has entry points.
    pub has_entry_points: bool,
    /// `Requires-Python`, if there is any.
    pub requires_python: Option<String>,
    /// The requirements that need no extra; `None` is one that cannot be parsed.
    requirements: Vec<Option<Requirement>>,
}

/// An executable binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executable {
    /// Its path in the wheel.
    pub member: String,
    /// Its name in the installation's `bin` directory, if it is a script.
    pub script: Option<String>,
    /// Its loader (`PT_INTERP`).
    pub interpreter: Option<String>,
    /// What it runs on; `None` if it runs where the wheel does.
    pub platform: Option<ProgramPlatform>,
}

/// What a program runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramPlatform {
    /// The system.
    pub system: ProgramSystem,
    /// The processors, as the system's platform tags name them.
    pub archs: Vec<String>,
    /// Its name in messages.
    pub name: String,
}

/// The system of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgramSystem {
    /// With any C library.
    Linux,
    /// macOS.
    Macos,
    /// Windows.
    Windows,
    /// One that Python wheels are not tested on.
    Other,
}

/// A shared library in a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// Its path in the wheel.
    pub member: String,
    /// Whether it is known to be a Python module.
    pub is_module: bool,
}

/// Whether the file name is that of a shared library.
fn is_library(file: &str) -> bool {
    file.ends_with(".so") || file.contains(".so.")
}

/// The script's name, if the member of the wheel `<package>-<version>` is a script.
fn script<'m>(stem: &str, member: &'m str) -> Option<&'m str> {
    member.strip_prefix(stem)?.strip_prefix(".data/scripts/")
}

/// The modules and packages of the wheel that no other distribution adds modules to: those in
/// the outermost directories that are not namespace packages.
fn own_modules(stem: &str, members: &[Member]) -> BTreeSet<String> {
    let paths = members.iter().filter_map(|member| {
        let (root, path) = installed(stem, &member.name);
        (root == Root::Site).then_some(path)
    });
    let paths: Vec<_> =
        paths.filter(|path| [".py", ".so", ".pyd"].iter().any(|suffix| path.ends_with(suffix))).collect();
    let is_init = |file: &str| file.split('.').next() == Some("__init__");
    let inits = paths.iter().filter_map(|path| path.rsplit_once('/'));
    let packages: BTreeSet<&str> = inits.filter(|(_, file)| is_init(file)).map(|(dir, _)| dir).collect();
    let own = paths.iter().map(|path| {
        let mut ends = path.match_indices('/').map(|(end, _)| &path[..end]);
        let module = ends.find(|directory| packages.contains(directory)).unwrap_or_else(|| {
            // `ns/name.abi3.so`
            let file = file_name(path);
            let suffix = file.find('.').map_or(0, |dot| file.len() - dot);
            &path[..path.len() - suffix]
        });
        module.replace('/', ".")
    });
    own.collect()
}

impl Contents {
    /// Those of the wheel `<package>-<version>` before its members are read.
    pub(super) fn new(stem: &str, members: &[Member]) -> Self {
        Self { stem: stem.to_owned(), own: own_modules(stem, members), ..Self::default() }
    }

    /// Whether one of its own modules has this name.
    pub fn is_own(&self, module: &str) -> bool {
        let is_below = |module: &str, package: &str| {
            module.strip_prefix(package).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.own.iter().any(|own| is_below(module, own) || is_below(own, module))
    }

    /// Whether it depends on other distributions, in `environment` if it is known.
    pub fn requires(&self, environment: Option<&MarkerEnvironment>) -> bool {
        self.requirements.iter().any(|requirement| match (requirement, environment) {
            (Some(requirement), Some(environment)) => requirement.marker.evaluate(environment, &[]),
            _ => true,
        })
    }

    /// The script's name, if the member is a script.
    pub(super) fn script<'m>(&self, member: &'m str) -> Option<&'m str> {
        script(&self.stem, member)
    }

    /// Adds an ELF file.
    pub(super) fn add_elf(&mut self, member: &str, elf: &ElfInfo) {
        let file = file_name(member);
        match elf.kind {
            Kind::Executable if !is_library(file) => self.add_executable(member, elf.interpreter(), None),
            Kind::Executable | Kind::Library => {
                let stem = file.split('.').next().unwrap_or_default();
                let is_module = elf.defined_python.contains(&format!("PyInit_{stem}"));
                self.add_library(member, is_module);
                if is_module {
                    self.add_top_level(member);
                }
            }
            Kind::Object | Kind::Other(_) => {}
        }
    }

    /// Adds a Mach-O file.
    pub(super) fn add_macho(&mut self, member: &str, macho: &MachOInfo) {
        let types: Vec<u32> = macho.slices.iter().map(|slice| slice.file_type).collect();
        if types.contains(&2) {
            self.add_executable(member, None, None);
        } else if types.contains(&6) || types.contains(&8) {
            let stem = file_name(member).split('.').next().unwrap_or_default();
            let init = format!("PyInit_{stem}");
            let exports = |unknown: bool| {
                let mut exported = macho.slices.iter().map(|slice| slice.exported_python.as_ref());
                exported.any(|exported| exported.map_or(unknown, |names| names.contains(&init)))
            };
            let is_named = member.contains(".abi3.so") || member.contains(".cpython-");
            self.add_library(member, is_named || exports(false));
            if exports(true) {
                self.add_top_level(member);
            }
        }
    }

    /// Adds a PE file.
    pub(super) fn add_pe(&mut self, member: &str, pe: &PeInfo) {
        if !pe.is_dll {
            let platform = ProgramPlatform {
                system: ProgramSystem::Windows,
                archs: pe.arch().map(str::to_owned).into_iter().collect(),
                name: "Windows".to_owned(),
            };
            self.add_executable(member, None, Some(platform));
        } else if member.to_ascii_lowercase().ends_with(".pyd") {
            self.add_library(member, true);
            self.add_top_level(member);
        }
    }

    /// Adds a program for another platform than the wheel, or of a wheel for several.
    pub(super) fn add_foreign(
        &mut self,
        member: &str,
        platform: ProgramPlatform,
        interpreter: Option<String>,
    ) {
        if !is_library(file_name(member)) {
            self.add_executable(member, interpreter.as_deref(), Some(platform));
        }
    }

    /// Whether the wheel has binaries of its platform to run.
    pub(super) fn has_binaries(&self) -> bool {
        let is_own = |program: &Executable| {
            program.platform.as_ref().is_none_or(|platform| platform.system == ProgramSystem::Windows)
        };
        self.executables.iter().any(is_own) || !self.extensions.is_empty()
    }

    fn add_executable(&mut self, member: &str, interpreter: Option<&str>, platform: Option<ProgramPlatform>) {
        let script = self.script(member).map(str::to_owned);
        let interpreter = interpreter.map(str::to_owned);
        self.executables.push(Executable { member: member.to_owned(), script, interpreter, platform });
    }

    fn add_library(&mut self, member: &str, is_module: bool) {
        // Bundled libraries are loaded by the binaries that need them, unlike modules.
        let mut directories = member.split('/').rev().skip(1);
        let is_bundled = directories.any(|part| part.ends_with(".libs") || part.ends_with(".dylibs"));
        let is_header = installed(&self.stem, member).0 == Root::Headers;
        if !(is_header || is_bundled && !is_module) && self.script(member).is_none() {
            self.extensions.push(Extension { member: member.to_owned(), is_module });
        }
    }

    /// Adds a member that is not a binary.
    pub(super) fn add_text(&mut self, member: &str, content: &[u8], dist_info: &str) {
        if let Some(script) = self.script(member) {
            self.scripts.push(script.to_owned());
        } else if member.strip_prefix(dist_info) == Some("METADATA") {
            let metadata = Headers::parse(content).unwrap_or_default();
            self.requires_python = metadata.get("Requires-Python").map(str::to_owned);
            let requirements = metadata.all("Requires-Dist").map(|line| requirement::parse(line).ok());
            // Requirements of extras are optional.
            let is_required = |found: &Option<Requirement>| {
                found.as_ref().is_none_or(|found| found.marker.evaluate_extras(&[]))
            };
            self.requirements = requirements.filter(is_required).collect();
        } else if member.strip_prefix(dist_info) == Some("entry_points.txt") {
            self.has_entry_points = true;
        } else if !member.starts_with(dist_info) && installed(&self.stem, member).0 != Root::Headers {
            self.package_scripts.push(member.to_owned());
        }
    }

    /// Adds the top-level module that `member` is or belongs to, unless it is an extension.
    pub(super) fn add_module(&mut self, member: &str) {
        let (Root::Site, path) = installed(&self.stem, member) else { return };
        let module = match path.split_once('/') {
            Some((package, "__init__.py")) => Some(package),
            Some(_) => None,
            None => path.strip_suffix(".py").and_then(|path| path.split('.').next()),
        };
        self.modules.extend(module.filter(|module| is_identifier(module)).map(str::to_owned));
    }

    /// Adds an extension module if it is not in a package: `name.abi3.so`.
    fn add_top_level(&mut self, member: &str) {
        let (Root::Site, path) = installed(&self.stem, member) else { return };
        let is_extension = !path.contains('/') && (path.ends_with(".so") || path.ends_with(".pyd"));
        let module = path.split('.').next().filter(|module| is_extension && is_identifier(module));
        self.modules.extend(module.map(str::to_owned));
    }
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requirement_is_optional_by_its_marker() {
        let requires = |line: &str| {
            let mut contents = Contents::default();
            let metadata = format!("Metadata-Version: 2.1\nName: a\nVersion: 1\n{line}\n");
            contents.add_text("a-1.dist-info/METADATA", metadata.as_bytes(), "a-1.dist-info/");
            contents.requires(None)
        };
        for (line, expected) in [
            ("Requires-Dist: pydantic-extra-types", true),
            ("Requires-Dist: a[extra]>=1", true),
            ("Requires-Dist: a; sys_platform == 'win32'", true),
            ("Requires-Dist: a; extra == 'b' or python_version < '3.9'", true),
            ("Requires-Dist: a ; extra == 'b'", false),
            ("Requires-Dist: a; python_version < '3.9' and extra == \"b\"", false),
            ("Requires-Dist: a; extra == 'b'\nRequires-Dist: c", true),
            ("Requires-Dist: not a requirement", true),
            ("Requires-Python: >=3.9", false),
        ] {
            assert_eq!(requires(line), expected, "{line}");
        }
    }
}
