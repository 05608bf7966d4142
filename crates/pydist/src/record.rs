//! `RECORD`, the list of a wheel's files (PyPA specification "Recording
//! installed projects", section "The RECORD file").

use crate::digest;

/// One line of `RECORD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The member's path, with `/`.
    pub path: String,
    /// Algorithm and digest (`sha256`, URL-safe base64 without padding);
    /// `RECORD` itself and signatures have none.
    pub hash: Option<(String, String)>,
    /// The size in bytes.
    pub size: Option<u64>,
}

/// Why a `RECORD` cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not UTF-8 or not CSV.
    #[error("line {line} of RECORD is not CSV in UTF-8")]
    Csv {
        /// Counted from 1.
        line: u64,
        /// The parser's error.
        source: csv::Error,
    },
    /// Not three columns.
    #[error("line {line} of RECORD has {columns} columns, expected 3 (path, hash, size)")]
    Columns {
        /// Counted from 1.
        line: u64,
        /// The number of columns.
        columns: usize,
    },
    /// A hash that is not `algorithm=digest`.
    #[error("line {line} of RECORD: the hash `{hash}` is not of the form `algorithm=digest`")]
    Hash {
        /// Counted from 1.
        line: u64,
        /// The text found.
        hash: String,
    },
    /// A size that is not a number.
    #[error("line {line} of RECORD: the size `{size}` is not a number")]
    Size {
        /// Counted from 1.
        line: u64,
        /// The text found.
        size: String,
    },
}

/// Reads a `RECORD`.
pub fn parse(bytes: &[u8]) -> Result<Vec<Entry>, RecordError> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    let mut entries = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|source| RecordError::Csv {
            line: source.position().map_or(0, csv::Position::line),
            source,
        })?;
        let line = row.position().map_or(0, csv::Position::line);
        if row.len() != 3 {
            return Err(RecordError::Columns { line, columns: row.len() });
        }
        let hash = match &row[1] {
            "" => None,
            hash => {
                let error = || RecordError::Hash { line, hash: hash.to_owned() };
                let (algorithm, digest) = hash.split_once('=').ok_or_else(error)?;
                Some((algorithm.to_owned(), digest.to_owned()))
            }
        };
        let size = match &row[2] {
            "" => None,
            size => Some(size.parse().map_err(|_| RecordError::Size { line, size: size.to_owned() })?),
        };
        entries.push(Entry { path: row[0].to_owned(), hash, size });
    }
    Ok(entries)
}

impl Entry {
    /// The entry of a member with this content.
    pub fn of(path: impl Into<String>, content: &[u8]) -> Self {
        let hash = digest::record_hash(&digest::sha256(content));
        Self { path: path.into(), hash: Some(("sha256".into(), hash)), size: Some(content.len() as u64) }
    }

    /// The entry of `RECORD` itself, which cannot hold its own hash.
    pub fn unhashed(path: impl Into<String>) -> Self {
        Self { path: path.into(), hash: None, size: None }
    }
}

/// Writes a `RECORD` with one entry per line, in the given order.
pub fn write(entries: &[Entry]) -> Vec<u8> {
    let terminator = csv::Terminator::Any(b'\n');
    let mut writer = csv::WriterBuilder::new().terminator(terminator).from_writer(Vec::new());
    for Entry { path, hash, size } in entries {
        let hash = hash.as_ref().map(|(algorithm, digest)| format!("{algorithm}={digest}"));
        let size = size.map(|size| size.to_string());
        // Writing to memory does not fail.
        let _ = writer.write_record([path.as_str(), &hash.unwrap_or_default(), &size.unwrap_or_default()]);
    }
    writer.into_inner().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_round_trip() {
        let entries = vec![
            Entry::of("a,b \"c\".py", b"x"),
            Entry::of("d/é.py", b""),
            Entry::unhashed("a-1.dist-info/RECORD"),
        ];
        let text = write(&entries);
        assert_eq!(parse(&text).unwrap(), entries);
        assert!(String::from_utf8(text).unwrap().ends_with("a-1.dist-info/RECORD,,\n"));
    }

    #[test]
    fn errors_name_their_line() {
        let message = |text: &str| parse(text.as_bytes()).unwrap_err().to_string();
        assert!(message("a,,\nb,sha256\n").starts_with("line 2 of RECORD has 2 columns"));
        assert!(message("a,sha256:x,1\n").contains("`sha256:x`"));
        assert!(message("a,sha256=x,one\n").contains("`one`"));
    }
}
