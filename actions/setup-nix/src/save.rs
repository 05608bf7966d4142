//! The end of a job: packs the remaining paths, applies `max-size`, pushes to other stores,
//! and prepares what the cache service saves.

use std::fs;
use std::io;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use toolkit::{Choice as _, FileError, error_chain, interrupted, write_atomic};

use crate::background::read_log;
use crate::cache::Cache;
use crate::choices::CacheMode;
use crate::command_context::{CommandContext, FIRST_ID, LAST_PACKED_ID, Phases, RESTORED_SET};
use crate::database::Database;
use crate::error::Error;
use crate::estimate::record_percent_read;
use crate::layers::{Exchange, Staged};
use crate::narinfo::StorePath;
use crate::pack::{Packed, pack, stop_file};
use crate::prune::{Pruned, prune};
use crate::report::{self, SaveResult};

impl CommandContext<'_> {
    /// Runs one packing pass.
    pub(crate) fn pack(&self) -> Result<(), Error> {
        if self.plan.cache != CacheMode::ReadWrite {
            self.ui.report(format!("nothing to pack: the cache is {}", self.plan.cache.word()));
            return Ok(());
        }
        let start = Instant::now();
        let packed = pack(&self.cache(), &self.nix()?.bin, 0, false, &interrupted)?;
        report::packed(&packed, start.elapsed(), self.ui);
        Ok(())
    }

    /// Copies what the job built to the stores of `push-to`.
    fn push(&self) {
        let built = || -> Result<Vec<StorePath>, Error> {
            let first = self.inputs.state.join(FIRST_ID);
            let text = fs::read_to_string(&first).map_err(FileError::new("read", &first))?;
            let id = text
                .trim()
                .parse()
                .map_err(|error| FileError::new("read", &first)(io::Error::other(error)))?;
            let rows = Database::open(false)?.after(id)?;
            let outputs = rows.into_iter().filter(|row| row.built && !row.info.path.is_derivation());
            Ok(outputs.map(|row| row.info.path).collect())
        };
        for url in &self.inputs.push_to {
            let pushed = built().and_then(|paths| {
                self.store(&self.nix()?.bin).copy(url, &paths)?;
                Ok(paths.len())
            });
            match pushed {
                Ok(count) => self.ui.report(format!("{count} built paths copied to `{url}`")),
                Err(error) => self
                    .ui
                    .warning(format!("cannot copy all built paths to `{url}`: {}", error_chain(&error))),
            }
        }
    }

    /// Stops the packer, packs the remaining paths and applies `max-size`. Cache problems are
    /// only warnings, because the job itself is done.
    pub(crate) fn save(&self) -> Result<(), Error> {
        let saved = self.save_all();
        self.unmount_at_end();
        saved
    }

    fn save_all(&self) -> Result<(), Error> {
        let mut phases = Phases::default();
        let cache = self.cache();
        // This step cleans up, not the background packer.
        let _ = write_atomic(&stop_file(&cache), b"");
        if !self.inputs.push_to.is_empty() {
            phases.time("push", || Ok((self.push(), 0)))?;
        }
        self.clean_up(self.kvm_opened());
        if self.plan.cache != CacheMode::ReadWrite {
            self.ui.output("changed", "false")?;
            self.ui.report(format!("nothing is saved: the cache is {}", self.plan.cache.word()));
            return Ok(report::write_saved(
                &SaveResult { phases: phases.0, ..SaveResult::default() },
                &self.report_target(),
            )?);
        }
        let (packed, pruned, staged) = match self.finish(&cache, &mut phases) {
            Ok(finished) => finished,
            Err(error) => {
                self.ui.warning(format!("the cache is not saved: {}", error_chain(&error)));
                self.ui.output("changed", "false")?;
                return Ok(report::write_saved(
                    &SaveResult { phases: phases.0, ..SaveResult::default() },
                    &self.report_target(),
                )?);
            }
        };
        let before = fs::read_to_string(cache.state.join(RESTORED_SET)).unwrap_or_default();
        let saved = SaveResult {
            save_key: format!(
                "{}-{}",
                self.plan.key,
                staged.as_ref().map_or(&pruned.set, |staged| &staged.name)
            ),
            changed: match &staged {
                Some(staged) => staged.changed,
                None => before != pruned.set && pruned.paths > 0,
            },
            packed_before: read_log(&cache),
            phases: phases.0,
            packed,
            pruned,
        };
        self.ui.output("cache-directory", cache.dir.display().to_string())?;
        self.ui.output("save-key", &saved.save_key)?;
        let layer = staged.and_then(|staged| staged.layer).unwrap_or_default();
        self.ui.output("layer-key", format!("{}-{layer}", self.plan.layer_key))?;
        self.ui.output("layer", layer)?;
        self.ui.output("changed", saved.changed.to_string())?;
        Ok(report::saved(&saved, &self.report_target())?)
    }

    /// Packs the remaining paths, applies `max-size`, and stages the new layer for the cache
    /// service.
    fn finish(&self, cache: &Cache, phases: &mut Phases) -> Result<(Packed, Pruned, Option<Staged>), Error> {
        let nix = self.nix()?;
        cache.create()?;
        let packed = phases.time("pack the rest", || {
            // Continue where the background packer stopped.
            let last = fs::read_to_string(cache.state.join(LAST_PACKED_ID)).unwrap_or_default();
            let since = last.trim().parse().unwrap_or(0);
            let packed = pack(cache, &nix.bin, since, false, &interrupted)?;
            let bytes = packed.bytes;
            Ok((packed, bytes))
        })?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let pruned = phases.time("apply max-size", || {
            let pruned = prune(cache, self.inputs.max_size, now)?;
            let bytes = pruned.bytes;
            Ok((pruned, bytes))
        })?;
        record_percent_read(cache);
        let exchange = Exchange::from_env(self.env);
        let staged = exchange.map(|exchange| -> Result<Staged, Error> {
            let _lock = cache.lock()?;
            let (found, _) = cache.read()?;
            let staged = exchange.stage(cache, &found)?;
            if let Some(first) = staged.unreadable.first() {
                let count = staged.unreadable.len();
                self.ui.warning(format!(
                    "{count} paths are not saved, such as {first}: their images cannot be read"
                ));
            }
            Ok(staged)
        });
        Ok((packed, pruned, staged.transpose()?))
    }
}
