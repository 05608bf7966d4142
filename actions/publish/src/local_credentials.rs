//! Passwords on a developer's machine: a file or standard input, `.pypirc`, netrc,
//! and the command `keyring`.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use index::{Basic, Index};
use toolkit::{Env, FileError, Secret, Ui};

use crate::command;
use crate::error::Error;
use crate::inputs::Access;

/// The password from the inputs, masked.
pub(crate) fn given(access: &Access, ui: &Ui) -> Result<Option<Basic>, Error> {
    let password = match (&access.password, &access.password_file) {
        (Some(password), _) => password.clone(),
        (None, Some(path)) => read_secret(path)?,
        (None, None) => return Ok(None),
    };
    let basic = Basic { user: access.username.clone(), password };
    basic.mask(ui);
    Ok(Some(basic))
}

fn read_secret(path: &Path) -> Result<Secret, Error> {
    let mut bytes = Vec::new();
    let name = if path.as_os_str() == "-" {
        let name = Path::new("standard input");
        std::io::stdin().read_to_end(&mut bytes).map_err(FileError::new("read", name))?;
        name
    } else {
        bytes = std::fs::read(path).map_err(FileError::new("read", path))?;
        path
    };
    let no_text = || FileError::new("read", name)(std::io::Error::other("expected UTF-8 or UTF-16"));
    let secret = Secret::new(decoded(bytes).ok_or_else(no_text)?.trim());
    if secret.expose().is_empty() {
        return Err(FileError::new("find a password in", path)(std::io::ErrorKind::InvalidData.into()).into());
    }
    Ok(secret)
}

/// The password that this machine stores for the index, if any.
pub(crate) async fn stored(
    access: &Access,
    index: &Index,
    env: &Env,
    ui: &Ui,
) -> Result<Option<Basic>, Error> {
    let home = env.home();
    let read = |path: PathBuf| Some((decoded(std::fs::read(&path).ok()?)?, path));
    let host = index.upload.host_str().unwrap_or_default();
    let mut found = None;
    if let Some((text, path)) = home.as_ref().and_then(|home| read(home.join(".pypirc"))) {
        found = pypirc(&text, index).map(|basic| (basic, path));
    }
    if found.is_none() {
        let paths = match (env.get("NETRC"), home) {
            (Some(path), _) => vec![PathBuf::from(path)],
            // The second is the usual name on Windows; requests and curl read both, too.
            (None, Some(home)) => vec![home.join(".netrc"), home.join("_netrc")],
            (None, None) => Vec::new(),
        };
        if let Some((text, path)) = paths.into_iter().find_map(read) {
            found = netrc(&text, host).map(|basic| (basic, path));
        }
    }
    if let Some((basic, path)) = found {
        basic.mask(ui);
        ui.info(format!("using the password for {index} from `{}`", path.display()));
        return Ok(Some(basic));
    }
    if !access.keyring {
        return Ok(None);
    }
    let args = ["get", index.upload.as_str(), &access.username];
    let password = command::secret("keyring", &args, Duration::from_secs(60)).await?;
    let basic = Basic { user: access.username.clone(), password };
    basic.mask(ui);
    Ok(Some(basic))
}

/// The text of a file by its byte order mark: `>` of Windows PowerShell 5 writes UTF-16, and
/// Notepad can put a mark before UTF-8. `None` if it is neither.
fn decoded(bytes: Vec<u8>) -> Option<String> {
    let units = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let (units, rest) = bytes.as_chunks::<2>();
        let units: Vec<u16> = units.iter().map(|bytes| unit(*bytes)).collect();
        String::from_utf16(&units).ok().filter(|_| rest.is_empty())
    };
    match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => units(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => units(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8(rest.to_vec()).ok(),
        _ => String::from_utf8(bytes).ok(),
    }
}

