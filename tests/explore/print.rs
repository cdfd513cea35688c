//! A fingerprint of 128 bits: two streams of 64 bits that are mixed in different ways. With 10^8 states the chance that
//! any two have the same one is under 10^-22.

use std::hash::Hasher;

/// The fingerprint so far.
pub struct Print(u64, u64);

impl Default for Print {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f)
    }
}

fn folded(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

impl Print {
    fn mix(&mut self, word: u64) {
        self.0 = folded(self.0 ^ word, 0xa076_1d64_78bd_642f).rotate_left(23) ^ word;
        self.1 = folded(self.1.wrapping_add(word), 0xe703_7ed1_a0b4_28db).rotate_left(41).wrapping_add(word);
    }

    /// All 128 bits.
    pub fn whole(&self) -> u128 {
        let high = folded(self.0 ^ 0x8ebc_6af0_9c88_c6e3, 0x5899_65cc_7537_4cc3);
        let low = folded(self.1 ^ self.0.rotate_left(32), 0x1d8e_4e27_c47d_124f);
        (u128::from(high ^ self.1) << 64) | u128::from(low ^ self.0)
    }
}

impl Hasher for Print {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word) ^ ((chunk.len() as u64) << 60));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.mix(u64::from(value));
    }

    fn write_u16(&mut self, value: u16) {
        self.mix(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.mix(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }

    fn finish(&self) -> u64 {
        self.whole() as u64
    }
}
