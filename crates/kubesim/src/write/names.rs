//! Names and uids of new objects: unlike each other, and the same in every run with the same seed.

/// A small generator (SplitMix64), one for each cluster.
#[derive(Clone, Debug)]
pub struct Names {
    state: u64,
}

/// As a real API server: no vowels, no look-alikes.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

impl Names {
    /// Names that follow from `seed`.
    pub fn seeded(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A uid.
    pub fn uid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        // Version 4, variant 1: what a client's UUID type expects.
        let high = (high & 0xffff_ffff_ffff_0fff) | 0x4000;
        let low = (low & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }

    /// The five characters at the end of a generated name.
    pub fn suffix(&mut self) -> String {
        let bits = self.next();
        suffix_of(bits, 5)
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }
}

/// `length` characters that follow from `bits`.
pub fn suffix_of(mut bits: u64, length: usize) -> String {
    let base = ALPHABET.len() as u64;
    let mut out = String::with_capacity(length);
    for _ in 0..length {
        out.push(char::from(ALPHABET[usize::try_from(bits % base).unwrap_or_default()]));
        bits /= base;
    }
    out
}

/// A number that follows from a text, well spread.
pub fn digest(text: &str) -> u64 {
    let fnv = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    mix(fnv)
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn uids_are_unlike_each_other_and_the_same_in_every_run() {
        let run = || {
            let mut names = Names::seeded(7);
            (0..1000).map(|_| names.uid()).collect::<Vec<_>>()
        };
        assert_eq!(run(), run());
        assert_eq!(1000, run().into_iter().collect::<BTreeSet<_>>().len());
        let uid = &run()[0];
        assert_eq!((36, "4", true), (uid.len(), &uid[14..15], "89ab".contains(&uid[19..20])));
    }
}
