//! A digest as people read it aloud and confirm it.

use crate::crypto::{SigningError, random};

/// The digest in hexadecimal groups of four digits.
pub fn digest_groups(digest: &[u8; 32]) -> String {
    let groups: Vec<String> = digest.chunks(2).map(hex::encode).collect();
    groups.join(" ")
}

/// The digest as 32 words of the PGP word list, one for each byte. Words at even and odd places come from different
/// lists, so that a word left out or swapped is heard.
pub fn digest_words(digest: &[u8; 32]) -> Vec<String> {
    pgp_words::to_words(digest).into_iter().map(str::to_owned).collect()
}

/// The places of a digest's words that a signer is asked for: chosen anew each time, since whoever grinds a payload
/// until four known words fit would have to know which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    places: Vec<usize>,
}

impl Challenge {
    /// How many words are asked for.
    pub const WORDS: usize = 4;

    /// Chooses four places.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn random() -> Result<Self, SigningError> {
        let mut places = Vec::with_capacity(Self::WORDS);
        while places.len() < Self::WORDS {
            let mut byte = [0];
            random(&mut byte)?;
            // 32 divides 256, so each place is as likely as the others.
            let place = usize::from(byte[0] % 32);
            if !places.contains(&place) {
                places.push(place);
            }
        }
        Ok(Self { places })
    }

    /// The places, from 0, in the order in which they are asked for.
    pub fn places(&self) -> &[usize] {
        &self.places
    }

    /// Whether these are the words at the places asked for, in whatever case.
    pub fn is_met(&self, digest: &[u8; 32], typed: &str) -> bool {
        let words = digest_words(digest);
        let typed: Vec<&str> = typed.split_whitespace().collect();
        typed.len() == self.places.len()
            && self.places.iter().zip(typed).all(|(place, typed)| words[*place].eq_ignore_ascii_case(typed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_pgp_word_list() {
        // The list's own examples: E582 94F2 E9A2 2748 … begins "topmost Istanbul Pluto vagabond".
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&[0xe5, 0x82, 0x94, 0xf2]);
        let words: Vec<String> = digest_words(&digest).iter().map(|word| word.to_lowercase()).collect();
        assert_eq!(words[..6], ["topmost", "istanbul", "pluto", "vagabond", "aardvark", "adroitness"]);
        let of = |byte: u8| pgp_words::to_words(&[byte, byte]).into_iter().map(str::to_owned).collect::<Vec<_>>();
        let all: std::collections::BTreeSet<String> = (0..=255).flat_map(of).collect();
        assert!(all.len() == 512 && all.iter().all(|word| word.chars().all(|c| c.is_ascii_alphabetic())));
        assert_eq!(digest_groups(&digest)[..9], *"e582 94f2");
    }

    #[test]
    fn only_the_words_at_the_places_asked_for_confirm() {
        let digest = [7; 32];
        let challenge = Challenge { places: vec![3, 8, 31, 0] };
        let words = digest_words(&digest);
        let right = format!("{} {}  {} {}", words[3], words[8].to_uppercase(), words[31], words[0]);
        assert!(challenge.is_met(&digest, &right));
        for wrong in
            ["", "y", "yes", &right.replacen(words[3].as_str(), &words[8], 1), &format!("{right} {}", words[0])]
        {
            assert!(!challenge.is_met(&digest, wrong), "{wrong}");
        }
        assert!(!challenge.is_met(&[8; 32], &right));
    }

    #[test]
    fn places_are_distinct_and_change() {
        let challenges: Vec<_> = (0..8).map(|_| Challenge::random().unwrap()).collect();
        for challenge in &challenges {
            let distinct: std::collections::BTreeSet<_> = challenge.places.iter().collect();
            assert_eq!(distinct.len(), Challenge::WORDS);
            assert!(challenge.places.iter().all(|place| *place < 32));
        }
        assert!(challenges.iter().any(|challenge| *challenge != challenges[0]));
    }
}
