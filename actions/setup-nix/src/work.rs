//! What the commands share: their inputs, the files of the job, the time that
//! each part takes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use toolkit::{Cmd, Env, FileError, OutputMode, Ui, error_chain};

use crate::database::{self, Database};
use crate::error::Error;
use crate::folder::Cache;
use crate::inputs::Inputs;
use crate::machine::{FoundNix, MachineState};
use crate::mount::{self, Left, Mounted, Request};
use crate::plan::Plan;
use crate::privileged::{close_kvm, ourselves_as_root};
use crate::report::{Phase, Target};
use crate::store::{Store, hold_garbage_collection};
use crate::{conf, tree};

/// The longest that a command for root takes.
const MINUTES: Duration = Duration::from_secs(300);

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

    /// Mounts what a restore asks for, as root.
    pub(crate) fn mount(&self, request: &Request) -> Result<Mounted, Error> {
        if self.machine.root {
            return mount::mount(request, self.ui);
        }
        let request = serde_json::to_vec(request).unwrap_or_default();
        let done = self.as_root("mount")?.stdin(request).run(self.ui, OutputMode::Quiet, MINUTES)?;
        serde_json::from_str(done.stdout.trim())
            .map_err(|error| Error::Mount(format!("cannot read what `setup-nix mount` prints: {error}")))
    }

    /// Takes back what is mounted: its registration, what was built on it, the mounts.
    pub(crate) fn unmount(&self) -> Result<(), Error> {
        let names = mount::names();
        let mut built = Vec::new();
        if Path::new(database::FOLDER).join("db.sqlite").exists() {
            let _held = hold_garbage_collection()?;
            built = Database::open(true)?.forget(names.iter())?;
        }
        if self.machine.root {
            mount::unmount()?;
        } else {
            self.as_root("unmount")?.run(self.ui, OutputMode::Quiet, MINUTES)?;
        }
        for path in built.iter().filter(|path| !names.contains(*path)) {
            tree::remove(&path.path()).map_err(FileError::new("remove", &path.path()))?;
        }
        Ok(())
    }

    /// The same at the end of a job, on a machine that outlives it.
    pub(crate) fn unmount_at_end(&self) {
        if self.machine.hosted || mount::left() == Left::Nothing {
            return;
        }
        if let Err(error) = self.unmount() {
            let why = error_chain(&error);
            self.ui.warning(format!("images stay mounted over the store until the next run: {why}"));
        }
    }

    fn as_root(&self, command: &str) -> Result<Cmd, FileError> {
        let program = std::env::current_exe().map_err(FileError::new("find", "the running program"))?;
        let path = self.env.get("PATH").unwrap_or("/usr/bin:/bin").to_owned();
        Ok(ourselves_as_root(&program, command, &[("PATH", path)]))
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
