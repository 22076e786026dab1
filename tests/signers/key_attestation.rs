//! What devices say of keys: Yubico's own words about real keys, and what somebody makes up who is not Yubico.
//!
//! The made-up authorities here are named with `--root`, or are not; what they sign has the form of the real ones.

use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::{DateTime, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use trustroot::ceremony::Request;
use trustroot::crypto::{KeyAlgorithm, SecretKey, VerifyingKey, spki_from_pem, spki_to_pem};
use trustroot::key_attestation::{AttestationError, AttestedKey, DeviceRoots, Policy, verify_attestation};
use trustroot::metadata::{Envelope, Root};

use crate::support::Registry;

const YUBICO_ROOT: &str = "Yubico PIV Root CA Serial 263751";

fn now() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

type Authority = CertifiedIssuer<'static, KeyPair>;

/// What a certificate in a chain is like; as good as the real ones, unless a test says otherwise.
struct Shape {
    name: &'static str,
    ca: Option<BasicConstraints>,
    usages: Vec<KeyUsagePurpose>,
    /// Below 1.3.6.1.4.1.41482.3, with their content.
    extensions: Vec<(u64, Vec<u8>)>,
    years: (i32, i32),
    unknown_critical: bool,
}

impl Shape {
    fn root() -> Self {
        Self::authority("Made-up Root", 1)
    }

    fn device() -> Self {
        Self::authority("Yubico PIV Attestation", 0)
    }

    fn authority(name: &'static str, below: u8) -> Self {
        Self {
            name,
            ca: Some(BasicConstraints::Constrained(below)),
            usages: Vec::new(),
            extensions: Vec::new(),
            years: (2016, 2052),
            unknown_critical: false,
        }
    }

    fn attestation() -> Self {
        Self {
            name: "YubiKey PIV Attestation 9c",
            ca: None,
            usages: Vec::new(),
            extensions: vec![
                (3, vec![5, 4, 3]),
                (7, vec![2, 4, 1, 0x85, 0x53, 0xfb]),
                (8, vec![3, 2]),
                (9, vec![0x83]),
            ],
            years: (2016, 2052),
            unknown_critical: false,
        }
    }

    fn without(mut self, extension: u64) -> Self {
        self.extensions.retain(|(id, _)| *id != extension);
        self
    }

    fn with(self, extension: u64, content: &[u8]) -> Self {
        let mut shape = self.without(extension);
        shape.extensions.push((extension, content.to_vec()));
        shape
    }

    fn years(mut self, from: i32, until: i32) -> Self {
        self.years = (from, until);
        self
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, self.name);
        params.is_ca = self.ca.map_or(IsCa::NoCa, IsCa::Ca);
        params.key_usages.clone_from(&self.usages);
        params.not_before = date_time_ymd(self.years.0, 1, 1);
        params.not_after = date_time_ymd(self.years.1, 1, 1);
        params.custom_extensions = self
            .extensions
            .iter()
            .map(|(id, content)| CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 41482, 3, *id], content.clone()))
            .collect();
        if self.unknown_critical {
            let mut unknown = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 41482, 99], vec![5, 0]);
            unknown.set_criticality(true);
            params.custom_extensions.push(unknown);
        }
        params
    }

    fn self_signed(&self) -> Authority {
        CertifiedIssuer::self_signed(self.params(), KeyPair::generate().unwrap()).unwrap()
    }

    fn signed_by(&self, issuer: &Authority) -> Authority {
        CertifiedIssuer::signed_by(self.params(), KeyPair::generate().unwrap(), issuer).unwrap()
    }

    /// A certificate over somebody's key, as PEM.
    fn over(&self, key: &SecretKey, issuer: &Authority) -> String {
        let key = KeyPair::from_pem(&key.to_unencrypted_pem()).unwrap();
        self.params().signed_by(&key, issuer).unwrap().pem()
    }
}

fn key() -> SecretKey {
    SecretKey::generate(KeyAlgorithm::EcdsaP256).unwrap()
}

