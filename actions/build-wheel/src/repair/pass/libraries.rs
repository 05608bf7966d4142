//! Libraries that a wheel needs but does not contain: those that are grafted
//! into it, and those that the user's system provides.

use binfmt::source::ReadAt;

use super::{Pass, ReadMember};
use crate::repair::archive::ArchiveError;
use crate::repair::binary_error::BinaryError;
use crate::repair::dll::{DllGrafts, FinishedDll};
use crate::repair::dll_search::DllSearch;
use crate::repair::error::WheelError;
use crate::repair::graft::{Grafted, Grafts};
use crate::repair::sbom;

impl Pass<'_> {
    /// Grafts the libraries that the members need, with their own
    /// dependencies, and lists them in the SBOM, with those that `exclude`
    /// matches.
    pub(in crate::repair) fn add_grafts(
        &mut self,
        source: &(impl ReadAt + ?Sized),
    ) -> Result<(), WheelError> {
        self.add_dlls(source)?;
        while let Some(grafted) = self.grafts.as_mut().and_then(Grafts::next) {
            self.add_grafted(grafted)?;
        }
        let grafted = self.grafts.as_ref().map(Grafts::grafted).unwrap_or_default();
        if grafted.is_empty() && self.external.is_empty() {
            return Ok(());
        }
        let document =
            sbom::of_libraries(grafted, &self.external, self.previous_sbom.as_deref(), self.options.epoch);
        if let Some(document) = document {
            let name = format!("{}{}", self.dist_info, sbom::MEMBER);
            self.members.retain(|(member, _)| member.name != name);
            self.add(&name, false, document.as_slice()).map_err(ArchiveError::Write)?;
        }
        Ok(())
    }

    /// Processes the PE files that were held back, and copies the DLLs that they import to
    /// where Windows finds them.
    fn add_dlls(&mut self, source: &(impl ReadAt + ?Sized)) -> Result<(), WheelError> {
        let held = std::mem::take(&mut self.held);
        let Some(grafts) = self.grafts.as_ref().filter(|_| !held.is_empty()) else { return Ok(()) };
        let search = DllSearch::new(grafts.is_all(), &self.options.scratch);
        let stem = self.stem.clone();
        let mut dlls = DllGrafts::new(&stem, &self.options.exclude, &self.files, search);
        let binary_error = |file: &str| {
            let file = file.to_owned();
            |source: BinaryError| WheelError::Binary { file, source }
        };
        for ReadMember { member, content, .. } in &held {
            dlls.add(&member.name, content).map_err(binary_error(&member.name))?;
        }
        for mut read in held {
            let changes = dlls.rename(&mut read.content).map_err(binary_error(&read.member.name))?;
            let is_edited = !changes.is_empty();
            for what in changes {
                self.change(&read.member.name, what);
            }
            self.process_edited(read, is_edited, source)?;
        }
        for dll in dlls.finish().map_err(binary_error(&stem))? {
            let FinishedDll { mut content, changes, members, from, version, hash } = dll;
            let version =
                version.map(|[a, b, c, d]| format!(", version {a}.{b}.{c}.{d}")).unwrap_or_default();
            for member in members {
                self.change(&member, format!("copied from `{}`{version}", from.display()));
                for what in &changes {
                    self.change(&member, what.clone());
                }
                self.edit_member(&member, false, &mut content)?;
                self.add(&member, true, &content).map_err(ArchiveError::Write)?;
                if let Some(grafts) = &mut self.grafts {
                    grafts.add_grafted(member, from.clone(), hash);
                }
            }
        }
        self.warnings.append(&mut dlls.warnings);
        Ok(())
    }

    fn add_grafted(&mut self, grafted: Grafted) -> Result<(), WheelError> {
        let Grafted { member, from, mut content } = grafted;
        self.change(&member, format!("copied from `{}`", from.display()));
        self.edit_member(&member, false, &mut content)?;
        self.add(&member, true, &content).map_err(ArchiveError::Write)?;
        Ok(())
    }
}
