//! Nix's database of valid paths, read and written directly: `nix-store --load-db`
//! registers neither signatures nor content addresses, and `--dump-db` prints every
//! path each time.
//!
//! Schema 10, the only one since Nix 2.0 (Nix, `src/libstore/schema.sql`).

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pydist::digest::hex;
use rusqlite::{Connection, OpenFlags, Row, TransactionBehavior, params};

use crate::narinfo::{Info, StorePath};
use crate::nix32;

/// Where Nix keeps it.
pub(crate) const FOLDER: &str = "/nix/var/nix/db";
/// The one that is understood here.
const SCHEMA: &str = "10";
/// The longest that another process may hold the database.
const BUSY: Duration = Duration::from_secs(120);
/// The longest derivation whose outputs are read.
const DERIVATION: u64 = 64 << 20;

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// A schema of another Nix.
    #[error("the database in `{FOLDER}` has schema {0}, expected {SCHEMA}")]
    Schema(String),
    /// No database, or no right to read it.
    #[error("cannot read `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What SQLite reports.
    #[error("the database in `{FOLDER}` cannot be used")]
    Sqlite(#[from] rusqlite::Error),
}

/// A registered path.
#[derive(Debug, Clone)]
pub struct Registered {
    /// Grows with each registration.
    pub id: i64,
    /// Whether it was built on this machine.
    pub built: bool,
    /// The path.
    pub info: Info,
}

/// An open database.
pub struct Database(Connection);

impl Database {
    /// Opens it for reading alone, or for registering too.
    pub fn open(write: bool) -> Result<Self, DatabaseError> {
        let schema = Path::new(FOLDER).join("schema");
        let text =
            fs::read_to_string(&schema).map_err(|source| DatabaseError::File { path: schema, source })?;
        if text.trim() != SCHEMA {
            return Err(DatabaseError::Schema(text.trim().to_owned()));
        }
        let file = Path::new(FOLDER).join("db.sqlite");
        let access = if write { OpenFlags::SQLITE_OPEN_READ_WRITE } else { OpenFlags::SQLITE_OPEN_READ_ONLY };
        let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let mut connection = Connection::open_with_flags(&file, flags)?;
        connection.busy_timeout(BUSY)?;
        if !write && connection.query_row("select count(*) from Refs where 0", [], |_| Ok(())).is_err() {
            // A user who cannot write beside it cannot share it with writers. While
            // nobody has it open, it does not change.
            let uri = format!("file:{}?immutable=1", file.display());
            connection = Connection::open_with_flags(uri, flags)?;
        }
        connection.pragma_update(None, "foreign_keys", true)?;
        Ok(Self(connection))
    }

    /// The paths registered after `id`, in the order of their registration.
    pub fn after(&self, id: i64) -> Result<Vec<Registered>, DatabaseError> {
        let mut rows = Vec::new();
        let mut by_id = HashMap::new();
        let mut select = self.0.prepare(
            "select id, path, hash, deriver, narSize, ultimate, sigs, ca from ValidPaths where id > ? order by id",
        )?;
        let mut found = select.query([id])?;
        while let Some(row) = found.next()? {
            // A path of another form is none that can be cached.
            if let Some(registered) = registered(row)? {
                by_id.insert(registered.id, rows.len());
                rows.push(registered);
            }
        }
        let mut select = self.0.prepare(
            "select r.referrer, p.path from Refs r join ValidPaths p on p.id = r.reference where r.referrer > ?",
        )?;
        let mut found = select.query([id])?;
        while let Some(row) = found.next()? {
            let path: String = row.get(1)?;
            if let (Some(n), Some(path)) = (by_id.get(&row.get(0)?), StorePath::from_full(&path)) {
                rows[*n].info.references.push(path);
            }
        }
        // In the order in which signatures name them.
        for row in &mut rows {
            row.info.references.sort();
        }
        Ok(rows)
    }

    /// The last registration.
    pub fn last(&self) -> Result<i64, DatabaseError> {
        Ok(self.0.query_row("select coalesce(max(id), 0) from ValidPaths", [], |row| row.get(0))?)
    }

    /// Every valid path with its NAR hash.
    pub fn valid(&self) -> Result<HashMap<StorePath, String>, DatabaseError> {
        let mut select = self.0.prepare("select path, hash from ValidPaths")?;
        let rows = select.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
        let mut valid = HashMap::new();
        for row in rows {
            let (path, hash) = row?;
            if let Some(path) = StorePath::from_full(&path) {
                valid.insert(path, hash);
            }
        }
        Ok(valid)
    }

    /// Whether `path` is valid now.
    pub fn is_valid(&self, path: &StorePath) -> Result<bool, DatabaseError> {
        let mut select = self.0.prepare("select 1 from ValidPaths where path = ?")?;
        Ok(select.exists([path.full()])?)
    }

