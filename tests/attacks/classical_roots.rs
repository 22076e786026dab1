//! Roots whose signatures are all classical, once somebody can compute classical secret keys from public ones.

use insta::assert_snapshot;
use trustroot::trust::RootPolicy;

use crate::support::{Client, SimRepository, refusal_of};

/// The repository's time is 2026-03-01.
const PAST: &str = "2026-02-01T00:00:00Z";
const FUTURE: &str = "2026-03-02T00:00:00Z";

fn asking_from(mut client: Client, from: &str) -> Client {
    client.root_policy = RootPolicy::post_quantum_from(from.parse().unwrap());
    client
}

#[test]
fn roots_with_classical_keys_alone_are_refused_from_the_date_on_and_not_before() {
    let mut repository = SimRepository::new();
    let mut client = asking_from(repository.client(), FUTURE);
    repository.add_key("root");
    client.refresh().unwrap();
    let trusted = client.trusted();
    repository.wait_days(1);

    // Also without a new root: the one that trust starts from says nothing post-quantum either.
    let refusal = refusal_of(client.refresh());

    assert_eq!(refusal.code(), "classical-only");
    assert_eq!(client.trusted(), trusted);
}

/// With ring there is no ML-DSA: the same refusal says so.
#[cfg(not(feature = "aws-lc"))]
#[test]
fn a_build_that_cannot_check_post_quantum_signatures_says_so() {
    let repository = SimRepository::new();
    let mut client = asking_from(repository.client(), PAST);

    let refusal = refusal_of(client.refresh());

    assert_snapshot!(refusal, @"root v1 has no valid post-quantum signature by a key of its own, and needs one from 2026-02-01T00:00:00Z on; this build cannot check such signatures");
    assert_eq!(client.trusted(), "root -, timestamp -, snapshot -, targets -");
}

#[cfg(feature = "aws-lc")]
mod with_ml_dsa {
    use super::*;
    use crate::support::Key;

    /// A repository whose root has two classical keys and a post-quantum one; any two of them meet its threshold.
    fn mixed() -> (SimRepository, [Key; 3]) {
        let mut repository = SimRepository::new();
        let keys = [repository.new_key(), repository.new_key(), Key::ml_dsa()];
        repository.authorize("root", &keys, 2);
        repository.publish_root();
        (repository, keys)
    }

    /// The next root, with the same keys, signed by some of them.
    fn serve_next_root(repository: &mut SimRepository, signers: &[Key]) {
        repository.bump("root");
        repository.serve_bytes("root", repository.signed_by("root", signers));
    }

    #[test]
    fn a_root_that_all_classical_keys_signed_is_refused_from_the_date_on() {
        let (mut repository, keys) = mixed();
        let mut client = asking_from(repository.client(), PAST);
        client.refresh().unwrap();
        serve_next_root(&mut repository, &keys[..2]);

        let refusal = refusal_of(client.refresh());

        assert_snapshot!(refusal, @"root v3 has no valid post-quantum signature by a key of root v2, and needs one from 2026-02-01T00:00:00Z on");
        assert_eq!(client.trusted(), "root 2, timestamp 1, snapshot 1, targets 1");
        // The same root with the missing signature.
        repository.serve_bytes("root", repository.signed_by("root", &keys));
        client.refresh().unwrap();
        assert_eq!(client.trusted_version("root"), Some(3));
    }

    #[test]
    fn a_root_that_all_classical_keys_signed_is_taken_before_the_date_and_by_clients_that_ask_for_nothing() {
        let (mut repository, keys) = mixed();
        let (mut asks, mut asks_nothing) = (asking_from(repository.client(), FUTURE), repository.client());
        serve_next_root(&mut repository, &keys[..2]);
        for client in [&mut asks, &mut asks_nothing] {
            client.refresh().unwrap();
            assert_eq!(client.trusted_version("root"), Some(3));
        }
        repository.wait_days(1);
        asks_nothing.refresh().unwrap();
        // What was taken before the date is no exception: the chain is judged at every start.
        let refusal = refusal_of(asks.refresh());
        assert_eq!(refusal.code(), "classical-only");
        assert_eq!(asks.trusted_version("root"), Some(3));
    }

