//! Where a peer judges otherwise, and why we do not.
//!
//! The table is exact: what differs and is not here fails a test, and so does what is here and no longer differs.
//! In titles, `*` stands for each of the four top-level roles, all of which must differ.

use Peer::{Both, PythonTuf, SigstoreTuf};

/// Who differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    PythonTuf,
    SigstoreTuf,
    /// Each of the two differs from us, if not in the same way.
    Both,
}

/// One reason, and the cases in which it shows.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) peer: Peer,
    pub(crate) why: &'static str,
    pub(crate) cases: &'static [&'static str],
}

const fn differs(peer: Peer, why: &'static str, cases: &'static [&'static str]) -> Difference {
    Difference { peer, why, cases }
}

#[rustfmt::skip]
pub(crate) const DIFFERENCES: &[Difference] = &[
    // -----------------------------------------------------------------------------------------------------------
    // Keys
    differs(Both, "5.3.4: each key contributes one signature, whatever it is called and however it is spelled", &[
        "*: one key under two keyids", "*: one key in two spellings", "delegation: one key under two keyids",
    ]),
    differs(SigstoreTuf, "the same; the other peer cannot read the second spelling, so it counts one", &[
        "*: one key as hex and as PEM",
    ]),
    differs(PythonTuf, "a key that cannot be used disables itself: otherwise nobody could introduce a new kind", &[
        "*: another key of an unknown type", "*: another key of an unknown scheme",
        "delegation: an unknown type of key beside",
        "with-sha224: rsassa-pss-sha224 or another", "with-sha224: rsa-pkcs1v15-sha224 or another",
    ]),
    differs(Both, "the same: a key without a value is one that cannot be used", &[
        "*: another key without a value", "*: another key with an empty value",
    ]),
    differs(PythonTuf, "PEM says what kind of key it holds, so there is nothing to mistake; the other peer reads it too", &[
        "keys: Ed25519 as PEM",
    ]),
    differs(Both, "ECDSA keys as hex are in published roots: Sigstore's chain starts with them", &[
        "keys: ECDSA as hex of the point",
    ]),
    differs(SigstoreTuf, "P-521 and PKCS#1 v1.5 are written by securesystemslib", &[
        "kind: ecdsa-p521", "kind: old-ecdsa-p521",
        "kind: rsa-pkcs1v15-sha256", "kind: rsa-pkcs1v15-sha384", "kind: rsa-pkcs1v15-sha512",
        "all-kinds: 12", "all-kinds: 13", "all-kinds: 14", "all-kinds: 15", "all-kinds: 16", "readable-kinds: all",
    ]),
    differs(PythonTuf, "two kinds that nobody registered disable themselves and leave the rest to be counted", &[
        "all-kinds: 1", "all-kinds: 2", "all-kinds: 3", "all-kinds: 4", "all-kinds: 5", "all-kinds: 6",
        "all-kinds: 7", "all-kinds: 8", "all-kinds: 9", "all-kinds: 10", "all-kinds: 11", "all-kinds: 12",
        "all-kinds: 13", "all-kinds: 14", "all-kinds: 15", "all-kinds: 16",
    ]),

    // -----------------------------------------------------------------------------------------------------------
    // Signatures and thresholds
    differs(SigstoreTuf, "4.2.1: a repeated keyid refuses the document, also where it would not be counted", &[
        "*: signatures twice, first empty", "*: signatures with a stranger's twice",
    ]),
    differs(SigstoreTuf, "a keyid that a role lists twice is a mistake of whoever signed the document", &[
        "*: a keyid listed twice", "delegation: a keyid that is listed twice",
    ]),
    differs(PythonTuf, "4.2.1: a signature is a string of hexadecimal digits; white space is none", &[
        "*: signatures with white space",
    ]),
    differs(PythonTuf, "4.2.1: a signature is a string; what is no string is not a signature that does not count", &[
        "*: signatures of which one is null",
    ]),
    differs(PythonTuf, "`true` is not a number", &["*: threshold true", "*: version true"]),
    differs(SigstoreTuf, "a threshold of nobody spoils the document that sets it, not only the role", &[
        "delegation: threshold 0",
    ]),

    // -----------------------------------------------------------------------------------------------------------
    // JSON
    differs(Both, "two readers of a repeated key may see different values, so nobody may be asked to sign one", &[
        "*: a key twice", "*: a key twice, once escaped", "*: a key twice, the same value",
        "*: the field signatures twice", "*: the field signed twice",
    ]),
    differs(SigstoreTuf, "`-0` is an integer (RFC 8259), and its canonical form is `0`", &["*: minus zero"]),
    differs(PythonTuf, "numbers beyond 64 bits mean different things to different readers", &[
        "*: 2^64", "*: a number of forty digits",
    ]),
    differs(PythonTuf, "depth is bounded, so that nobody's stack is the limit", &["*: nesting 200 deep"]),
    differs(PythonTuf, "1 is not a boolean", &["root: consistent_snapshot 1", "delegation: terminating 1"]),

    // -----------------------------------------------------------------------------------------------------------
    // Fields of all documents
    differs(SigstoreTuf, "what is not a version of the specification names none that we know", &[
        "*: specification version of four numbers", "*: specification version in words",
    ]),
    differs(PythonTuf, "the major version alone says all that is checked", &["*: specification version 1"]),
    differs(PythonTuf, "published roots carry offsets and fractions: Sigstore's first four do", &[
        "*: expires with an offset of nothing", "*: expires with an offset", "*: expires with a fraction",
    ]),
    differs(SigstoreTuf, "5.3.10: the expiry must be later than the time of the update, not equal to it", &[
        "*: expires with exactly the time", "next root: expired", "delegation: expired",
    ]),
    differs(SigstoreTuf, "a year that RFC 3339 can write is a year", &["*: expires with the year 9999"]),
    differs(SigstoreTuf, "4.3: versions are greater than zero", &[
        "timestamp: version 0", "snapshot: version 0", "targets: version 0", "snapshot: one with version 0",
    ]),

    // -----------------------------------------------------------------------------------------------------------
    // What documents say about each other
    differs(PythonTuf, "what we have no use for is ignored, and stays among the bytes that were signed", &[
        "root: a role that is not of the specification", "timestamp: names another file",
    ]),
    differs(PythonTuf, "hexadecimal digits mean the same in capitals", &[
        "timestamp: snapshot with a hash in capitals", "snapshot: targets with a hash in capitals",
        "snapshot: one with a hash in capitals",
    ]),
    differs(Both, "the same; the other peer then asks for a file whose name is in capitals", &[
        "target: a hash in capitals",
    ]),
    differs(PythonTuf, "a hash that we compute is enough; another may be there for others", &[
        "timestamp: snapshot with a second hash that nobody knows",
        "snapshot: targets with a second hash that nobody knows", "snapshot: one with a second hash that nobody knows",
        "target: a second hash that nobody knows",
    ]),
    differs(Both, "hashes that cannot match are a mistake of whoever signed the document", &[
        "snapshot: one with a short hash", "snapshot: one with only a hash that nobody knows",
    ]),
    differs(SigstoreTuf, "the same", &["snapshot: one with no hash in hashes"]),
    differs(SigstoreTuf, "SHA-384 is a hash that we compute", &["target: sha384 only"]),
    differs(PythonTuf, "MD5 proves nothing", &["target: md5 only"]),
    differs(Both, "an entry is judged when somebody asks for it: one that is broken spoils no other", &[
        "target: no hashes", "target: no length", "target: a negative length", "target: a length that is text",
    ]),
    differs(PythonTuf, "the same", &["target: empty hashes"]),
    differs(SigstoreTuf, "a role that is delegated to and not in the snapshot is missing: `absent` would say that \
                          it was asked", &[
        "snapshot: a delegated role is missing",
    ]),
    differs(SigstoreTuf, "5.5.1: a length that trusted metadata gives is the limit, larger ones included", &[
        "snapshot: large, as the timestamp says",
    ]),

    // -----------------------------------------------------------------------------------------------------------
    // Delegations
    differs(SigstoreTuf, "4.5: a delegation has `terminating`, and one of `paths` and `path_hash_prefixes`", &[
        "delegation: no paths", "delegation: paths and prefixes", "delegation: paths null",
        "delegation: no terminating", "targets: delegations null",
    ]),
    differs(SigstoreTuf, "a delegated role has a name of its own, and one delegation", &[
        "delegation: to a role called \"root\"", "delegation: to a role called \"timestamp\"",
        "delegation: to a role called \"snapshot\"", "delegation: to a role called \"targets\"",
        "delegation: to a role called \"\"", "delegation: to one role twice",
    ]),
    differs(SigstoreTuf, "a pattern without a meaning of its own stands for itself, as in a shell; `*` twice is `*`", &[
        "pattern: [x", "pattern: [", "pattern: []", "pattern: [!]", "pattern: [!", "pattern: [a/b]x",
        "pattern: d[/]a.txt", "pattern: ***", "pattern: a**",
    ]),
    differs(Both, "a search that was cut short has not found that the target is absent", &[
        "delegations: 33 deep", "delegations: 40 deep",
    ]),
    differs(SigstoreTuf, "the top-level targets are not among the delegations that are bounded", &[
        "delegations: 32 deep",
    ]),
    differs(SigstoreTuf, "TAP 15 is accepted, and python-tuf writes it", &[
        "shape: bins", "bins: two", "bins: with a role like its prefix only", "bins: no bits", "bins: 33 bits",
        "bins: no bit length", "bins: a bit length that is text", "bins: no prefix", "bins: threshold 0",
        "bins: and roles", "bins: nor roles",
    ]),
    differs(Both, "a target path is relative, with no empty segment and no backslash: it becomes a file name", &[
        "target called a//b", "target called /a", "target called a/", "target called a\\b",
    ]),

    // -----------------------------------------------------------------------------------------------------------
    // Over time
    differs(SigstoreTuf, "Sigstore itself will have published more than 32 roots one day", &[
        "next root: and so on up to 33", "next root: and so on up to 40", "next root: and so on up to 257",
    ]),
    differs(PythonTuf, "an update that stopped before the newest root says so", &["next root: and so on up to 258"]),
    differs(Both, "the timestamp is the newest word on which bytes the snapshot has, so cached ones with another \
                   hash are not current", &[
        "then: another snapshot of the same version, with hashes",
    ]),
    differs(SigstoreTuf, "without hashes the snapshot names targets by version, and the cached ones have it", &[
        "then: other targets of the same version, without hashes",
    ]),
];

impl Difference {
    /// The titles of the cases, `*` written out.
    pub(crate) fn titles(&self) -> impl Iterator<Item = String> {
        self.cases.iter().flat_map(|title| match title.strip_prefix('*') {
            Some(rest) => ["root", "timestamp", "snapshot", "targets"].map(|role| format!("{role}{rest}")).to_vec(),
            None => vec![(*title).to_owned()],
        })
    }
}
