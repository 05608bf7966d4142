//! Libraries that a wheel needs and did not come with: those that are copied
//! into it, and those that the user's system provides.

use super::{HeldMember, Pass};
use crate::repair::archive::ArchiveError;
use crate::repair::binary_error::BinaryError;
use crate::repair::dll::{DllGrafts, FinishedDll};
use crate::repair::dll_search::DllSearch;
use crate::repair::error::WheelError;
use crate::repair::graft::{Grafted, Grafts};
use crate::repair::sbom;

impl Pass<'_> {
    /// Copies the libraries that the members need, and those that these need.
    /// Lists them in a bill of materials, with those that `exclude` names.
    pub(in crate::repair) fn take_grafts(&mut self) -> Result<(), WheelError> {
        self.take_dlls()?;
        while let Some(grafted) = self.grafts.as_mut().and_then(Grafts::next) {
            self.take_grafted(grafted)?;
        }
        let grafted = self.grafts.as_ref().map(Grafts::done).unwrap_or_default();
        if grafted.is_empty() && self.external.is_empty() {
            return Ok(());
        }
        let bill = sbom::of_libraries(grafted, &self.external, self.bill.as_deref(), self.options.epoch);
        if let Some(document) = bill {
            let name = format!("{}{}", self.dist_info, sbom::BILL);
            self.members.retain(|(member, _)| member.name != name);
            self.add(&name, false, document.as_slice()).map_err(ArchiveError::Write)?;
        }
        Ok(())
    }

    /// Takes the PE files that were held back, and copies the DLLs that they import to
    /// where Windows finds them.
    fn take_dlls(&mut self) -> Result<(), WheelError> {
        let held = std::mem::take(&mut self.held);
        let Some(grafts) = self.grafts.as_ref().filter(|_| !held.is_empty()) else { return Ok(()) };
        let search = DllSearch::new(grafts.is_all(), &self.options.scratch);
        let stem = self.stem.clone();
        let mut dlls = DllGrafts::new(&stem, &self.options.exclude, &self.files, search);
        let failed = |file: &str| {
            let file = file.to_owned();
            |source: BinaryError| WheelError::Binary { file, source }
        };
        for HeldMember { member, content, .. } in &held {
            dlls.add(&member.name, content).map_err(failed(&member.name))?;
        }
        for HeldMember { member, mut content, entry } in held {
            let changes = dlls.rename(&mut content).map_err(failed(&member.name))?;
            let is_edited = !changes.is_empty();
            for what in changes {
                self.change(&member.name, what);
            }
            self.take_edited(&member, content, entry, is_edited)?;
        }
        for dll in dlls.finish().map_err(failed(&stem))? {
            let FinishedDll { mut content, changes, members, from, hash } = dll;
            for member in members {
                self.change(&member, format!("copied from `{}`", from.display()));
                for what in &changes {
                    self.change(&member, what.clone());
                }
                self.look(&member, &mut content)?;
                self.add(&member, true, &content).map_err(ArchiveError::Write)?;
                if let Some(grafts) = &mut self.grafts {
                    grafts.add_done(member, from.clone(), hash);
                }
            }
        }
        self.warnings.append(&mut dlls.warnings);
        Ok(())
    }

    fn take_grafted(&mut self, grafted: Grafted) -> Result<(), WheelError> {
        let Grafted { member, from, mut content } = grafted;
        self.change(&member, format!("copied from `{}`", from.display()));
        self.look(&member, &mut content)?;
        self.add(&member, true, &content).map_err(ArchiveError::Write)?;
        Ok(())
    }
}
