//! Chunks that fit a request of the import route.

use serde_json::Value;

use super::lines::Lines;
use super::refused;
use crate::failure::Failure;

/// Lines in one request (the service's bound).
const MAX_LINES: usize = 200;
/// Bytes of one request (the service's bound).
const MAX_BYTES: usize = 256 * 1024;

/// Lines to be sent together.
#[derive(Debug, Default)]
pub struct Chunk {
    /// The request's body.
    pub body: Vec<u8>,
    /// The numbers that the lines of the body have in the file.
    pub numbers: Vec<u64>,
    /// Lines that are not sent, as the report has them.
    pub refused: Vec<Value>,
    taken: u64,
}

impl Chunk {
    /// How many lines of the file it stands for, blank ones too.
    pub fn lines(&self) -> u64 {
        self.taken
    }
}

/// The chunks of a file, as they are asked for.
pub struct Chunks {
    lines: Lines,
    /// A line that did not fit any more.
    left: Option<(u64, String)>,
}

impl Chunks {
    pub fn new(lines: Lines) -> Self {
        Self { lines, left: None }
    }

    fn fill(&mut self) -> Result<Option<Chunk>, Failure> {
        let mut chunk = Chunk::default();
        while chunk.numbers.len() < MAX_LINES && chunk.taken < 10 * MAX_LINES as u64 {
            let (number, text) = match self.left.take() {
                Some((number, text)) => (number, Ok(text)),
                None => match self.lines.next() {
                    None => break,
                    Some(line) => line?,
                },
            };
            match text {
                Ok(text) if text.trim().is_empty() => {}
                Ok(text) if text.len() >= MAX_BYTES => {
                    chunk.refused.push(refused(number, "payload_too_large", "longer than a request may be"));
                }
                Ok(text) if chunk.body.len() + text.len() + 1 > MAX_BYTES => {
                    self.left = Some((number, text));
                    break;
                }
                Ok(text) => {
                    chunk.body.extend_from_slice(text.as_bytes());
                    chunk.body.push(b'\n');
                    chunk.numbers.push(number);
                }
                Err(why) => chunk.refused.push(refused(number, "invalid_request", &why)),
            }
            chunk.taken += 1;
        }
        Ok(Some(chunk).filter(|chunk| chunk.taken > 0))
    }
}

impl Iterator for Chunks {
    type Item = Result<Chunk, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        self.fill().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(lines: Vec<Result<String, String>>) -> Vec<Chunk> {
        Chunks::new(Lines::of(lines)).map(Result::unwrap).collect()
    }

    fn text(length: usize) -> String {
        "x".repeat(length)
    }

    #[test]
    fn a_chunk_has_so_many_lines_and_so_many_bytes() {
        let small = chunks((0..450).map(|_| Ok(text(10))).collect());
        assert_eq!(small.iter().map(|chunk| chunk.numbers.len()).collect::<Vec<_>>(), [200, 200, 50]);
        assert_eq!(small[1].numbers.first(), Some(&201));
        let large = chunks((0..5).map(|_| Ok(text(100_000))).collect());
        assert_eq!(
            large.iter().map(|chunk| chunk.numbers.clone()).collect::<Vec<_>>(),
            [vec![1, 2], vec![3, 4], vec![5]]
        );
        assert!(large.iter().all(|chunk| chunk.body.len() <= MAX_BYTES));
    }

    #[test]
    fn every_line_is_accounted_for() {
        let lines = vec![
            Ok(text(1)),
            Ok(text(0)),
            Err("no user".to_owned()),
            Ok(text(MAX_BYTES)),
            Ok(text(MAX_BYTES - 1)),
            Ok(text(3)),
        ];
        let chunks = chunks(lines);
        assert_eq!(chunks.iter().map(Chunk::lines).sum::<u64>(), 6);
        let numbers: Vec<_> = chunks.iter().flat_map(|chunk| chunk.numbers.clone()).collect();
        assert_eq!(numbers, [1, 5, 6], "blank and refused lines are not sent");
        let refused: Vec<_> =
            chunks.iter().flat_map(|chunk| &chunk.refused).map(|line| line["line"].clone()).collect();
        assert_eq!(refused, [3, 4]);
        assert!(chunks.iter().all(|chunk| chunk.body.len() <= MAX_BYTES));
    }

    #[test]
    fn nothing_is_no_chunk() {
        assert!(chunks(vec![]).is_empty());
    }
}
