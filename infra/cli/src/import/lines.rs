//! The lines of an input file, one after the other, however long the file is.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};

use super::firebase::{self, Parameters};
use crate::failure::Failure;
use crate::files;

/// The longest line that is kept; a longer one is refused by its length.
const MAX_LINE: u64 = 512 * 1024;

/// A line with its number, from 1: a user to send, or why there is none.
pub type Line = Result<(u64, Result<String, String>), Failure>;

/// Lines as a thread reads them, a little ahead of whoever takes them.
pub struct Lines {
    lines: Receiver<Line>,
}

impl Lines {
    /// The lines of a file behind the first `skip`; users of Firebase's export when its parameters are given.
    pub fn open(path: &Path, firebase: Option<Parameters>, skip: u64) -> Self {
        let (sender, lines) = sync_channel(1024);
        let path = path.to_owned();
        std::thread::spawn(move || {
            let mut number = 0;
            // Whoever took the lines may have gone; then there is nothing left to do.
            let mut put = |text| {
                number += 1;
                number <= skip || sender.send(Ok((number, text))).is_ok()
            };
            if let Err(failure) = read(&path, firebase.as_ref(), &mut put) {
                drop(sender.send(Err(failure)));
            }
        });
        Self { lines }
    }

    /// Lines that are there already.
    #[cfg(test)]
    pub fn of(lines: Vec<Result<String, String>>) -> Self {
        let (sender, receiver) = sync_channel(lines.len());
        for (at, text) in lines.into_iter().enumerate() {
            sender.send(Ok((at as u64 + 1, text))).unwrap();
        }
        Self { lines: receiver }
    }
}

impl Iterator for Lines {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        self.lines.recv().ok()
    }
}

/// How many lines a file has. Reads it once, so that one that can't be read is found before anything is sent.
pub fn count(path: &Path, firebase: Option<&Parameters>) -> Result<u64, Failure> {
    let mut lines = 0;
    read(path, firebase, &mut |_| {
        lines += 1;
        true
    })?;
    Ok(lines)
}

/// Reads a file to its end, or until nobody takes its lines any more.
fn read(
    path: &Path,
    firebase: Option<&Parameters>,
    put: &mut dyn FnMut(Result<String, String>) -> bool,
) -> Result<(), Failure> {
    let failed = |error: std::io::Error| files::failed("read", path, &error);
    let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(failed)?);
    if let Some(parameters) = firebase {
        let not_firebase = |error| Failure::Usage(format!("{}: {error}", path.display()));
        return firebase::read(file, parameters, put).map_err(not_firebase);
    }
    while let Some(line) = next(&mut file).map_err(failed)? {
        if !put(line) {
            break;
        }
    }
    Ok(())
}

fn next(file: &mut impl BufRead) -> std::io::Result<Option<Result<String, String>>> {
    let mut line = Vec::new();
    file.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') && line.len() as u64 == MAX_LINE {
        file.skip_until(b'\n')?;
        return Ok(Some(Err("longer than a request may be".to_owned())));
    }
    let text = String::from_utf8(line).map(|text| text.trim_end_matches(['\n', '\r']).to_owned());
    Ok(Some(text.map_err(|_| "not UTF-8".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_and_numbered_as_an_editor_does() {
        let path = std::env::temp_dir().join(format!("leasehold-cli-lines-{}", std::process::id()));
        let long = "x".repeat(600 * 1024);
        std::fs::write(&path, [b"a\r\n\nb\n\xff\n", long.as_bytes(), b"\nlast"].concat()).unwrap();
        assert_eq!(count(&path, None).unwrap(), 6);
        let read = |skip| {
            let lines = Lines::open(&path, None, skip).map(Result::unwrap);
            lines.map(|(number, text)| (number, text.unwrap_or_else(|why| why))).collect::<Vec<_>>()
        };
        let all =
            [(1, "a"), (2, ""), (3, "b"), (4, "not UTF-8"), (5, "longer than a request may be"), (6, "last")];
        let all = all.map(|(number, text)| (number, text.to_owned()));
        assert_eq!(read(0), all);
        assert_eq!(read(4), all[4..]);
        assert_eq!(read(6), []);
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(count(&path, None), Err(Failure::Usage(_))), "not there");
        assert!(Lines::open(&path, None, 0).next().is_some_and(|line| line.is_err()));
    }
}