fn verify(chain: &[&str], roots: &[&str]) -> Result<AttestedKey, AttestationError> {
    let mut believed = DeviceRoots::built_in();
    for root in roots {
        believed.add(root.as_bytes())?;
    }
    let chain: Vec<&[u8]> = chain.iter().map(|pem| pem.as_bytes()).collect();
    verify_attestation(&chain, &believed, now())
}

/// Verifies a chain of three in which the root is believed.
fn verify_shapes(root: &Shape, device: &Shape, attestation: &Shape) -> Result<AttestedKey, AttestationError> {
    let root = root.self_signed();
    let device = device.signed_by(&root);
    verify(&[&attestation.over(&key(), &device), &device.pem()], &[&root.pem()])
}

fn refused(root: &Shape, device: &Shape, attestation: &Shape) -> String {
    verify_shapes(root, device, attestation).unwrap_err().to_string()
}

#[test]
fn what_a_device_says_is_read_and_who_answers_for_it_is_named() {
    let root = Shape::root().self_signed();
    let device = Shape::device().signed_by(&root);
    let key = key();
    let attestation = Shape::attestation().over(&key, &device);
    // Side by side in one file, or each in its own, in any order after the first.
    let together = format!("{attestation}{}", device.pem());
    for chain in [&[&together[..]][..], &[&attestation, &root.pem(), &device.pem()]] {
        let proved = verify(chain, &[&root.pem()]).unwrap();
        assert_eq!(proved.spki(), key.canonical_spki());
        assert_eq!(
            (proved.firmware.as_str(), proved.serial, proved.slot.as_deref()),
            ("5.4.3", Some(25_515_003), Some("9c"))
        );
        assert_eq!(
            (proved.pin, proved.touch, proved.form, proved.fips),
            (Policy::Always, Policy::Always, "USB-C", true)
        );
        assert!(!proved.root_is_built_in && proved.root == "CN=Made-up Root");
        let line = proved.to_string();
        let expected = "made in a YubiKey 5 FIPS, serial 25515003, firmware 5.4.3, slot 9c; PIN always, touch always; on \
                        the word of \"CN=Made-up Root\", SHA-256 ";
        assert!(line.starts_with(expected), "{line}");
    }
}

#[test]
fn a_chain_to_a_root_that_nobody_named_is_refused() {
    let root = Shape::root().self_signed();
    let device = Shape::device().signed_by(&root);
    let attestation = Shape::attestation().over(&key(), &device);
    for chain in [&[&attestation[..], &device.pem()][..], &[&attestation, &device.pem(), &root.pem()]] {
        let error = verify(chain, &[]).unwrap_err();
        assert_eq!(error.code(), "attestation-chain", "{error}");
    }
    let error = verify(&[&attestation], &[&root.pem()]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the certificate \"CN=YubiKey PIV Attestation 9c\" is by \"CN=Yubico PIV Attestation\", which is neither given nor a \
         root that is believed"
    );
}

#[test]
fn a_root_that_calls_itself_yubicos_is_refused() {
    let root = Shape::authority(YUBICO_ROOT, 1).self_signed();
    let device = Shape::device().signed_by(&root);
    let attestation = Shape::attestation().over(&key(), &device);
    let error = verify(&[&attestation, &device.pem()], &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the certificate \"CN=Yubico PIV Attestation\" is not signed by the \"CN=Yubico PIV Root CA Serial 263751\" that is \
         given: another batch's, or a forgery"
    );
}

#[test]
fn the_certificate_of_another_device_is_refused() {
    let root = Shape::root().self_signed();
    let [device, other] = [Shape::device(), Shape::device()].map(|shape| shape.signed_by(&root));
    let attestation = Shape::attestation().over(&key(), &device);
    let error = verify(&[&attestation, &other.pem()], &[&root.pem()]).unwrap_err();
    assert!(matches!(error, AttestationError::NotSigned { .. }), "{error}");
    // Beside the right one it does no harm.
    verify(&[&attestation, &other.pem(), &device.pem()], &[&root.pem()]).unwrap();
}

