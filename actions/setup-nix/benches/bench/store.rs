//! A store of about the size, shape and compressibility of a real one, made of
//! this machine's own programs, libraries, headers and texts.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use pydist::digest::{hex, sha256};
use setup_nix::{nar, nix32};

use crate::machine::Machine;

/// A store that was measured had 73.8k files in 3.6 GB.
const FILES: usize = 73_800;
const BYTES: u64 = 3_600_000_000;
/// Bytes of its paths, again and again: few are large, most are small.
const SHAPE: [u64; 10] = [400, 120, 60, 30, 20, 10, 5, 5, 2, 1];

/// What was made.
pub(crate) struct Made {
    pub(crate) paths: usize,
    pub(crate) files: usize,
    pub(crate) bytes: u64,
}

/// This machine's files, in an order that is always the same.
fn files() -> impl Iterator<Item = (PathBuf, u64)> {
    let folders =
        ["/usr/lib", "/usr/share", "/usr/include", "/usr/bin", "/usr/local", "/opt", "/root/.rustup"];
    let walk = |folder| walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().flatten();
    let files = folders.into_iter().flat_map(walk).filter(|entry| entry.file_type().is_file());
    files.filter_map(|entry| {
        let size = entry.metadata().ok()?.len();
        // A larger one would be a store path of its own kind.
        (size < 200_000_000).then(|| (entry.into_path(), size))
    })
}

/// Copies of some of them below `folder`, with their names; gives how many.
fn copy(
    files: &mut impl Iterator<Item = (PathBuf, u64)>,
    folder: &Path,
    bytes: u64,
    at_most: usize,
) -> (usize, u64) {
    let (mut count, mut size) = (0, 0);
    while size < bytes && count < at_most {
        let Some((file, length)) = files.next() else { break };
        let to = folder.join(file.strip_prefix("/").unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(file, to).unwrap();
        (count, size) = (count + 1, size + length);
    }
    (count, size)
}

/// Fills the store of `machine`, with `scale` percent of what a real one has.
pub(crate) fn make(machine: &Machine, scale: usize) -> Made {
    let mut made = Made { paths: 0, files: 0, bytes: 0 };
    let (most, bytes) = (FILES * scale / 100, BYTES * scale as u64 / 100);
    // Every second one, so that all kinds are among them.
    let mut files = files().step_by(2).chain(files().skip(1).step_by(2));
    for size in SHAPE.iter().cycle() {
        let name = format!("part-{}", made.paths);
        let folder = machine.path("work").join(&name);
        let size = size * 1_000_000 * scale.min(100) as u64 / 100;
        let (count, size) = copy(&mut files, &folder, size.min(bytes - made.bytes), most - made.files);
        if count == 0 {
            break;
        }
        machine.sh(&format!("nix-store --add {name} >/dev/null"));
        fs::remove_dir_all(&folder).unwrap();
        (made.paths, made.files, made.bytes) = (made.paths + 1, made.files + count, made.bytes + size);
        if made.bytes >= bytes || made.files >= most {
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
    let mut files = files().step_by(7);
    for n in 0..40 {
        let base = format!("{}-part-{n}", nix32::encode(&sha256(format!("part {n}").as_bytes())[..20]));
        let path = root.join("store").join(&base);
        fs::create_dir(&path).unwrap();
        copy(&mut files, &path, 3_000_000, 200);
        nar::canonicalise(&path).unwrap();
        let (_, hash, size) = nar::dump(&path, std::io::sink()).unwrap();
        let rows = fs::read_to_string(root.join(".reginfo")).unwrap();
        let row = format!("/nix/store/{base}\nsha256:{}\n{size}\n\n0\n", hex(&hash));
        fs::write(root.join(".reginfo"), rows + &row).unwrap();
    }
    // tar must be able to pack what it cannot write to, and the rest to go.
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
}
