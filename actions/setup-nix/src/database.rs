//! Reads and writes Nix's database of valid paths directly: `nix-store --load-db` registers
//! neither signatures nor content addresses, and `--dump-db` always prints every path.
//!
//! Schema 10, the only one since Nix 2.0 (Nix, `src/libstore/schema.sql`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pydist::digest::hex;
use rusqlite::{Connection, OpenFlags, Row, TransactionBehavior, params};

use crate::narinfo::{PathInfo, StorePath};
use crate::nix32;

/// Where Nix keeps its database.
pub(crate) const DATABASE_DIR: &str = "/nix/var/nix/db";
/// The supported schema.
const SCHEMA: &str = "10";
/// How long to wait for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(120);
/// In bytes.
const MAX_DERIVATION: u64 = 64 << 20;

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// An unsupported schema.
    #[error("the database in `{DATABASE_DIR}` has schema {0}, expected {SCHEMA}")]
    Schema(String),
    /// The database is missing or unreadable.
    #[error("cannot read `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An error from SQLite.
    #[error("cannot use the database in `{DATABASE_DIR}`")]
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
    pub info: PathInfo,
}

/// An open database.
pub struct Database(Connection);

impl Database {
    /// Opens the database read-only, or for writing too.
    pub fn open(write: bool) -> Result<Self, DatabaseError> {
        let schema = Path::new(DATABASE_DIR).join("schema");
        let text =
            fs::read_to_string(&schema).map_err(|source| DatabaseError::File { path: schema, source })?;
        if text.trim() != SCHEMA {
            return Err(DatabaseError::Schema(text.trim().to_owned()));
        }
        let file = Path::new(DATABASE_DIR).join("db.sqlite");
        let access = if write { OpenFlags::SQLITE_OPEN_READ_WRITE } else { OpenFlags::SQLITE_OPEN_READ_ONLY };
        let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let mut connection = Connection::open_with_flags(&file, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        if !write && connection.query_row("select count(*) from Refs where 0", [], |_| Ok(())).is_err() {
            // Without write permission on its directory, the database cannot be shared with
            // writers. If nobody has it open, it does not change.
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
            // Paths of another form cannot be cached.
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
        // Signatures cover the references in sorted order.
        for row in &mut rows {
            row.info.references.sort();
        }
        Ok(rows)
    }

    /// The id of the last registration.
    pub fn last(&self) -> Result<i64, DatabaseError> {
        Ok(self.0.query_row("select coalesce(max(id), 0) from ValidPaths", [], |row| row.get(0))?)
    }

    /// The paths that were built on this machine.
    pub(crate) fn built(&self) -> Result<HashSet<StorePath>, DatabaseError> {
        let mut select = self.0.prepare("select path from ValidPaths where ultimate = 1")?;
        let rows = select.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
        Ok(rows.iter().filter_map(|path| StorePath::from_full(path)).collect())
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

    /// Registers `infos` in one transaction; their references must be among them or already
    /// valid. Returns the number of new paths.
    pub fn register(&mut self, infos: &[&PathInfo]) -> Result<usize, DatabaseError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let transaction = self.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut new: Vec<&PathInfo> = Vec::new();
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
                // Paths that are already valid keep their references.
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

    /// Unregisters `paths` and everything that refers to them, in one transaction; returns all
    /// unregistered paths.
    pub fn unregister<'a>(
        &mut self,
        paths: impl Iterator<Item = &'a StorePath>,
    ) -> Result<Vec<StorePath>, DatabaseError> {
        let transaction = self.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut removed: BTreeMap<i64, String> = BTreeMap::new();
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
                if removed.insert(id, path).is_none() {
                    todo.extend(refer.query_map([id], read)?.collect::<Result<Vec<_>, _>>()?);
                }
            }
            // References must be removed before the paths that they point to.
            let mut detach = transaction.prepare("delete from Refs where referrer = ?")?;
            for id in removed.keys() {
                detach.execute([id])?;
            }
            let mut remove = transaction.prepare("delete from ValidPaths where id = ?")?;
            for id in removed.keys() {
                remove.execute([id])?;
            }
        }
        transaction.commit()?;
        Ok(removed.into_values().filter_map(|path| StorePath::from_full(&path)).collect())
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
        info: PathInfo {
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

/// The outputs listed in a derivation's file, as Nix registers them. Outputs whose path is
/// unknown before the build are skipped.
fn outputs(file: &Path) -> Vec<(String, String)> {
    let small = fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.len() <= MAX_DERIVATION);
    let text = if small { fs::read_to_string(file).unwrap_or_default() } else { String::new() };
    let mut outputs = Vec::new();
    let Some(mut rest) = text.strip_prefix("Derive([") else { return outputs };
    // `("name","path","algorithm","hash")`, without escapes in the first two.
    while let Some(output) = rest.strip_prefix('(') {
        let mut fields = output.split('"');
        let (name, path) = (fields.nth(1).unwrap_or_default(), fields.nth(1).unwrap_or_default());
        if StorePath::from_full(path).is_some() && !name.is_empty() {
            outputs.push((name.to_owned(), path.to_owned()));
        }
        let Some((_, after)) = output.split_once(')') else { break };
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    outputs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_outputs_of_a_derivation() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.drv");
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