#[test]
fn a_certificate_that_may_not_certify_others_is_refused() {
    let ok = (Shape::root(), Shape::device(), Shape::attestation());
    let mut device = Shape::device();
    device.ca = None;
    assert!(refused(&ok.0, &device, &ok.2).ends_with("may not certify another: it is not one of an authority"));
    let mut root = Shape::root();
    root.ca = None;
    assert!(refused(&root, &ok.1, &ok.2).ends_with("may not certify another: it is not one of an authority"));
    root.ca = Some(BasicConstraints::Constrained(0));
    assert!(refused(&root, &ok.1, &ok.2).ends_with("there are more authorities below it than it allows"));
    let mut device = Shape::device();
    device.usages = vec![KeyUsagePurpose::DigitalSignature];
    assert!(refused(&ok.0, &device, &ok.2).ends_with("its key is for something else"));
    device.usages = vec![KeyUsagePurpose::KeyCertSign];
    verify_shapes(&ok.0, &device, &ok.2).unwrap();
    device.unknown_critical = true;
    assert!(refused(&ok.0, &device, &ok.2).ends_with("it has a critical extension that is not known here"));
    let mut attestation = Shape::attestation();
    attestation.unknown_critical = true;
    assert!(refused(&ok.0, &ok.1, &attestation).ends_with("it has a critical extension that is not known here"));
}

/// An attested key that certifies others would be a device of anybody's making.
#[test]
fn an_attested_key_cannot_attest_another() {
    let root = Shape::root().self_signed();
    let device = Shape::device().signed_by(&root);
    let attested = Shape::attestation().signed_by(&device);
    let forged = Shape::attestation().over(&key(), &attested);
    let error = verify(&[&forged, &attested.pem(), &device.pem()], &[&root.pem()]).unwrap_err();
    assert!(matches!(error, AttestationError::NotAnAuthority { .. }), "{error}");
}

#[test]
fn a_certificate_that_is_no_attestation_is_refused() {
    let (root, device) = (Shape::root(), Shape::device());
    for (attestation, words) in [
        (Shape::attestation().without(3), "it does not say the firmware of the device"),
        (Shape::attestation().with(3, &[5, 4]), "it does not say the firmware of the device"),
        (Shape::attestation().without(8), "it does not say when PIN and touch are asked for"),
        (Shape::attestation().with(8, &[3]), "it does not say when PIN and touch are asked for"),
        (Shape::attestation().with(8, &[9, 1]), "when it asks for the PIN is not known here"),
        (Shape::attestation().with(8, &[1, 0]), "when it asks to be touched is not known here"),
        (Shape::attestation().with(7, &[2, 1]), "the serial number in it is malformed"),
    ] {
        assert_eq!(
            refused(&root, &device, &attestation),
            format!("the first certificate is no attestation of a key: {words}")
        );
    }
    let mut authority = Shape::attestation();
    authority.ca = Some(BasicConstraints::Constrained(0));
    assert!(refused(&root, &device, &authority).ends_with("it is a certificate of an authority"));
    // A device that does not say its number is still one.
    let proved = verify_shapes(&root, &device, &Shape::attestation().without(7).without(9)).unwrap();
    assert_eq!((proved.serial, proved.form, proved.fips), (None, "not told", false));
    // The device's own certificate, in place of that about a key.
    let root = root.self_signed();
    let device = device.signed_by(&root);
    assert!(verify(&[&device.pem()], &[&root.pem()]).is_err());
}

#[test]
fn a_certificate_outside_its_period_is_refused() {
    let ok = || (Shape::root(), Shape::device(), Shape::attestation());
    for (from, until) in [(2016, 2026), (2027, 2052)] {
        let (root, device, attestation) = ok();
        for said in [
            refused(&root.years(from, until), &device, &attestation),
            refused(&Shape::root(), &Shape::device().years(from, until), &attestation),
            refused(&Shape::root(), &device, &Shape::attestation().years(from, until)),
        ] {
            let period = format!(
                "is valid from {from}-01-01T00:00:00Z until {until}-01-01T00:00:00Z, and not at 2026-03-01T12:00:00Z"
            );
            assert!(said.ends_with(&period), "{said}");
        }
    }
}

