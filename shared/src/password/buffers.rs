//! The memory that argon2 fills.

use std::sync::{Mutex, PoisonError};

use argon2::Block;

/// Buffers kept from one hash to the next: half of a hash's time would go to page faults of fresh memory. There are
/// never more than hashes that ran at once, and none larger than the costs that callers named.
#[derive(Default)]
pub(super) struct Buffers {
    kept: Mutex<Vec<Vec<Block>>>,
}

impl Buffers {
    /// Lends `blocks` blocks. A buffer of more than `usual` blocks, which only a stored hash asks for, is not kept.
    pub(super) fn with<T>(&self, blocks: usize, usual: usize, work: impl FnOnce(&mut [Block]) -> T) -> T {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = kept().pop();
        let mut buffer = match taken {
            Some(buffer) if buffer.len() >= blocks => buffer,
            too_small if blocks > usual => {
                kept().extend(too_small);
                return work(&mut vec![Block::new(); blocks]);
            }
            _ => vec![Block::new(); blocks],
        };
        let result = work(&mut buffer[..blocks]);
        kept().push(buffer);
        result
    }

    /// The sizes of the buffers that wait, in blocks.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> Vec<usize> {
        self.kept.lock().unwrap().iter().map(Vec::len).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_buffer_serves_all_and_grows_only_with_the_usual_cost() {
        let buffers = Buffers::default();
        for (blocks, usual, sizes, why) in [
            (64, 64, vec![64], "kept"),
            (32, 64, vec![64], "a smaller hash fits"),
            (128, 64, vec![64], "a larger one is served and not kept"),
            (128, 128, vec![128], "a larger usual cost takes the place"),
            (64, 64, vec![128], "and stays"),
            (256, 16, vec![128], "whatever else is asked for"),
        ] {
            let lent = buffers.with(blocks, usual, |memory| memory.len());
            assert_eq!((lent, buffers.sizes()), (blocks, sizes), "{why}");
        }
    }
}