    /// Registers `infos` in one transaction, with what they refer to among them
    /// or valid already. Gives how many were new.
    pub fn register(&mut self, infos: &[&Info]) -> Result<usize, DatabaseError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let transaction = self.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut new: Vec<&Info> = Vec::new();
        {
            let mut add = transaction.prepare(
                "insert or ignore into ValidPaths (path, hash, registrationTime, deriver, narSize, sigs, ca) \
                 values (?, ?, ?, ?, ?, ?, ?)",
            )?;
            for info in infos {
                let signatures = info.signatures.join(" ");
                let added = add.execute(params![
                    info.path.full(),
                    format!("sha256:{}", hex(&info.nar_hash)),
                    now.cast_signed(),
                    info.deriver.as_ref().map(StorePath::full),
                    info.nar_size.cast_signed(),
                    (!signatures.is_empty()).then_some(signatures),
                    info.ca,
                ])?;
                // What is valid already keeps the references that it has.
                new.extend((added > 0).then_some(*info));
            }
            let mut refer = transaction.prepare(
                "insert or ignore into Refs (referrer, reference) \
                 select a.id, b.id from ValidPaths a, ValidPaths b where a.path = ? and b.path = ?",
            )?;
            let mut output = transaction.prepare(
                "insert or replace into DerivationOutputs (drv, id, path) \
                 select id, ?, ? from ValidPaths where path = ?",
            )?;
            for info in &new {
                for reference in &info.references {
                    refer.execute([info.path.full(), reference.full()])?;
                }
                if info.path.is_derivation() {
                    for (name, path) in outputs(&info.path.path()) {
                        output.execute([name, path, info.path.full()])?;
                    }
                }
            }
        }
        transaction.commit()?;
        Ok(new.len())
    }

    /// Removes the registration of `paths` and of all that refers to them, in one
    /// transaction; gives all of those.
    pub fn forget<'a>(
        &mut self,
        paths: impl Iterator<Item = &'a StorePath>,
    ) -> Result<Vec<StorePath>, DatabaseError> {
        let transaction = self.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut gone: BTreeMap<i64, String> = BTreeMap::new();
        {
            let mut find = transaction.prepare("select id, path from ValidPaths where path = ?")?;
            let mut refer = transaction.prepare(
                "select p.id, p.path from Refs r join ValidPaths p on p.id = r.referrer where r.reference = ?",
            )?;
            let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
            let mut todo = Vec::new();
            for path in paths {
                todo.extend(find.query_map([path.full()], read)?.collect::<Result<Vec<_>, _>>()?);
            }
            while let Some((id, path)) = todo.pop() {
                if gone.insert(id, path).is_none() {
                    todo.extend(refer.query_map([id], read)?.collect::<Result<Vec<_>, _>>()?);
                }
            }
            // What refers to a path cannot be removed after it.
            let mut detach = transaction.prepare("delete from Refs where referrer = ?")?;
            for id in gone.keys() {
                detach.execute([id])?;
            }
            let mut remove = transaction.prepare("delete from ValidPaths where id = ?")?;
            for id in gone.keys() {
                remove.execute([id])?;
            }
        }
        transaction.commit()?;
        Ok(gone.into_values().filter_map(|path| StorePath::from_full(&path)).collect())
    }
}

fn registered(row: &Row<'_>) -> Result<Option<Registered>, rusqlite::Error> {
    let path: String = row.get(1)?;
    let hash: String = row.get(2)?;
    let (Some(path), Some(nar_hash)) = (StorePath::from_full(&path), nix32::sha256(&hash)) else {
        return Ok(None);
    };
    let deriver: Option<String> = row.get(3)?;
    let size: Option<i64> = row.get(4)?;
    let built: Option<bool> = row.get(5)?;
    let signatures: Option<String> = row.get(6)?;
    let ca: Option<String> = row.get(7)?;
    Ok(Some(Registered {
        id: row.get(0)?,
        built: built.unwrap_or(false),
        info: Info {
            path,
            nar_hash,
            nar_size: size.unwrap_or(0).max(0).cast_unsigned(),
            deriver: deriver.and_then(|text| StorePath::from_full(&text)),
            references: Vec::new(),
            signatures: signatures.unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
            ca: ca.filter(|text| !text.is_empty()),
        },
    }))
}

/// The outputs that a derivation's own file names, as Nix registers them with it.
/// One whose path is not known before it is built names none.
fn outputs(file: &Path) -> Vec<(String, String)> {
    let small = fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.len() <= DERIVATION);
    let text = if small { fs::read_to_string(file).unwrap_or_default() } else { String::new() };
    let mut outputs = Vec::new();
    let Some(mut rest) = text.strip_prefix("Derive([") else { return outputs };
    // `("name","path","algorithm","hash")`, without escapes in the first two.
    while let Some(output) = rest.strip_prefix('(') {
        let mut words = output.split('"');
        let (name, path) = (words.nth(1).unwrap_or_default(), words.nth(1).unwrap_or_default());
        if StorePath::from_full(path).is_some() && !name.is_empty() {
            outputs.push((name.to_owned(), path.to_owned()));
        }
        let Some((_, behind)) = output.split_once(')') else { break };
        rest = behind.strip_prefix(',').unwrap_or(behind);
    }
    outputs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derivation_names_its_outputs() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.drv");
        let path = |n: u8| format!("/nix/store/{}-x", char::from(b'0' + n).to_string().repeat(32));
        let text = format!(
            r#"Derive([("dev","{}","",""),("out","{}","sha256","ab"),("late","","","")],[],[],"x","/bin/sh",["(\"a\",\"b\")"],[])"#,
            path(1),
            path(2)
        );
        fs::write(&file, text).unwrap();
        assert_eq!(outputs(&file), [("dev".into(), path(1)), ("out".into(), path(2))]);
        fs::write(&file, "Derive([(\"out").unwrap();
        assert_eq!(outputs(&file), []);
    }
}