#[test]
fn rsa_keys_of_firmware_that_makes_weak_ones_are_refused() {
    let root = Shape::root().self_signed();
    let device = Shape::device().signed_by(&root);
    let rsa = SecretKey::generate(KeyAlgorithm::Rsa2048).unwrap();
    let verdict = |firmware: [u8; 3], key: &SecretKey| {
        let attestation = Shape::attestation().with(3, &firmware).over(key, &device);
        verify(&[&attestation, &device.pem()], &[&root.pem()])
    };
    for firmware in [[4, 2, 6], [4, 3, 4]] {
        let error = verdict(firmware, &rsa).unwrap_err();
        assert!(matches!(error, AttestationError::WeakKey { .. }), "{error}");
        verdict(firmware, &key()).unwrap();
    }
    for firmware in [[4, 2, 5], [4, 3, 5], [5, 4, 3]] {
        verdict(firmware, &rsa).unwrap();
    }
}

#[test]
fn a_chain_that_was_altered_or_cut_off_proves_nothing() {
    let root = Shape::root().self_signed();
    let device = Shape::device().signed_by(&root);
    let attestation = Shape::attestation().over(&key(), &device);
    let der = pem::parse(&attestation).unwrap().into_contents();
    let as_pem = |der: &[u8]| pem::encode(&pem::Pem::new("CERTIFICATE", der));
    for place in 0..der.len() {
        let mut altered = der.clone();
        altered[place] ^= 1;
        assert!(verify(&[&as_pem(&altered), &device.pem()], &[&root.pem()]).is_err(), "byte {place}");
        let cut = verify(&[&as_pem(&der[..place]), &device.pem()], &[&root.pem()]).unwrap_err();
        assert_eq!(cut.code(), "attestation-malformed", "cut after {place}");
    }
    let appended = [&der[..], &[0]].concat();
    assert!(verify(&[&as_pem(&appended), &device.pem()], &[&root.pem()]).is_err());
}

#[test]
fn files_that_are_no_chain_are_refused_before_they_are_understood() {
    let huge = "x".repeat(65 << 10);
    let secret = key().to_unencrypted_pem();
    let root = Shape::root().self_signed();
    let many = root.pem().repeat(17);
    for (file, words) in [
        ("", "it holds no certificate"),
        ("no PEM", "it holds no certificate"),
        (&huge, "it is longer than 65536 bytes"),
        (&secret, "it holds a SECRET key"),
        (&spki_to_pem(key().canonical_spki()).unwrap(), "it holds something else than certificates"),
    ] {
        let error = verify(&[file], &[]).unwrap_err();
        assert_eq!(
            (error.code(), error.to_string()),
            ("attestation-malformed", format!("not a chain of certificates in PEM: {words}"))
        );
        assert_eq!(DeviceRoots::built_in().add(file.as_bytes()).unwrap_err().code(), "attestation-malformed");
    }
    assert_eq!(verify(&[&many], &[]).unwrap_err(), AttestationError::TooMany);
    assert_eq!(verify(&[root.pem().as_str(); 17], &[]).unwrap_err(), AttestationError::TooMany);
    assert_eq!(verify(&[], &[]).unwrap_err().code(), "attestation-malformed");
}

/// Puts what a made-up maker says of people's keys into a registry.
struct Maker {
    root: Authority,
    device: Authority,
}

impl Maker {
    fn new() -> Self {
        let root = Shape::root().self_signed();
        Self { device: Shape::device().signed_by(&root), root }
    }

    fn attest(&self, registry: &Registry, person: &str, key: &SecretKey, shape: &Shape) {
        let chain = format!("{}{}", shape.over(key, &self.device), self.device.pem());
        registry.write(&format!("attestations/{person}.pem"), &chain);
        let keys = format!("keys = [\"keys/{person}.pub\"]\n");
        let more = format!("attestations = [\"attestations/{person}.pem\"]\n");
        if !fs_err::read_to_string(registry.path("trustroot.toml")).unwrap().contains(&more) {
            registry.edit("trustroot.toml", |text| text.replace(&keys, &format!("{keys}{more}")));
        }
    }

    fn believe(&self, registry: &Registry) {
        registry.write("attestations/maker.pem", &self.root.pem());
        registry.edit("trustroot.toml", |text| format!("attestation-roots = [\"attestations/maker.pem\"]\n{text}"));
    }
}

