//! Core metadata out of an archive, read in place.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use pydist::filename::DistName;

/// The most that metadata may hold, in bytes.
const LARGEST: u64 = 16 * 1024 * 1024;

/// `METADATA` of a wheel, `PKG-INFO` of a source distribution.
pub fn metadata(file: &File, name: &DistName) -> io::Result<Vec<u8>> {
    match name {
        DistName::Wheel(wheel) => member(file, &format!("{}/METADATA", wheel.dist_info())),
        DistName::Sdist(sdist) => {
            let wanted = format!("{}-{}/PKG-INFO", sdist.name, sdist.version);
            let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
            for entry in archive.entries()? {
                let entry = entry?;
                if entry.path_bytes().as_ref() == wanted.as_bytes() {
                    return all(entry);
                }
            }
            Err(io::Error::other(format!("there is no `{wanted}` in it")))
        }
    }
}

fn all(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn member(mut file: &File, wanted: &str) -> io::Result<Vec<u8>> {
    let broken = || io::Error::other("it is not a whole zip archive");
    let length = file.seek(SeekFrom::End(0))?;
    let tail = length.min(65_557);
    file.seek(SeekFrom::Start(length - tail))?;
    let mut end = vec![0; usize::try_from(tail).map_err(io::Error::other)?];
    file.read_exact(&mut end)?;
    let at = end.windows(4).rposition(|four| four == b"PK\x05\x06").ok_or_else(broken)?;
    let number = |bytes: &[u8], at: usize, size: usize| {
        let part = bytes.get(at..at + size).ok_or_else(broken)?;
        Ok::<u64, io::Error>(part.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    let (size, offset) = (number(&end, at + 12, 4)?, number(&end, at + 16, 4)?);
    if offset + size > length {
        return Err(broken());
    }
    file.seek(SeekFrom::Start(offset))?;
    let mut directory = vec![0; usize::try_from(size).map_err(io::Error::other)?];
    file.read_exact(&mut directory)?;
    let mut at = 0;
    while directory.get(at..at + 4) == Some(b"PK\x01\x02") {
        let field = |offset, size| number(&directory, at + offset, size);
        let lengths = [field(28, 2)?, field(30, 2)?, field(32, 2)?].map(|n| usize::try_from(n).unwrap_or(0));
        let name = directory.get(at + 46..at + 46 + lengths[0]).ok_or_else(broken)?;
        if name == wanted.as_bytes() {
            let (method, packed, start) = (field(10, 2)?, field(20, 4)?, field(42, 4)?);
            let mut local = [0; 30];
            file.seek(SeekFrom::Start(start))?;
            file.read_exact(&mut local)?;
            let skip = 30 + number(&local, 26, 2)? + number(&local, 28, 2)?;
            file.seek(SeekFrom::Start(start + skip))?;
            let data = file.take(packed);
            return match method {
                0 => all(data),
                8 => all(flate2::read::DeflateDecoder::new(data)),
                _ => Err(io::Error::other(format!("`{wanted}` is packed by method {method}"))),
            };
        }
        at += 46 + lengths.iter().sum::<usize>();
    }
    Err(io::Error::other(format!("there is no `{wanted}` in it")))
}
