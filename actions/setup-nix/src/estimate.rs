//! Decides which paths are worth restoring. A path that recent jobs did not use is probably
//! not needed now, and if a trusted key signed it, Nix can substitute it on demand. It is
//! skipped if the expected time for that is shorter than restoring it.

#![allow(clippy::cast_precision_loss, reason = "estimates do not need full precision")]

use std::collections::{BTreeMap, HashSet};
use std::fs;

use serde::{Deserialize, Serialize};

use crate::cache::{Cache, read_text};
use crate::image::Images;
use crate::last_used::{LastUsed, is_opened, keeps_access_times};
use crate::mount;
use crate::narinfo::{Keys, NarInfo, StorePath, Trust};

/// Default restore rate in NAR bytes per second, until a run has measured it: half of what
/// a runner with two cores achieves.
const DEFAULT_RESTORE_RATE: f64 = 200e6;
/// Download rate of a public cache, in compressed bytes per second. A guess that favours
/// restoring.
const DOWNLOAD_RATE: f64 = 20e6;
/// Additional seconds per downloaded path. Low, because Nix downloads in parallel.
const SECONDS_PER_PATH: f64 = 0.1;

/// The file that records how much of the mounted images the last job read.
pub(crate) const PERCENT_READ: &str = "percent-read";
/// Jobs that read a larger percentage are faster with unpacked paths: the kernel may read
/// an image with a single core, while unpacking uses all of them.
const MAX_PERCENT_READ: u64 = 25;

/// Whether the last job read so much of the images that unpacking them is faster.
pub(crate) fn reads_most(cache: &Cache) -> bool {
    let text = read_text(&cache.dir.join(PERCENT_READ)).unwrap_or_default();
    text.trim().parse::<u64>().is_ok_and(|percent| percent > MAX_PERCENT_READ)
}

/// Records how much of the images this job has read, mounted or unpacked.
pub(crate) fn record_percent_read(cache: &Cache) {
    if let Some(percent) = mount::percent_read().or_else(|| percent_opened(cache)) {
        let _ = toolkit::write_atomic(&cache.dir.join(PERCENT_READ), format!("{percent}\n").as_bytes());
    }
}

/// The file in the state directory with the paths of images that were unpacked because of
/// [`reads_most`].
const UNPACKED: &str = "unpacked";

/// Records which paths of images this job unpacks, so that [`record_percent_read`] can measure
/// whether that is still right.
pub(crate) fn record_unpacked(cache: &Cache, paths: &[NarInfo]) {
    let in_images = paths.iter().filter(|narinfo| narinfo.image().is_some());
    let text: String = in_images.map(|narinfo| format!("{}\n", narinfo.info.path.base())).collect();
    let _ = toolkit::write_atomic(&cache.state.join(UNPACKED), text.as_bytes());
}

/// Percentage of the unpacked paths, by the sizes of their files, that the job has opened.
fn percent_opened(cache: &Cache) -> Option<u64> {
    let text = read_text(&cache.state.join(UNPACKED)).ok().filter(|_| keeps_access_times())?;
    let (mut opened, mut total) = (0, 0_u64);
    for path in text.lines().filter_map(StorePath::from_base) {
        for entry in walkdir::WalkDir::new(path.path()).into_iter().flatten() {
            if let Some(meta) = entry.metadata().ok().filter(fs::Metadata::is_file) {
                total += meta.len();
                opened += if is_opened(&meta) { meta.len() } else { 0 };
            }
        }
    }
    (opened * 100).checked_div(total)
}

/// Which paths were not restored, and the estimated times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Number of skipped paths.
    pub paths: usize,
    /// Their NAR size.
    pub bytes: u64,
    /// None of this many recent jobs used any of them.
    pub idle_jobs: usize,
    /// Estimated time to restore them.
    pub restore_seconds: f64,
    /// Expected time to substitute those that turn out to be needed.
    pub substitute_seconds: f64,
}

/// Removes paths from `wanted` that are better substituted, except those that a remaining
/// path refers to.
pub(crate) fn skip_substitutable(
    wanted: &mut BTreeMap<StorePath, NarInfo>,
    cache: &Cache,
    keys: &Keys,
    mounted: &HashSet<StorePath>,
) -> Option<Estimate> {
    let used = LastUsed::read(cache);
    let rate = measured_rate(cache).unwrap_or(DEFAULT_RESTORE_RATE);
    let in_images: Vec<NarInfo> = wanted.values().filter(|one| one.image().is_some()).cloned().collect();
    let images = Images::read(cache, &in_images);
    let cost = |narinfo: &NarInfo| {
        let idle = used.idle(&narinfo.info.path);
        if idle == 0 || mounted.contains(&narinfo.info.path) || keys.verify(&narinfo.info) != Trust::Signed {
            return None;
        }
        let packed = match narinfo.image() {
            Some(_) => images.packed_size(narinfo)?,
            None => fs::metadata(cache.dir.join(&narinfo.url)).ok()?.len(),
        };
        let restore = seconds(narinfo.info.nar_size, rate);
        // Laplace's rule of succession for `idle` jobs, none of which used the path.
        let probability = 1.0 / (idle as f64 + 2.0);
        let substitute = probability * (seconds(packed, DOWNLOAD_RATE) + SECONDS_PER_PATH);
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
    let skipped: Vec<StorePath> = costs.keys().filter(|path| !kept.contains(path)).cloned().collect();
    let mut estimate = Estimate {
        paths: skipped.len(),
        bytes: 0,
        idle_jobs: usize::MAX,
        restore_seconds: 0.0,
        substitute_seconds: 0.0,
    };
    for path in &skipped {
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

/// The rate of the last restore, in NAR bytes per second.
fn measured_rate(cache: &Cache) -> Option<f64> {
    let text = read_text(&cache.dir.join("restore-rate")).ok()?;
    text.trim().parse::<u32>().ok().filter(|rate| *rate > 0).map(|rate| f64::from(rate) * 1e6)
}

/// Records the rate of this restore for the next run's estimate.
pub(crate) fn record_rate(cache: &Cache, bytes: u64, time: std::time::Duration) {
    // The time of a small restore is dominated by starting Nix.
    if bytes > 100_000_000 {
        let rate = (bytes as f64 / time.as_secs_f64() / 1e6).max(1.0);
        let _ = toolkit::write_atomic(&cache.dir.join("restore-rate"), format!("{rate:.0}\n").as_bytes());
    }
}