/// The lines of a review about keys that gain roles, without fingerprints.
fn gained(review: &trustroot::ceremony::Review) -> Vec<String> {
    let lines = review.changes.iter().map(|change| change.text.as_str());
    lines
        .filter_map(|line| {
            let who = line.strip_prefix("key of ").and_then(|rest| rest.split(',').next());
            let what = line.strip_prefix("  attested: ").or_else(|| line.strip_prefix("  no attestation"));
            who.map(str::to_owned).or_else(|| what.map(|what| format!("  {}", what.split(';').next().unwrap())))
        })
        .collect()
}

#[test]
fn a_review_says_of_each_key_that_gains_a_role_whether_a_device_made_it() {
    let (registry, maker) = (Registry::new(), Maker::new());
    // Where nobody uses attestations there are no lines about them.
    let plain = registry.start("root").review(&registry.copy(), &registry.signed(), registry.now).unwrap();
    assert!(plain.changes.iter().all(|change| !change.text.contains("attest")), "{:?}", plain.changes);
    maker.attest(&registry, "alice", registry.key("alice"), &Shape::attestation());
    maker.believe(&registry);
    let event = registry.event("root-v1");
    let review = event.review(&registry.copy(), &registry.signed(), registry.now).unwrap();
    assert_eq!(review.problems, Vec::<String>::new());
    let mut lines = gained(&review);
    let alice = lines.iter().position(|line| line == "alice").unwrap();
    assert_eq!(lines[alice + 1], "  made in a YubiKey 5 FIPS, serial 25515003, firmware 5.4.3, slot 9c");
    lines.retain(|line| line.starts_with("  : nothing proves"));
    assert_eq!(lines.len(), 3, "{lines:?}");
    let line = review.changes.iter().find(|change| change.text.starts_with("  attested: ")).unwrap();
    assert!(line.text.contains("on the word of \"CN=Made-up Root\""), "{}", line.text);

    // On a machine apart it is the same review.
    let bytes = Request::write(&event, &registry.copy(), &registry.signed(), None, registry.start_time()).unwrap();
    let request = Request::parse(&bytes, registry.start_time()).unwrap();
    assert_eq!(request.event_review(trustroot::ceremony::Keys::Real, registry.now).unwrap(), review);
}

#[test]
fn an_attestation_that_proves_nothing_stops_the_ceremony() {
    let (registry, maker) = (Registry::new(), Maker::new());
    maker.attest(&registry, "alice", registry.key("alice"), &Shape::attestation());
    let event = registry.start("root");
    let review = |registry: &Registry| event.review(&registry.copy(), &registry.signed(), registry.now).unwrap();
    let unknown = review(&registry);
    assert_eq!(
        unknown.problems,
        ["the attestation attestations/alice.pem proves nothing: the certificate \"CN=Yubico PIV Attestation\" is by \
          \"CN=Made-up Root\", which is neither given nor a root that is believed"]
    );
    assert!(unknown.changes.iter().all(|change| !change.text.contains("  attested")));
    maker.believe(&registry);
    assert_eq!(review(&registry).problems, Vec::<String>::new());
    registry.write("attestations/maker.pem", "nothing");
    // What is no certificate goes into no review, nor into a request.
    let nothing = event.review(&registry.copy(), &registry.signed(), registry.now).unwrap_err();
    assert!(nothing.to_string().contains("not a chain of certificates in PEM"), "{nothing}");
    // An attestation of a key that is not in the proposal vouches for no key in it.
    let other = Maker::new();
    other.attest(&registry, "alice", &key(), &Shape::attestation());
    registry.write("attestations/maker.pem", &other.root.pem());
    let lines = gained(&review(&registry));
    assert!(lines.iter().all(|line| !line.starts_with("  made in")), "{lines:?}");
}

