//! Installs Nix from a tarball with the layout of the official ones.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek as _};
use std::path::{Component, Path, PathBuf};

use liblzma::read::XzDecoder;
use pydist::digest::Sha256Bytes;
use toolkit::{FileError, Ui};

use crate::database::Database;
use crate::error::Error;
use crate::machine::GC_ROOT;
use crate::narinfo::{PathInfo, StorePath, parse_rows};
use crate::store::{STATE, Staging, Store, block_garbage_collection, move_into_store};
use crate::{nar, tree};

/// SHA-256 of the official tarballs, from the official install scripts.
const OFFICIAL: &[(&str, &str, &str)] = &[
    ("2.35.2", "x86_64-linux", "0c3960a9792331a22081c3c7a5d8465db9b17c50b3acdf18587fa4c6f2cb1158"),
    ("2.35.2", "aarch64-linux", "4d0302a2910f5eec1c33b8deef634f04899a75737e7001ec49908d003ae5efda"),
    ("2.35.2", "x86_64-darwin", "d725518d89f3b0b8d4af702a9d38d519814014cbe125afb3ed0545c9d755f6a5"),
    ("2.35.2", "aarch64-darwin", "1695c13aba5afa7c2ecd6dc4a9393f602e7bbc440ed45e81602c831546580ec3"),
];

/// The compiled-in hash of an official tarball.
pub(crate) fn official(version: &str, system: &str) -> Option<Sha256Bytes> {
    let entry = OFFICIAL.iter().find(|entry| entry.0 == version && entry.1 == system)?;
    crate::nix32::sha256(entry.2)
}

/// The URL of an official tarball.
pub(crate) fn official_url(version: &str, system: &str) -> String {
    format!("https://releases.nixos.org/nix/nix-{version}/nix-{version}-{system}.tar.xz")
}

/// The result of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Installed {
    /// The directory of Nix's programs.
    pub(crate) bin: PathBuf,
    /// The CA certificates from the tarball.
    pub(crate) certificates: Option<PathBuf>,
    /// Number of store paths that were added.
    pub(crate) placed: usize,
    /// Number of store paths that were already present.
    pub(crate) kept: usize,
    /// NAR size of all paths.
    pub(crate) bytes: u64,
}

/// Unpacks `tarball`, whose hash has been checked, compares every path with `.reginfo`,
/// moves the missing ones into the store, and registers all.
pub(crate) fn install(tarball: &Path, conf: &Path, ui: &Ui) -> Result<Installed, Error> {
    let invalid = |what: String| Error::Tarball { path: tarball.to_owned(), what };
    // Until the root exists, nothing protects the paths. Without a state directory there is
    // no store in which garbage could be collected.
    let _lock = Path::new(STATE).exists().then(block_garbage_collection).transpose()?;
    let staging = Staging::new()?;
    unpack(tarball, staging.path()).map_err(|error| invalid(format!("cannot unpack it: {error}")))?;
    let root = single_entry(staging.path()).map_err(invalid)?;
    let read = |name: &str| {
        fs::read_to_string(root.join(name)).map_err(|error| invalid(format!("`{name}`: {error}")))
    };
    let rows = parse_rows(&read(".reginfo")?).map_err(|what| invalid(format!("`.reginfo`: {what}")))?;
    let script = read("install")?;
    let nix = script_variable(&script, "nix", &rows)
        .ok_or_else(|| invalid("the variable `nix` of `install` is not a path of `.reginfo`".into()))?;
    let found =
        fs::read_dir(root.join("store")).map_err(|error| invalid(format!("`store`: {error}")))?.count();
    if found != rows.len() {
        return Err(invalid(format!("`store` holds {found} paths, `.reginfo` lists {}", rows.len())));
    }
    let mut kept = 0;
    for row in &rows {
        let from = root.join("store").join(row.path.base());
        let check = |path: &Path| {
            nar::dump(path, io::sink()).map(|(_, hash, size)| hash == row.nar_hash && size == row.nar_size)
        };
        let matches = tree::canonicalise(&from).and_then(|()| check(&from));
        match matches {
            Ok(true) => {}
            Ok(false) => return Err(invalid(format!("`{}` differs from `.reginfo`", row.path.base()))),
            Err(error) => return Err(invalid(format!("`{}`: {error}", row.path.base()))),
        }
        if check(&row.path.path()).unwrap_or(false) {
            kept += 1;
            continue;
        }
        move_into_store(&from, &row.path).map_err(FileError::new("move into the store", row.path.full()))?;
    }
    let store = Store { bin: nix.path().join("bin"), conf: conf.to_owned(), ui };
    store.init()?;
    Database::open(true)?.register(&rows.iter().collect::<Vec<_>>())?;
    add_gc_root(&nix)?;
    let certificates =
        script_variable(&script, "cacert", &rows).map(|path| path.path().join("etc/ssl/certs/ca-bundle.crt"));
    let certificates = certificates.filter(|path| path.exists());
    let bytes = rows.iter().map(|row| row.nar_size).sum();
    Ok(Installed { bin: store.bin, certificates, placed: rows.len() - kept, kept, bytes })
}

