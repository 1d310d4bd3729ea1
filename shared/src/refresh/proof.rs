//! The proof of a generation: a hash chain. Whoever holds the proof of a generation can make those of later ones, and
//! nobody can make one of an earlier. So any spent token proves by itself that it was once issued, without the family
//! keeping anything of it, and an outsider can't invent one to have a family ended.

use aws_lc_rs::digest::{Context, SHA256};

use crate::bytes::Bytes;
use crate::secret::{Secret, same_bytes};

const STEP: &[u8] = b"leasehold refresh proof step 1";
const KEPT: &[u8] = b"leasehold refresh proof kept 1";

/// How many generations back a proof is followed. Hashing so far takes a few milliseconds; an older token is unknown.
pub const MAX_GAP: u32 = 65_536;

/// The proof of one generation: 128 bits.
pub type Proof = Secret<[u8; 16]>;

/// The proof of the next generation.
#[must_use]
pub fn next(proof: &Proof) -> Proof {
    let digest = hash(STEP, proof);
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    Proof::new(bytes)
}

/// What a family keeps of its current proof. Not itself the next proof: whoever reads the table can't end families.
pub fn kept(proof: &Proof) -> Bytes<32> {
    Bytes::from(hash(KEPT, proof))
}

/// Whether `proof`, hashed forward over `gap` generations, is the one that `kept` was made of.
pub fn chains(proof: &Proof, gap: u32, kept_hash: &Bytes<32>) -> bool {
    if gap > MAX_GAP {
        return false;
    }
    let mut at = proof.clone();
    for _ in 0..gap {
        at = next(&at);
    }
    same_bytes(kept(&at).as_ref(), kept_hash.as_ref())
}

fn hash(tag: &[u8], proof: &Proof) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(tag);
    context.update(proof.expose());
    let mut out = [0_u8; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_proof_chains_over_exactly_its_gap() {
        let first = Proof::new([1; 16]);
        let third = next(&next(&first));
        assert!(chains(&first, 2, &kept(&third)));
        for gap in [0, 1, 3, MAX_GAP + 1] {
            assert!(!chains(&first, gap, &kept(&third)), "gap {gap}");
        }
        assert!(!chains(&Proof::new([2; 16]), 2, &kept(&third)));
    }

    #[test]
    fn what_is_kept_is_not_a_proof() {
        let proof = Proof::new([1; 16]);
        assert_ne!(&kept(&proof).as_ref()[..16], next(&proof).expose());
    }

    #[test]
    fn a_proof_is_followed_so_far_and_no_further() {
        let oldest = Proof::new([1; 16]);
        let at_the_end = (0..MAX_GAP).fold(oldest.clone(), |proof, _| next(&proof));
        assert!(chains(&oldest, MAX_GAP, &kept(&at_the_end)));
        assert!(!chains(&oldest, MAX_GAP + 1, &kept(&next(&at_the_end))), "it would, and costs too much");
    }
}