fn trustroot(directory: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_trustroot"))
        .args(["--at", "2026-03-01T12:00:00Z"])
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn check_says_whose_attestations_prove_something() {
    let (registry, maker) = (Registry::with_builder(), Maker::new());
    maker.attest(&registry, "alice", registry.key("alice"), &Shape::attestation());
    maker.believe(&registry);
    let directory = registry.path("");
    let (status, said, errors) = trustroot(&directory, &["check"]);
    assert_eq!(status, 0, "{said}{errors}");
    assert!(
        said.contains("attestation attestations/alice.pem of alice: made in a YubiKey 5 FIPS, serial 25515003"),
        "{said}"
    );
    // Bob keeps what is said of Carol's key.
    maker.attest(&registry, "bob", registry.key("carol"), &Shape::attestation());
    let (status, said, _) = trustroot(&directory, &["check"]);
    assert_eq!(status, 1);
    assert!(said.contains("attestation attestations/bob.pem of bob: proves nothing\n  to do: "), "{said}");
    assert!(said.contains("it is of another key than those of bob"), "{said}");
    let (_, said, _) = trustroot(&directory, &["check", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    let attestations = &json["succeeded"]["attestations"];
    assert_eq!(attestations[0]["attested"]["serial"], 25_515_003);
    assert_eq!(attestations[0]["holder"], "alice");
    assert_eq!(attestations[1]["problem"], "it is of another key than those of bob");
    registry.edit("trustroot.toml", |text| text.replace("attestations/bob.pem", "../bob.pem"));
    let (status, _, errors) = trustroot(&directory, &["check"]);
    assert_eq!(status, 2, "{errors}");
    assert!(errors.contains("must be a path below the working copy"), "{errors}");
}

#[test]
fn the_command_compares_the_attested_key_with_the_one_that_is_asked_about() {
    let maker = Maker::new();
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs_err::write(directory.path().join(name), text).unwrap();
    let (attested, other) = (key(), key());
    write("alice.pub", &spki_to_pem(attested.canonical_spki()).unwrap());
    write("other.pub", &spki_to_pem(other.canonical_spki()).unwrap());
    write("9c.pem", &Shape::attestation().over(&attested, &maker.device));
    write("f9.pem", &maker.device.pem());
    write("root.pem", &maker.root.pem());
    write("huge.pem", &"x".repeat(1 << 20));
    let ask = |key: &str, more: &[&str]| {
        let arguments =
            [&["key", "attested", key, "--attestation", "9c.pem", "--intermediate", "f9.pem"], more].concat();
        trustroot(directory.path(), &arguments)
    };
    let (status, said, errors) = ask("alice.pub", &["--root", "root.pem"]);
    assert_eq!(status, 0, "{errors}");
    for line in [
        "  serial  25515003\n",
        "  slot    9c\n",
        "  PIN     always\n",
        "  touch   always\n",
        "the root is one that you named",
    ] {
        assert!(said.contains(line), "{said}");
    }
    let (status, said, errors) = ask("other.pub", &["--root", "root.pem"]);
    assert_eq!((status, said.as_str()), (1, ""));
    assert!(errors.starts_with("error: the attestation is of another key\n"), "{errors}");
    let (status, said, errors) = ask("alice.pub", &[]);
    assert_eq!((status, said.as_str()), (1, ""));
    assert!(errors.contains("which is neither given nor a root that is believed"), "{errors}");
    let (status, said, _) = ask("alice.pub", &["--root", "huge.pem"]);
    assert_eq!((status, said.as_str()), (2, ""));
    let (status, _, _) = ask("alice.pub", &["--root", "alice.pub"]);
    assert_eq!(status, 2);
}

/// What a real device says of a key.
struct RealChain {
    /// The serial number under which it is filed.
    serial: String,
    attestation: PathBuf,
    intermediate: PathBuf,
    public: Option<PathBuf>,
}

/// The attestations of two real ceremonies, each beside its device's certificate; with the file of the public key where
/// there is one.
fn real_chains() -> Option<Vec<RealChain>> {
    let base = crate::realdata::path("tuf/hsm-attestations")?;
    let mut chains = Vec::new();
    for entry in walkdir::WalkDir::new(&base).sort_by_file_name() {
        let path = entry.unwrap().into_path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let directory = path.parent().unwrap();
        let serial = directory.file_name().unwrap().to_str().unwrap().to_owned();
        if name == "Slot9CAttestation.pem" {
            let intermediate = directory.join("SlotF9Intermediate.pem");
            chains.push(RealChain { serial, attestation: path.clone(), intermediate, public: None });
        } else if let Some(stem) = name.strip_suffix("_key_cert.pem") {
            let beside = |suffix: &str| directory.join(format!("{stem}{suffix}"));
            let (intermediate, public) = (beside("_device_cert.pem"), Some(beside("_pubkey.pem")));
            chains.push(RealChain { serial, attestation: path.clone(), intermediate, public });
        }
    }
    Some(chains)
}

#[test]
fn every_real_chain_leads_to_yubico_and_names_the_device_that_it_is_filed_under() {
    let Some(chains) = real_chains() else { return };
    assert_eq!(chains.len(), 22);
    let read = |path: &Path| fs_err::read(path).unwrap();
    let mut listed = 0;
    for RealChain { serial, attestation, intermediate, public } in &chains {
        let (leaf, device) = (read(attestation), read(intermediate));
        let proved = verify_attestation(&[&leaf, &device], &DeviceRoots::built_in(), now()).unwrap();
        assert!(proved.root_is_built_in && proved.root.contains("Yubico PIV Root CA"), "{proved}");
        assert_eq!(proved.serial.unwrap().to_string(), *serial);
        assert_eq!(proved.slot.as_deref(), Some("9c"));
        if let Some(public) = public {
            let spki = spki_from_pem(&String::from_utf8(read(public)).unwrap()).unwrap();
            assert_eq!(proved.spki(), spki);
            listed += usize::from(real_roots_list(&spki));
        }
        // Devices of a batch share a certificate. Those of other batches are of the same name, and did not sign this.
        let der = |pem: &[u8]| pem::parse(pem).unwrap().into_contents();
        let all = chains.iter().map(|chain| read(&chain.intermediate)).map(|pem| (der(&pem), pem));
        let mut batches: std::collections::BTreeMap<Vec<u8>, Vec<u8>> = all.collect();
        batches.remove(&der(&device)).unwrap();
        assert_eq!(batches.len(), 5);
        for other in batches.into_values() {
            let swapped = verify_attestation(&[&leaf, &other], &DeviceRoots::built_in(), now());
            assert!(matches!(swapped, Err(AttestationError::NotSigned { .. })), "{serial}");
        }
        let alone = verify_attestation(&[&leaf], &DeviceRoots::built_in(), now());
        assert!(matches!(alone, Err(AttestationError::NoIssuer { .. })));
        let late = "2052-05-01T00:00:00Z".parse().unwrap();
        let expired = verify_attestation(&[&leaf, &device], &DeviceRoots::built_in(), late);
        assert!(matches!(expired, Err(AttestationError::NotValid { .. })));
        // The device's certificate says nothing of a key.
        let of_itself = verify_attestation(&[&device], &DeviceRoots::built_in(), now());
        assert!(matches!(of_itself, Err(AttestationError::NotAnAttestation(_))));
    }
    // Sigstore's root keys, of both ceremonies.
    assert_eq!(listed, 10);
}

/// Whether any of Sigstore's roots lists a key.
fn real_roots_list(spki: &[u8]) -> bool {
    let base = crate::realdata::path("tuf/sigstore-root-chain").unwrap();
    walkdir::WalkDir::new(base).into_iter().filter_map(Result::ok).filter(|entry| entry.file_type().is_file()).any(
        |entry| {
            let bytes = fs_err::read(entry.path()).unwrap();
            let Ok(root) = Envelope::parse(&bytes).and_then(|envelope| envelope.unverified::<Root>()) else {
                return false;
            };
            root.keys.values().any(|key| VerifyingKey::from_metadata(key).is_ok_and(|key| key.canonical_spki() == spki))
        },
    )
}

#[test]
fn the_root_that_is_built_in_is_the_real_one() {
    let Some(path) = crate::realdata::path("tuf/hsm-attestations/yubico-piv-attestation-ca.pem") else { return };
    let built_in = include_str!("../../src/key_attestation/yubico_piv_root_ca_263751.pem");
    assert_eq!(pem::parse(fs_err::read(path).unwrap()).unwrap().contents(), pem::parse(built_in).unwrap().contents());
}
