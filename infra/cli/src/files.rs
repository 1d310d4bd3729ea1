//! Files that are the user's own: readable by nobody else, whole or not there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// Makes a folder that only its owner may enter.
pub fn make_folder(path: &Path) -> Result<(), Failure> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| failed("make", path, &error))
}

/// Replaces a file at once: after a crash there is the old content or the new, never a part.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let fresh = path.with_file_name(name);
    let write = || -> io::Result<()> {
        let mut file = open(&fresh, OpenOptions::new().write(true).create(true).truncate(true))?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        // The rename itself must not be lost either.
        File::open(path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))?
            .sync_all()
    };
    write().map_err(|error| failed("write", path, &error))
}

/// A file to go on with behind its first `length` bytes; what lies behind them is cut off.
pub fn resume(path: &Path, length: u64) -> Result<File, Failure> {
    let work = || -> io::Result<File> {
        let mut file = open(path, OpenOptions::new().write(true).create(true).truncate(false))?;
        if file.metadata()?.len() < length {
            return Err(io::Error::other("it is shorter than it was"));
        }
        file.set_len(length)?;
        io::Seek::seek(&mut file, io::SeekFrom::End(0))?;
        Ok(file)
    };
    work().map_err(|error| failed("write", path, &error))
}

/// A lock held until it is dropped; waits for whoever holds it.
pub fn lock(path: &Path) -> Result<File, Failure> {
    let work = || -> io::Result<File> {
        let file = open(path, OpenOptions::new().write(true).create(true).truncate(false))?;
        file.lock()?;
        Ok(file)
    };
    work().map_err(|error| failed("lock", path, &error))
}

/// The content of a file; nothing when there is none.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path, &error)),
    }
}

/// Removes a file that may be gone already.
pub fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path, &error)),
        _ => Ok(()),
    }
}

/// A path with something added to its name.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A file could not be dealt with.
pub fn failed(verb: &str, path: &Path, error: &io::Error) -> Failure {
    let text = format!("cannot {verb} {}: {error}", path.display());
    if error.kind() == io::ErrorKind::NotFound { Failure::Usage(text) } else { Failure::Other(text) }
}

fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    options.mode(0o600).open(path)
}
