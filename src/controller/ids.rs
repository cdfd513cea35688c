//! The only source of randomness: identities, revision marks and cookie values, from one seed. The same seed gives
//! the same names in the same order, so that a simulated history replays exactly.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

/// Makes names that nobody else has. Clones draw from the same source.
#[derive(Clone, Debug)]
pub struct Ids(Arc<Mutex<u64>>);

impl Ids {
    /// Seeded by the operating system, through the keys that std draws for its hash maps. These names must be
    /// different from each other, not secret.
    pub fn from_entropy() -> Self {
        Self::seeded(RandomState::new().build_hasher().finish())
    }

    /// The names that belong to `seed`.
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(seed)))
    }

    /// A version 4 UUID.
    pub fn uuid(&self) -> String {
        let (high, low) = (self.next(), self.next());
        let version = (high & !0xf000) | 0x4000;
        let variant = (low & !(0b11 << 62)) | (0b10 << 62);
        format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            version >> 32,
            (version >> 16) & 0xffff,
            version & 0xffff,
            variant >> 48,
            variant & 0xffff_ffff_ffff,
        )
    }

    /// A value for an affinity cookie: ten letters of `a-zA-Z`.
    pub fn cookie(&self) -> String {
        const LETTERS: &[u8; 52] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        // The remainder favours some letters by less than one in 10^17.
        (0..10).map(|_| char::from(LETTERS[(self.next() % 52) as usize])).collect()
    }

    /// The next number of a Weyl sequence, mixed (the generator known as SplitMix64).
    fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_gives_the_same_names_again() {
        let (one, two) = (Ids::seeded(7), Ids::seeded(7));
        assert_eq!((one.uuid(), one.cookie()), (two.uuid(), two.cookie()));
        assert_ne!(one.uuid(), Ids::seeded(8).uuid());
    }

    #[test]
    fn uuids_are_version_4_and_never_the_same() {
        let ids = Ids::from_entropy();
        let many: BTreeSet<String> = (0..1000).map(|_| ids.uuid()).collect();
        assert_eq!(1000, many.len());
        for id in many {
            assert_eq!(vec![8, 4, 4, 4, 12], id.split('-').map(str::len).collect::<Vec<_>>());
            assert_eq!(Some('4'), id.chars().nth(14), "{id}");
            assert!(matches!(id.chars().nth(19), Some('8' | '9' | 'a' | 'b')), "{id}");
        }
    }

    #[test]
    fn cookie_values_are_ten_letters() {
        let ids = Ids::seeded(1);
        for _ in 0..100 {
            let cookie = ids.cookie();
            assert!(cookie.len() == 10 && cookie.chars().all(|c| c.is_ascii_alphabetic()), "{cookie}");
        }
    }

    #[test]
    fn clones_draw_from_one_source() {
        let ids = Ids::seeded(3);
        assert_ne!(ids.clone().uuid(), ids.uuid());
    }
}