/// The section of `.pypirc` for this index: by its name, or by its URL.
fn pypirc(text: &str, index: &Index) -> Option<Basic> {
    let mut sections: Vec<(&str, Vec<(&str, &str)>)> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            sections.push((name.trim(), Vec::new()));
        } else if let (Some((key, value)), Some((_, fields))) =
            (line.split_once(['=', ':']), sections.last_mut())
        {
            fields.push((key.trim(), value.trim()));
        }
    }
    let field = |fields: &[(&str, &str)], name: &str| {
        fields.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    };
    let is_it = |(name, fields): &&(&str, Vec<(&str, &str)>)| match field(fields, "repository") {
        Some(url) => url.trim_end_matches('/') == index.upload.as_str().trim_end_matches('/'),
        None => index.known.is_some_and(|known| known.word() == *name),
    };
    let (_, fields) = sections.iter().find(is_it)?;
    let user = field(fields, "username").unwrap_or_else(|| "__token__".to_owned());
    Some(Basic { user, password: Secret::new(field(fields, "password")?) })
}

/// The entry of a netrc file for `host`, or its `default`.
fn netrc(text: &str, host: &str) -> Option<Basic> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut words = lines.flat_map(str::split_whitespace);
    let (mut is_ours, mut user, mut password) = (false, None, None);
    while let Some(word) = words.next() {
        match word {
            "machine" | "default" => {
                if is_ours && password.is_some() {
                    break;
                }
                is_ours = word == "default" || words.next() == Some(host);
                (user, password) = (None, None);
            }
            "login" => user = words.next().filter(|_| is_ours).or(user),
            "password" => password = words.next().filter(|_| is_ours).or(password),
            _ => {}
        }
    }
    let user = user.unwrap_or("__token__").to_owned();
    password.filter(|_| is_ours).map(|password| Basic { user, password: Secret::new(password) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(basic: Option<Basic>) -> Option<(String, String)> {
        basic.map(|basic| (basic.user, basic.password.expose().to_owned()))
    }

    fn pair(user: &str, password: &str) -> (String, String) {
        (user.to_owned(), password.to_owned())
    }

    #[test]
    fn finds_indexes_in_pypirc_by_name_or_url() {
        let text = "[distutils]\nindex-servers = pypi\n\n[pypi]\nusername = __token__\npassword = pypi-a\n\
                    # other\n[corp]\nrepository: https://corp.example/pypi\nusername: me\npassword: b=c\n";
        let index = |text: &str| Index::parse(text, None, false).unwrap();
        assert_eq!(shown(pypirc(text, &index("pypi"))), Some(pair("__token__", "pypi-a")));
        assert_eq!(shown(pypirc(text, &index("https://corp.example/pypi/"))), Some(pair("me", "b=c")));
        assert_eq!(shown(pypirc(text, &index("testpypi"))), None);
    }

    #[test]
    fn the_byte_order_mark_tells_the_encoding() {
        let text = "[pypi]\r\npassword = x\r\n";
        let mut utf_8 = vec![0xef, 0xbb, 0xbf];
        utf_8.extend(text.as_bytes());
        let mut little = vec![0xff, 0xfe];
        little.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
        let mut big = vec![0xfe, 0xff];
        big.extend(text.encode_utf16().flat_map(u16::to_be_bytes));
        for bytes in [text.as_bytes().to_vec(), utf_8, little, big] {
            assert_eq!(decoded(bytes).as_deref(), Some(text));
        }
        for bytes in [&[0xff, 0xfe, b'x'][..], &[0xff, 0xfe, 0, 0xd8], b"\xe9"] {
            assert_eq!(decoded(bytes.to_vec()), None, "{bytes:?}");
        }
    }

    #[test]
    fn reads_passwords_and_files_that_powershell_wrote() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, "\u{feff}x\r\n").unwrap();
        assert_eq!(read_secret(&path).unwrap().expose(), "x");
        let utf_16 = |text: &str| -> Vec<u8> {
            format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect()
        };
        std::fs::write(&path, utf_16("x\r\n")).unwrap();
        assert_eq!(read_secret(&path).unwrap().expose(), "x");
        std::fs::write(&path, b"\xe9").unwrap();
        assert!(read_secret(&path).is_err());
    }

    #[test]
    fn finds_netrc_entries_by_host() {
        let text = "machine a.example login me password x\nmachine b.example\n  login you\n  password y\n";
        assert_eq!(shown(netrc(text, "b.example")), Some(pair("you", "y")));
        assert_eq!(shown(netrc(text, "a.example")), Some(pair("me", "x")));
        assert_eq!(shown(netrc(text, "c.example")), None);
        assert_eq!(
            shown(netrc(&format!("{text}default login d password z"), "c.example")),
            Some(pair("d", "z"))
        );
    }
}
