//! Libraries that a wheel needs and did not come with: those that are copied
//! into it, and those that the user's system provides.

use super::Pass;
use crate::repair::archive::ArchiveError;
use crate::repair::error::WheelError;
use crate::repair::graft::{Grafted, Grafts};
use crate::repair::sbom;

impl Pass<'_> {
    /// Copies the libraries that the members need, and those that these need.
    /// Lists them in a bill of materials, with those that `exclude` names.
    pub(in crate::repair) fn take_grafts(&mut self) -> Result<(), WheelError> {
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

    fn take_grafted(&mut self, grafted: Grafted) -> Result<(), WheelError> {
        let Grafted { member, from, mut content } = grafted;
        self.change(&member, format!("copied from `{}`", from.display()));
        self.look(&member, &mut content)?;
        self.add(&member, true, &content).map_err(ArchiveError::Write)?;
        Ok(())
    }
}
