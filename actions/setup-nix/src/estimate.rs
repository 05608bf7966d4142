//! Whether a path is worth restoring. One that the last jobs did not use may
//! not be used by this one either, and what a trusted key signed can be
//! substituted when it is. So it is left out where substituting takes less time
//! to be expected than restoring.

#![allow(clippy::cast_precision_loss, reason = "estimates need no last digit")]

use std::collections::{BTreeMap, HashSet};
use std::fs;

use serde::{Deserialize, Serialize};

use crate::folder::{Cache, read_text};
use crate::image::Images;
use crate::mount;
use crate::narinfo::{Keys, NarInfo, StorePath, Trust};
use crate::used::Used;

/// Bytes in the store that a second restores, where no run has measured it:
/// half of what a runner with two cores does.
const RESTORE: f64 = 200e6;
/// Compressed bytes that a second brings from a public cache, and the seconds
/// that each path adds to that. Nix asks for several at a time; both are
/// guesses in favour of restoring.
const NETWORK: f64 = 20e6;
const ROUND_TRIP: f64 = 0.1;

/// The file that holds how much of the mounted images the last job read.
pub(crate) const PERCENT_READ: &str = "percent-read";
/// A job that reads more than that is faster with unpacked paths: where the kernel reads an
/// image with one core, it takes longer than all cores take to unpack it.
const WORTH_MOUNTING: u64 = 25;

/// Whether the last job read so much of the images that they are better unpacked.
pub(crate) fn reads_most(cache: &Cache) -> bool {
    let text = read_text(&cache.folder.join(PERCENT_READ)).unwrap_or_default();
    text.trim().parse::<u64>().is_ok_and(|percent| percent > WORTH_MOUNTING)
}

/// Keeps how much this job has read of the images that are mounted.
pub(crate) fn keep_percent_read(cache: &Cache) {
    if let Some(percent) = mount::percent_read() {
        let _ = toolkit::write_atomic(&cache.folder.join(PERCENT_READ), format!("{percent}\n").as_bytes());
    }
}

/// What was left to be substituted, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Paths left out.
    pub paths: usize,
    /// Their size as Nix counts it.
    pub bytes: u64,
    /// None of them was used by this many of the last jobs.
    pub idle_jobs: usize,
    /// Seconds that restoring them would take.
    pub restore_seconds: f64,
    /// Seconds to be expected for substituting those of them that are needed.
    pub substitute_seconds: f64,
}

/// Takes from `wanted` what is better substituted; never what one that stays
/// refers to.
pub(crate) fn leave(
    wanted: &mut BTreeMap<StorePath, NarInfo>,
    cache: &Cache,
    keys: &Keys,
    mounted: &HashSet<StorePath>,
) -> Option<Estimate> {
    let used = Used::read(cache);
    let rate = measured(cache).unwrap_or(RESTORE);
    let all: Vec<NarInfo> = wanted.values().filter(|one| one.image().is_some()).cloned().collect();
    let images = Images::read(cache, &all);
    let cost = |narinfo: &NarInfo| {
        let idle = used.idle(&narinfo.info.path);
        if idle == 0 || mounted.contains(&narinfo.info.path) || keys.judge(&narinfo.info) != Trust::Signed {
            return None;
        }
        let packed = match narinfo.image() {
            Some(_) => images.share(narinfo)?,
            None => fs::metadata(cache.folder.join(&narinfo.url)).ok()?.len(),
        };
        let restore = seconds(narinfo.info.nar_size, rate);
        // Laplace's rule of succession: `idle` jobs, none of which used it.
        let chance = 1.0 / (idle as f64 + 2.0);
        let substitute = chance * (seconds(packed, NETWORK) + ROUND_TRIP);
        (substitute < restore).then_some((idle, restore, substitute))
    };
    let costs: BTreeMap<StorePath, _> =
        wanted.iter().filter_map(|(path, narinfo)| Some((path.clone(), cost(narinfo)?))).collect();
    let mut kept: HashSet<&StorePath> = HashSet::new();
    let mut todo: Vec<&StorePath> = wanted.keys().filter(|path| !costs.contains_key(*path)).collect();
    while let Some(path) = todo.pop() {
        if let (Some(narinfo), true) = (wanted.get(path), kept.insert(path)) {
            todo.extend(&narinfo.info.references);
        }
    }
    let left: Vec<StorePath> = costs.keys().filter(|path| !kept.contains(path)).cloned().collect();
    let mut estimate = Estimate {
        paths: left.len(),
        bytes: 0,
        idle_jobs: usize::MAX,
        restore_seconds: 0.0,
        substitute_seconds: 0.0,
    };
    for path in &left {
        let (idle, restore, substitute) = costs[path];
        estimate.bytes += wanted.remove(path).map_or(0, |narinfo| narinfo.info.nar_size);
        estimate.idle_jobs = estimate.idle_jobs.min(idle);
        estimate.restore_seconds += restore;
        estimate.substitute_seconds += substitute;
    }
    (estimate.paths > 0).then_some(estimate)
}

fn seconds(bytes: u64, rate: f64) -> f64 {
    bytes as f64 / rate
}

/// Bytes a second, from the last restore into a store like this one.
fn measured(cache: &Cache) -> Option<f64> {
    let text = read_text(&cache.folder.join("restore-rate")).ok()?;
    text.trim().parse::<u32>().ok().filter(|rate| *rate > 0).map(|rate| f64::from(rate) * 1e6)
}

/// Keeps how fast `bytes` were restored, for the next run's estimate.
pub(crate) fn keep_rate(cache: &Cache, bytes: u64, time: std::time::Duration) {
    // A small restore says more about starting Nix than about unpacking.
    if bytes > 100_000_000 {
        let rate = (bytes as f64 / time.as_secs_f64() / 1e6).max(1.0);
        let _ = toolkit::write_atomic(&cache.folder.join("restore-rate"), format!("{rate:.0}\n").as_bytes());
    }
}
