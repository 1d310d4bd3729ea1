//! Chance that can be repeated: the same seed throws the same dice.

/// A sequence of throws.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The dice of a seed, and of one use of it: a phone, a rule.
    pub fn new(seed: u64, of: u64) -> Self {
        let mut dice = Self(seed ^ of.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // Neighbouring seeds must not begin alike.
        dice.throw();
        dice
    }

    /// 64 bits (splitmix64, Steele and others 2014).
    pub fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        let n = u64::try_from(n.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.throw() % n).expect("it is below a usize")
    }

    /// Whether something happens that happens so often in a thousand.
    pub fn in_thousand(&mut self, often: u32) -> bool {
        self.throw() % 1000 < u64::from(often)
    }

    /// One of several.
    pub fn one_of<'a, T>(&mut self, things: &'a [T]) -> &'a T {
        &things[self.below(things.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_itself_and_is_like_no_other() {
        let throws = |seed, of| {
            let mut dice = Dice::new(seed, of);
            (0..8).map(|_| dice.throw()).collect::<Vec<_>>()
        };
        assert_eq!(throws(1, 2), throws(1, 2));
        assert_ne!(throws(1, 2), throws(2, 2));
        assert_ne!(throws(1, 2), throws(1, 3));
        let mut dice = Dice::new(7, 0);
        let often = (0..10_000).filter(|_| dice.in_thousand(200)).count();
        assert!((1800..2200).contains(&often), "{often}");
    }
}
