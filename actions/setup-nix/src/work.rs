//! What the commands share: their inputs, the files of the job, the time that
//! each part takes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use toolkit::{Env, OutputMode, Ui, error_chain};

use crate::conf;
use crate::error::Error;
use crate::folder::Cache;
use crate::inputs::Inputs;
use crate::machine::{FoundNix, MachineState};
use crate::plan::Plan;
use crate::privileged::close_kvm;
use crate::report::{Phase, Target};
use crate::store::Store;

/// Files of the job's own directory: what the background packer did; the set of
/// paths that was restored; the last registration before the job's own; the last one
/// up to which everything is packed; that `/dev/kvm` was opened.
pub(crate) const PACKED: &str = "packed";
pub(crate) const RESTORED_SET: &str = "restored-set";
pub(crate) const FIRST: &str = "first";
pub(crate) const LAST: &str = "last-packed";
pub(crate) const KVM: &str = "kvm";

/// All that a command needs.
pub(crate) struct Work<'a> {
    pub(crate) inputs: &'a Inputs,
    pub(crate) machine: &'a MachineState,
    pub(crate) plan: &'a Plan,
    pub(crate) env: &'a Env,
    pub(crate) ui: &'a Ui,
}

impl Work<'_> {
    pub(crate) fn cache(&self) -> Cache {
        Cache::new(&self.plan.cache_folder, &self.inputs.state)
    }

    pub(crate) fn report(&self) -> Target<'_> {
        Target { plan: self.plan, ui: self.ui, path: self.inputs.report_path.as_deref() }
    }

    pub(crate) fn conf(&self) -> PathBuf {
        self.inputs.state.join("nix.conf")
    }

    pub(crate) fn store(&self, bin: &Path) -> Store<'_> {
        Store { bin: bin.to_owned(), conf: self.conf(), ui: self.ui }
    }

    /// The Nix that is there by now.
    pub(crate) fn found(&self) -> Result<&FoundNix, Error> {
        self.machine.nix.as_ref().ok_or_else(|| Error::Plan {
            message: "there is no Nix on this machine".into(),
            hint: "run `setup-nix install` first".into(),
        })
    }

    /// Undoes what must not outlive the job.
    pub(crate) fn clean_up(&self) {
        if let Err(error) = conf::forget_tokens(&self.conf()) {
            self.ui.warning(format!(
                "the tokens stay in `{}`: {}",
                self.conf().display(),
                error_chain(&error)
            ));
        }
        let mark = self.inputs.state.join(KVM);
        if mark.exists() {
            let closed = close_kvm(self.machine).run(self.ui, OutputMode::Quiet, Duration::from_secs(60));
            if let Err(error) = closed {
                self.ui.warning(format!("/dev/kvm stays open to everybody: {error}"));
            }
            let _ = fs::remove_file(mark);
        }
    }
}

/// Where a command's time goes.
#[derive(Default)]
pub(crate) struct Phases(pub(crate) Vec<Phase>);

impl Phases {
    /// Runs `work`, which gives how many bytes it was about, and notes its time.
    pub(crate) fn time<T>(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> Result<(T, u64), Error>,
    ) -> Result<T, Error> {
        let start = Instant::now();
        let (value, bytes) = work()?;
        self.add(name, start.elapsed(), bytes);
        Ok(value)
    }

    pub(crate) fn add(&mut self, name: &'static str, time: Duration, bytes: u64) {
        self.0.push(Phase { name, seconds: time.as_secs_f64(), bytes });
    }
}
