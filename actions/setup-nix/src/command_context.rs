//! What the commands share: inputs, files of the job, and timings.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use toolkit::{Cmd, Env, FileError, OutputMode, Ui, error_chain};

use crate::cache::Cache;
use crate::database::{DATABASE_DIR, Database};
use crate::error::Error;
use crate::inputs::Inputs;
use crate::machine::{FoundNix, MachineState};
use crate::mount::{self, EarlierMounts, Mounted, Request};
use crate::plan::Plan;
use crate::privileged::{KVM_RULE, close_kvm, own_command_as_root};
use crate::report::{Phase, Target};
use crate::runner_process::{runner, runner_from_env};
use crate::running_jobs::RunningJobs;
use crate::store::{Store, block_garbage_collection};
use crate::{conf, tree};

/// Timeout of a command that runs as root.
pub(crate) const ROOT_TIMEOUT: Duration = Duration::from_secs(300);

// Files in the job's state directory.
/// The log of the background packer.
pub(crate) const PACKER_LOG: &str = "packed";
/// The name of the set of paths that the cache held before the job.
pub(crate) const RESTORED_SET: &str = "restored-set";
/// The id of the last registration before the job's own.
pub(crate) const FIRST_ID: &str = "first";
/// The id of the registration up to which everything is packed.
pub(crate) const LAST_PACKED_ID: &str = "last-packed";
/// Exists if this job opened `/dev/kvm`.
pub(crate) const KVM_OPENED: &str = "kvm";

/// Everything that a command needs.
pub(crate) struct CommandContext<'a> {
    pub(crate) inputs: &'a Inputs,
    pub(crate) machine: &'a MachineState,
    pub(crate) plan: &'a Plan,
    pub(crate) env: &'a Env,
    pub(crate) ui: &'a Ui,
}

impl CommandContext<'_> {
    pub(crate) fn cache(&self) -> Cache {
        Cache::new(&self.plan.cache_dir, &self.inputs.state)
    }

    pub(crate) fn report_target(&self) -> Target<'_> {
        Target { plan: self.plan, ui: self.ui, path: self.inputs.report_path.as_deref() }
    }

    pub(crate) fn conf_path(&self) -> PathBuf {
        self.inputs.state.join("nix.conf")
    }

    pub(crate) fn store(&self, bin: &Path) -> Store<'_> {
        Store { bin: bin.to_owned(), conf: self.conf_path(), ui: self.ui }
    }

    /// The Nix on this machine, or an error if there is none.
    pub(crate) fn nix(&self) -> Result<&FoundNix, Error> {
        self.machine.nix.as_ref().ok_or_else(|| Error::Plan {
            message: "no Nix found on this machine".into(),
            hint: "run `setup-nix install` first".into(),
        })
    }

    /// Mounts the requested images as root.
    pub(crate) fn mount(&self, request: &Request) -> Result<Mounted, Error> {
        if self.machine.root {
            return mount::mount(request, self.ui);
        }
        let request = serde_json::to_vec(request).unwrap_or_default();
        let output = self.as_root("mount")?.stdin(request).run(self.ui, OutputMode::Quiet, ROOT_TIMEOUT)?;
        serde_json::from_str(output.stdout.trim())
            .map_err(|error| Error::Mount(format!("cannot parse the output of `setup-nix mount`: {error}")))
    }

    /// Unmounts the images: removes the registrations of their paths and of paths that refer
    /// to them, then the mounts and those paths.
    pub(crate) fn unmount(&self) -> Result<(), Error> {
        let mounted = mount::mounted_paths();
        let mut unregistered = Vec::new();
        if Path::new(DATABASE_DIR).join("db.sqlite").exists() {
            let _lock = block_garbage_collection()?;
            unregistered = Database::open(true)?.unregister(mounted.iter())?;
        }
        if self.machine.root {
            mount::unmount()?;
        } else {
            self.as_root("unmount")?.run(self.ui, OutputMode::Quiet, ROOT_TIMEOUT)?;
        }
        for path in unregistered.iter().filter(|path| !mounted.contains(*path)) {
            tree::remove(&path.path()).map_err(FileError::new("remove", &path.path()))?;
        }
        Ok(())
    }

    /// Unmounts the images at the end of the last job that runs, unless the machine is discarded
    /// anyway.
    pub(crate) fn unmount_at_end(&self) {
        if self.machine.hosted {
            return;
        }
        RunningJobs::of_machine().remove(&self.inputs.state, self.runner());
        if mount::earlier_mounts() == EarlierMounts::None {
            return;
        }
        if self.has_other_jobs() {
            self.ui.info("images stay mounted over the store until the other jobs on this machine end");
            return;
        }
        let unmounted = mount::lock(self.ui).map_err(Error::from).and_then(|_lock| {
            // Another job may have unmounted them meanwhile, or started.
            let are_needed = mount::earlier_mounts() == EarlierMounts::None || self.has_other_jobs();
            if are_needed { Ok(()) } else { self.unmount() }
        });
        if let Err(error) = unmounted {
            let why = error_chain(&error);
            self.ui.warning(format!("images stay mounted over the store until the next run: {why}"));
        }
    }

    /// The process that runs this job.
    fn runner(&self) -> Option<Pid> {
        runner_from_env(self.env).or_else(runner)
    }

    fn has_other_jobs(&self) -> bool {
        RunningJobs::of_machine().has_others(&self.inputs.state, self.runner())
    }

    fn as_root(&self, command: &str) -> Result<Cmd, FileError> {
        let program = std::env::current_exe().map_err(FileError::new("find", "the running program"))?;
        let path = self.env.get("PATH").unwrap_or("/usr/bin:/bin").to_owned();
        Ok(own_command_as_root(&program, command, &[("PATH", path)]))
    }

    /// Whether this job opened `/dev/kvm`, or an earlier one that could not close it yet.
    pub(crate) fn kvm_opened(&self) -> bool {
        let has_rule = || !self.machine.hosted && fs::symlink_metadata(KVM_RULE).is_ok();
        self.inputs.state.join(KVM_OPENED).exists() || has_rule()
    }

    /// Removes the tokens and, if `/dev/kvm` was opened and no other job runs, closes it.
    pub(crate) fn clean_up(&self, kvm_opened: bool) {
        if let Err(error) = conf::remove_tokens(&self.conf_path()) {
            self.ui.warning(format!(
                "cannot remove the tokens from `{}`: {}",
                self.conf_path().display(),
                error_chain(&error)
            ));
        }
        // The last job to end closes it.
        if !kvm_opened || self.has_other_jobs() {
            return;
        }
        match close_kvm(self.machine).run(self.ui, OutputMode::Quiet, Duration::from_secs(60)) {
            Err(error) => self.ui.warning(format!("cannot restore the permissions of `/dev/kvm`: {error}")),
            Ok(_) => {
                let _ = fs::remove_file(self.inputs.state.join(KVM_OPENED));
            }
        }
    }
}

/// The timings of a command's phases.
#[derive(Default)]
pub(crate) struct Phases(pub(crate) Vec<Phase>);

impl Phases {
    /// Runs `work`, which returns the number of bytes it processed, and records its time.
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
