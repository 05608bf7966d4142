//! The end of a job: what is left is packed, bounded, pushed and handed to the
//! cache service.

use std::fs;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use toolkit::{Choice as _, error_chain, interrupted, write_atomic};

use crate::background::read_log;
use crate::choices::CacheMode;
use crate::database::Database;
use crate::error::Error;
use crate::estimate::keep_percent_read;
use crate::folder::Cache;
use crate::layers::{Exchange, Staged};
use crate::narinfo::StorePath;
use crate::pack::{Packed, pack, stop_file};
use crate::prune::{Pruned, prune};
use crate::report::{self, Saved};
use crate::work::{FIRST, LAST, Phases, RESTORED_SET, Work};

impl Work<'_> {
    /// One pass.
    pub(crate) fn pack(&self) -> Result<(), Error> {
        if self.plan.cache != CacheMode::ReadWrite {
            self.ui.report(format!("nothing is packed: the cache is {}", self.plan.cache.word()));
            return Ok(());
        }
        let start = Instant::now();
        let packed = pack(&self.cache(), &self.found()?.bin, 0, false, &interrupted)?;
        report::packed(&packed, start.elapsed(), self.ui);
        Ok(())
    }

    /// Copies what the job built to the stores of `push-to`.
    fn push(&self) {
        let built = || -> Result<Vec<StorePath>, Error> {
            let first = fs::read_to_string(self.inputs.state.join(FIRST)).unwrap_or_default();
            let rows = Database::open(false)?.after(first.trim().parse().unwrap_or(0))?;
            let outputs = rows.into_iter().filter(|row| row.built && !row.info.path.is_derivation());
            Ok(outputs.map(|row| row.info.path).collect())
        };
        for url in &self.inputs.push_to {
            let pushed = built().and_then(|paths| {
                self.store(&self.found()?.bin).copy(url, &paths)?;
                Ok(paths.len())
            });
            match pushed {
                Ok(count) => self.ui.report(format!("{count} built paths copied to {url}")),
                Err(error) => self.ui.warning(format!("not all is copied to {url}: {}", error_chain(&error))),
            }
        }
    }

    /// Ends the packer, packs the rest, applies the bound. Never an error: the
    /// job has done its work.
    pub(crate) fn save(&self) -> Result<(), Error> {
        let saved = self.save_all();
        self.unmount_at_end();
        saved
    }

    fn save_all(&self) -> Result<(), Error> {
        let mut phases = Phases::default();
        let cache = self.cache();
        // The packer would clean up after the job, which this does.
        let _ = write_atomic(&stop_file(&cache), b"");
        if !self.inputs.push_to.is_empty() {
            phases.time("push", || Ok((self.push(), 0)))?;
        }
        self.clean_up();
        if self.plan.cache != CacheMode::ReadWrite {
            self.ui.output("changed", "false")?;
            self.ui.report(format!("nothing is saved: the cache is {}", self.plan.cache.word()));
            return Ok(report::write_saved(&Saved { phases: phases.0, ..Saved::default() }, &self.report())?);
        }
        let (packed, pruned, staged) = match self.finish(&cache, &mut phases) {
            Ok(done) => done,
            Err(error) => {
                self.ui.warning(format!("the cache is not saved: {}", error_chain(&error)));
                self.ui.output("changed", "false")?;
                return Ok(report::write_saved(
                    &Saved { phases: phases.0, ..Saved::default() },
                    &self.report(),
                )?);
            }
        };
        let before = fs::read_to_string(cache.state.join(RESTORED_SET)).unwrap_or_default();
        let saved = Saved {
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
        self.ui.output("cache-folder", cache.folder.display().to_string())?;
        self.ui.output("save-key", &saved.save_key)?;
        let layer = staged.and_then(|staged| staged.layer).unwrap_or_default();
        self.ui.output("layer-key", format!("{}-{layer}", self.plan.layer_key))?;
        self.ui.output("layer", layer)?;
        self.ui.output("changed", saved.changed.to_string())?;
        Ok(report::saved(&saved, &self.report())?)
    }

    /// Packs what is left, applies `max-size`, and stages the layer for the cache service.
    fn finish(&self, cache: &Cache, phases: &mut Phases) -> Result<(Packed, Pruned, Option<Staged>), Error> {
        let found = self.found()?;
        cache.create()?;
        let packed = phases.time("pack the rest", || {
            // From where the background packer ended.
            let last = fs::read_to_string(cache.state.join(LAST)).unwrap_or_default();
            let since = last.trim().parse().unwrap_or(0);
            let packed = pack(cache, &found.bin, since, false, &interrupted)?;
            let bytes = packed.bytes;
            Ok((packed, bytes))
        })?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let pruned = phases.time("apply max-size", || {
            let pruned = prune(cache, self.inputs.max_size, now)?;
            let bytes = pruned.bytes;
            Ok((pruned, bytes))
        })?;
        keep_percent_read(cache);
        let exchange = Exchange::of(self.env);
        let staged = exchange.map(|exchange| -> Result<Staged, Error> {
            let _lock = cache.lock()?;
            let (found, _) = cache.read()?;
            Ok(exchange.stage(cache, &found)?)
        });
        Ok((packed, pruned, staged.transpose()?))
    }
}
