//! What a wheel installs that a smoke test can run.

use binfmt::elf::{ElfInfo, Kind};
use binfmt::macho::MachOInfo;
use binfmt::pe::PeInfo;
use pydist::headers::Headers;
use pydist::member_path::file_name;
use pydist::requirement;

/// What a smoke test can run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// Scripts that are not binaries, by name.
    pub scripts: Vec<String>,
    /// Executables, wherever they are in the wheel.
    pub executables: Vec<Executable>,
    /// Shared libraries that Python imports or that a package loads itself.
    pub extensions: Vec<Extension>,
    /// Top-level modules.
    pub modules: Vec<String>,
    /// Whether the wheel has entry points.
    pub has_entry_points: bool,
    /// Whether the wheel depends on other distributions.
    pub requires: bool,
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
}

/// A shared library in a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// Its path in the wheel.
    pub member: String,
    /// Whether it is known to be a Python module.
    pub is_module: bool,
}

/// The script's name, if the member is a script.
pub(super) fn script(member: &str) -> Option<&str> {
    member.split_once(".data/scripts/").map(|(_, script)| script)
}

impl Contents {
    /// Adds an ELF file.
    pub(super) fn add_elf(&mut self, member: &str, elf: &ElfInfo) {
        let file = file_name(member);
        let is_library = file.ends_with(".so") || file.contains(".so.");
        match elf.kind {
            Kind::Executable if !is_library => self.add_executable(member, elf.interpreter()),
            Kind::Executable | Kind::Library => {
                let stem = file.split('.').next().unwrap_or_default();
                let is_module = elf.defined_python.contains(&format!("PyInit_{stem}"));
                self.add_library(member, is_module);
            }
            Kind::Object | Kind::Other(_) => {}
        }
    }

    /// Adds a Mach-O file.
    pub(super) fn add_macho(&mut self, member: &str, macho: &MachOInfo) {
        let types: Vec<u32> = macho.slices.iter().map(|slice| slice.file_type).collect();
        if types.contains(&2) {
            self.add_executable(member, None);
        } else if types.contains(&6) || types.contains(&8) {
            self.add_library(member, member.contains(".abi3.so") || member.contains(".cpython-"));
        }
    }

    /// Adds a PE file.
    pub(super) fn add_pe(&mut self, member: &str, pe: &PeInfo) {
        if !pe.is_dll {
            self.add_executable(member, None);
        } else if member.to_ascii_lowercase().ends_with(".pyd") {
            self.add_library(member, true);
        }
    }

    /// Whether the wheel has binaries to run.
    pub(super) fn has_binaries(&self) -> bool {
        !self.executables.is_empty() || !self.extensions.is_empty()
    }

    fn add_executable(&mut self, member: &str, interpreter: Option<&str>) {
        let (script, interpreter) = (script(member).map(str::to_owned), interpreter.map(str::to_owned));
        self.executables.push(Executable { member: member.to_owned(), script, interpreter });
    }

    fn add_library(&mut self, member: &str, is_module: bool) {
        // Bundled libraries are loaded by the binaries that need them.
        let is_bundled = member.split('/').rev().skip(1).any(|part| part.ends_with(".libs"));
        let is_data = member.contains(".data/data/") || member.contains(".dylibs/");
        if !is_bundled && !is_data && script(member).is_none() {
            self.extensions.push(Extension { member: member.to_owned(), is_module });
        }
    }

    /// Adds a member that is not a binary.
    pub(super) fn add_text(&mut self, member: &str, content: &[u8], dist_info: &str) {
        if let Some(script) = script(member) {
            self.scripts.push(script.to_owned());
        } else if member.strip_prefix(dist_info) == Some("METADATA") {
            let metadata = Headers::parse(content).unwrap_or_default();
            // Requirements of extras are optional.
            let is_required = |line: &str| {
                requirement::parse(line).ok().is_none_or(|found| found.marker.evaluate_extras(&[]))
            };
            self.requires = metadata.all("Requires-Dist").any(is_required);
        } else if member.strip_prefix(dist_info) == Some("entry_points.txt") {
            self.has_entry_points = true;
        }
    }

    /// Adds the top-level module that `member` is or belongs to.
    pub(super) fn add_module(&mut self, member: &str) {
        let member = [".data/purelib/", ".data/platlib/"]
            .iter()
            .find_map(|scheme| member.split_once(scheme))
            .map_or(member, |(_, path)| path);
        let is_identifier =
            |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_');
        let module = match member.split_once('/') {
            Some((package, "__init__.py")) => Some(package),
            Some(_) => None,
            // `name.py`, or an extension: `name.abi3.so`.
            None => match member.rsplit('.').next() {
                Some("py" | "so" | "pyd") => member.split('.').next(),
                _ => None,
            },
        };
        self.modules.extend(module.filter(|module| is_identifier(module)).map(str::to_owned));
    }
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
            contents.requires
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