/// Unpacks into `to`; rejects entries that would be outside of it.
fn unpack(tarball: &Path, to: &Path) -> io::Result<()> {
    let mut file = File::open(tarball)?;
    let mut magic = [0; 6];
    file.read_exact(&mut magic)?;
    file.rewind()?;
    let from: Box<dyn Read> = match magic {
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Box::new(XzDecoder::new_multi_decoder(BufReader::new(file))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::new(file)?),
        _ => {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "expected xz or zstd compression"));
        }
    };
    let mut archive = tar::Archive::new(from);
    archive.set_preserve_permissions(true);
    // Directories are created last, so that their permissions do not prevent adding files.
    let mut dirs = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            dirs.push(path);
            continue;
        }
        if !(kind.is_file() || kind.is_symlink() || kind.is_hard_link()) || !entry.unpack_in(to)? {
            return Err(not_allowed(&path));
        }
    }
    // Read to the end of the compressed file, past the end of the archive, so that its
    // checksum is verified.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    for dir in dirs {
        create_dir_below(to, &dir)?;
    }
    Ok(())
}

/// Creates the directory `dir` of an archive below `to`, without following links.
fn create_dir_below(to: &Path, dir: &Path) -> io::Result<()> {
    let is_plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if !dir.components().all(is_plain) {
        return Err(not_allowed(dir));
    }
    let mut path = to.to_owned();
    for part in dir.components() {
        path.push(part);
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "expected a directory, found a file or a link",
                ));
            }
            Err(_) => fs::create_dir(&path)?,
        }
    }
    Ok(())
}

fn not_allowed(entry: &Path) -> io::Error {
    let message = format!("the entry `{}` is not allowed", entry.display());
    io::Error::new(io::ErrorKind::InvalidData, message)
}

fn single_entry(dir: &Path) -> Result<PathBuf, String> {
    let entries = fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    match entries.map_err(|error| error.to_string())?.as_slice() {
        [one] => Ok(one.path()),
        several => Err(format!("expected one directory in it, found {} entries", several.len())),
    }
}

/// The value of the variable `name` in the script, if it is a path of `rows`.
fn script_variable(script: &str, name: &str, rows: &[PathInfo]) -> Option<StorePath> {
    let start = format!("{name}=\"");
    let value = script.lines().find_map(|line| line.strip_prefix(&start)?.strip_suffix('"'))?;
    let path = StorePath::from_full(value)?;
    rows.iter().any(|row| row.path == path).then_some(path)
}

/// Protects Nix from its own garbage collection.
fn add_gc_root(nix: &StorePath) -> Result<(), FileError> {
    let link = Path::new(GC_ROOT);
    let dir = link.parent().unwrap_or(Path::new("/"));
    let make = || {
        fs::create_dir_all(dir)?;
        let part = dir.join(".setup-nix-new");
        let _ = fs::remove_file(&part);
        std::os::unix::fs::symlink(nix.path(), &part)?;
        fs::rename(&part, link)
    };
    make().map_err(FileError::new("create", link))
}
