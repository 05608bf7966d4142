//! Generates a store with about the size, shape and compressibility of a real one. The sizes
//! of files are from a fixed list, and their content is from this machine's programs,
//! libraries, headers and texts.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use pydist::digest::{hex, sha256};
use setup_nix::{nar, nix32, tree};

use crate::machine::Machine;

/// The number of files in a real store of 3.6 GB.
const FILES: usize = 73_800;
/// Sizes of paths in MB, repeated: few are large, most are small.
const PATHS: [u64; 10] = [400, 120, 60, 30, 20, 10, 5, 5, 2, 1];
/// Sizes of files in bytes, repeated, in mixed order.
const SIZES: [u64; 20] = [
    4_000, 100, 70_000, 1_000, 20_000, 400, 6_000, 2_000, 150_000, 700, 10_000, 200, 30_000, 3_000, 1_500,
    45_000, 8_000, 5_000, 14_000, 150_000,
];
/// One in this many files has this size, like a library of a compiler.
const LARGE: (usize, u64) = (2_000, 45_000_000);
/// Files up to this size get the content of small files, which are mostly texts.
const SMALL: u64 = 64 * 1024;

/// The size of the generated store.
pub(crate) struct StoreSize {
    pub(crate) paths: usize,
    pub(crate) files: usize,
    pub(crate) bytes: u64,
}

/// The endless concatenated content of this machine's files in a range of sizes, in a
/// deterministic order.
struct Content {
    files: std::iter::Cycle<std::vec::IntoIter<PathBuf>>,
    open: Box<dyn Read>,
}

impl Content {
    fn new(sizes: std::ops::RangeInclusive<u64>) -> Self {
        let dirs = ["/usr/lib", "/usr/share", "/usr/include", "/usr/bin", "/usr/local"];
        let walk = |dir| walkdir::WalkDir::new(dir).sort_by_file_name().into_iter().flatten();
        let files = dirs.into_iter().flat_map(walk).filter(|entry| entry.file_type().is_file());
        let fits = |entry: &walkdir::DirEntry| entry.metadata().is_ok_and(|meta| sizes.contains(&meta.len()));
        let mut files: Vec<PathBuf> = files.filter(fits).map(walkdir::DirEntry::into_path).collect();
        // Every seventh file first, so that all kinds are near the start.
        files = (0..7).flat_map(|n| files.iter().skip(n).step_by(7).cloned()).collect();
        assert!(!files.is_empty());
        Self { files: files.into_iter().cycle(), open: Box::new(io::empty()) }
    }

    /// Writes the next `size` bytes to `to`.
    fn write_next(&mut self, size: u64, to: &Path) {
        let mut file = File::create(to).unwrap();
        let mut left = size;
        while left > 0 {
            let count = io::copy(&mut self.open.by_ref().take(left), &mut file).unwrap();
            left -= count;
            if count == 0 {
                let next = self.files.next().unwrap();
                // Some files are not readable.
                self.open = File::open(next).map_or(Box::new(io::empty()), |file| Box::new(file));
            }
        }
    }
}

/// Creates files with the sizes of the list.
struct FileGenerator {
    count: usize,
    small: Content,
    large: Content,
}

impl FileGenerator {
    fn new() -> Self {
        Self { count: 0, small: Content::new(1..=SMALL), large: Content::new(SMALL + 1..=200_000_000) }
    }

    /// Fills `dir` until it has `bytes` or `at_most` files; returns their number and size.
    fn fill(&mut self, dir: &Path, bytes: u64, at_most: usize) -> (usize, u64) {
        let (mut count, mut size) = (0, 0);
        while size < bytes && count < at_most {
            let (every, large) = LARGE;
            let next = if self.count % every == every / 2 { large } else { SIZES[self.count % SIZES.len()] };
            let within = dir.join(format!("lib/{}", count / 30));
            fs::create_dir_all(&within).unwrap();
            let content = if next <= SMALL { &mut self.small } else { &mut self.large };
            content.write_next(next, &within.join(format!("file-{count}")));
            (count, size, self.count) = (count + 1, size + next, self.count + 1);
        }
        (count, size)
    }
}

/// Fills the store of `machine` with `scale` percent of a real one.
pub(crate) fn make(machine: &Machine, scale: usize) -> StoreSize {
    let mut made = StoreSize { paths: 0, files: 0, bytes: 0 };
    let most = FILES * scale / 100;
    let mut generator = FileGenerator::new();
    for size in PATHS.iter().cycle() {
        let name = format!("part-{}", made.paths);
        let dir = machine.path("work").join(&name);
        let bytes = size * 10_000 * scale.min(100) as u64;
        let (count, size) = generator.fill(&dir, bytes, most - made.files);
        machine.sh(&format!("nix-store --add {name} >/dev/null"));
        fs::remove_dir_all(&dir).unwrap();
        (made.paths, made.files, made.bytes) = (made.paths + 1, made.files + count, made.bytes + size);
        if made.files >= most {
            break;
        }
    }
    let small = 50;
    machine.build("small", small);
    made.paths += 2 * small;
    made
}

/// Adds paths to an unpacked tarball until it has the size of an official one, 130 MB.
pub(crate) fn fill(root: &Path) {
    let mut generator = FileGenerator::new();
    for n in 0..30 {
        let base = format!("{}-part-{n}", nix32::encode(&sha256(format!("part {n}").as_bytes())[..20]));
        let path = root.join("store").join(&base);
        fs::create_dir(&path).unwrap();
        generator.fill(&path, 3_000_000, 200);
        tree::canonicalise(&path).unwrap();
        let (_, hash, size) = nar::dump(&path, std::io::sink()).unwrap();
        let rows = fs::read_to_string(root.join(".reginfo")).unwrap();
        let row = format!("/nix/store/{base}\nsha256:{}\n{size}\n\n0\n", hex(&hash));
        fs::write(root.join(".reginfo"), rows + &row).unwrap();
    }
}
