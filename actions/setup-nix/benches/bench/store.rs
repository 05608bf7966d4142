//! A store of about the size, shape and compressibility of a real one: its files
//! have sizes from a fixed list, and are cut from this machine's own programs,
//! libraries, headers and texts.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use pydist::digest::{hex, sha256};
use setup_nix::{nar, nix32, tree};

use crate::machine::Machine;

/// A store that was measured had as many, in 3.6 GB.
const FILES: usize = 73_800;
/// Megabytes of its paths, again and again: few are large, most are small.
const PATHS: [u64; 10] = [400, 120, 60, 30, 20, 10, 5, 5, 2, 1];
/// Bytes of its files, again and again, in an order that mixes them.
const SIZES: [u64; 20] = [
    4_000, 100, 70_000, 1_000, 20_000, 400, 6_000, 2_000, 150_000, 700, 10_000, 200, 30_000, 3_000, 1_500,
    45_000, 8_000, 5_000, 14_000, 150_000,
];
/// One in so many is a library as large as a compiler's.
const LARGE: (usize, u64) = (2_000, 45_000_000);
/// Files of up to so many bytes are cut from small ones, which are mostly texts.
const SMALL: u64 = 64 * 1024;

/// What was made.
pub(crate) struct Made {
    pub(crate) paths: usize,
    pub(crate) files: usize,
    pub(crate) bytes: u64,
}

/// The content of this machine's files of some sizes, one after the other, in
/// an order that is always the same; from the start again behind the last.
struct Content {
    files: std::iter::Cycle<std::vec::IntoIter<PathBuf>>,
    open: Box<dyn Read>,
}

impl Content {
    fn new(sizes: std::ops::RangeInclusive<u64>) -> Self {
        let folders = ["/usr/lib", "/usr/share", "/usr/include", "/usr/bin", "/usr/local"];
        let walk = |folder| walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().flatten();
        let files = folders.into_iter().flat_map(walk).filter(|entry| entry.file_type().is_file());
        let fits = |entry: &walkdir::DirEntry| entry.metadata().is_ok_and(|meta| sizes.contains(&meta.len()));
        let mut files: Vec<PathBuf> = files.filter(fits).map(walkdir::DirEntry::into_path).collect();
        // Every seventh one, so that all kinds come early.
        files = (0..7).flat_map(|n| files.iter().skip(n).step_by(7).cloned()).collect();
        assert!(!files.is_empty());
        Self { files: files.into_iter().cycle(), open: Box::new(io::empty()) }
    }

    /// The next `size` bytes, to `to`.
    fn cut(&mut self, size: u64, to: &Path) {
        let mut file = File::create(to).unwrap();
        let mut left = size;
        while left > 0 {
            let count = io::copy(&mut self.open.by_ref().take(left), &mut file).unwrap();
            left -= count;
            if count == 0 {
                let next = self.files.next().unwrap();
                // Some are not for everybody to read.
                self.open = File::open(next).map_or(Box::new(io::empty()), |file| Box::new(file));
            }
        }
    }
}

/// Makes files, each with the next size of the list.
struct Maker {
    count: usize,
    small: Content,
    large: Content,
}

impl Maker {
    fn new() -> Self {
        Self { count: 0, small: Content::new(1..=SMALL), large: Content::new(SMALL + 1..=200_000_000) }
    }

    /// Fills `folder` until it measures `bytes` or has `at_most` files; gives
    /// how many, and their size.
    fn fill(&mut self, folder: &Path, bytes: u64, at_most: usize) -> (usize, u64) {
        let (mut count, mut size) = (0, 0);
        while size < bytes && count < at_most {
            let (every, large) = LARGE;
            let next = if self.count % every == every / 2 { large } else { SIZES[self.count % SIZES.len()] };
            let within = folder.join(format!("lib/{}", count / 30));
            fs::create_dir_all(&within).unwrap();
            let content = if next <= SMALL { &mut self.small } else { &mut self.large };
            content.cut(next, &within.join(format!("file-{count}")));
            (count, size, self.count) = (count + 1, size + next, self.count + 1);
        }
        (count, size)
    }
}

/// Fills the store of `machine`, with `scale` percent of what a real one has.
pub(crate) fn make(machine: &Machine, scale: usize) -> Made {
    let mut made = Made { paths: 0, files: 0, bytes: 0 };
    let most = FILES * scale / 100;
    let mut maker = Maker::new();
    for size in PATHS.iter().cycle() {
        let name = format!("part-{}", made.paths);
        let folder = machine.path("work").join(&name);
        let bytes = size * 10_000 * scale.min(100) as u64;
        let (count, size) = maker.fill(&folder, bytes, most - made.files);
        machine.sh(&format!("nix-store --add {name} >/dev/null"));
        fs::remove_dir_all(&folder).unwrap();
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

/// Adds paths to an unpacked tarball until it holds what an official one does,
/// 130 MB.
pub(crate) fn fill(root: &Path) {
    let mut maker = Maker::new();
    for n in 0..30 {
        let base = format!("{}-part-{n}", nix32::encode(&sha256(format!("part {n}").as_bytes())[..20]));
        let path = root.join("store").join(&base);
        fs::create_dir(&path).unwrap();
        maker.fill(&path, 3_000_000, 200);
        tree::canonicalise(&path).unwrap();
        let (_, hash, size) = nar::dump(&path, std::io::sink()).unwrap();
        let rows = fs::read_to_string(root.join(".reginfo")).unwrap();
        let row = format!("/nix/store/{base}\nsha256:{}\n{size}\n\n0\n", hex(&hash));
        fs::write(root.join(".reginfo"), rows + &row).unwrap();
    }
}