    #[test]
    fn a_forger_of_classical_signatures_cannot_bring_a_post_quantum_key_of_their_own() {
        let (mut repository, keys) = mixed();
        let mut client = asking_from(repository.client(), PAST);
        client.refresh().unwrap();
        let theirs = Key::ml_dsa();
        repository.authorize("root", &[keys[0].clone(), keys[1].clone(), theirs], 1);
        repository.publish_root_signed_by(&keys[..2]);

        let refusal = refusal_of(client.refresh());

        assert_snapshot!(refusal, @"root v3 has no valid post-quantum signature by a key of root v2, and needs one from 2026-02-01T00:00:00Z on");
        assert_eq!(client.trusted(), "root 2, timestamp 1, snapshot 1, targets 1");
    }

    #[test]
    fn a_root_without_a_post_quantum_key_does_not_follow_one_that_has_it() {
        let (mut repository, keys) = mixed();
        let mut client = asking_from(repository.client(), PAST);
        client.refresh().unwrap();
        repository.authorize("root", &keys[..2], 2);
        repository.publish_root_signed_by(&keys);

        let refusal = refusal_of(client.refresh());

        assert_snapshot!(refusal, @"root v3 has no valid post-quantum signature by a key of its own, and needs one from 2026-02-01T00:00:00Z on");
        assert_eq!(client.trusted(), "root 2, timestamp 1, snapshot 1, targets 1");
    }

    #[test]
    fn a_post_quantum_signature_that_is_not_valid_does_not_count() {
        let (mut repository, keys) = mixed();
        let mut client = asking_from(repository.client(), PAST);
        client.refresh().unwrap();
        // One byte of it changed, and one that is over another payload.
        let flipped = {
            let (good, public) = (keys[2].clone(), keys[2].public.clone());
            Key::new(&keys[2].keyid, public, move |message| {
                let entry = good.signature(message);
                let mut bytes = hex::decode(entry["sig"].as_str().unwrap()).unwrap();
                bytes[100] ^= 1;
                bytes
            })
        };
        let elsewhere = {
            let good = keys[2].clone();
            Key::new(&keys[2].keyid, keys[2].public.clone(), move |_| {
                hex::decode(good.signature(b"another")["sig"].as_str().unwrap()).unwrap()
            })
        };
        repository.bump("root");
        for bad in [flipped, elsewhere] {
            let signers = [keys[0].clone(), keys[1].clone(), bad];
            repository.serve_bytes("root", repository.signed_by("root", &signers));
            assert_eq!(refusal_of(client.refresh()).code(), "classical-only");
            assert_eq!(client.trusted(), "root 2, timestamp 1, snapshot 1, targets 1");
        }
    }

    #[test]
    fn a_classical_root_planted_in_the_cache_is_not_taken_either() {
        let (mut repository, keys) = mixed();
        let mut client = asking_from(repository.client(), PAST);
        client.refresh().unwrap();
        repository.bump("root");
        fs_err::write(client.history_path(3), repository.signed_by("root", &keys[..2])).unwrap();

        client.refresh().unwrap();

        assert_eq!(client.trusted_version("root"), Some(2));
    }

    #[test]
    fn post_quantum_signatures_do_not_lower_the_threshold() {
        let (mut repository, keys) = mixed();
        let mut client = asking_from(repository.client(), PAST);
        client.refresh().unwrap();
        serve_next_root(&mut repository, &keys[2..]);

        let refusal = refusal_of(client.refresh());

        assert_snapshot!(refusal, @"root v3 is signed by 1 of the 2 keys it needs");
        assert_eq!(client.trusted(), "root 2, timestamp 1, snapshot 1, targets 1");
    }
}
