//! Keys in tokens and HSMs, through the PKCS#11 module of their maker.
//!
//! The module is a library that runs in this process: who chooses it trusts it with everything. What a token signs is
//! verified all the same, by the caller of [`Signer::attempt`], since tokens are misconfigured more often than hostile.

mod error;
mod uri;

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;
use spki::der::Decode as _;
use spki::der::asn1::{ObjectIdentifier, OctetStringRef, PrintableStringRef};

use super::{Signer, SignerError, Task, digest};
use crate::crypto::{Algorithm, Curve, Passphrase, PublicHalf, PublicParts, ecdsa_der};
use crate::metadata::{HashAlgorithm, PublicKey};
use crate::printable::Printable;

pub use error::{Pkcs11Error, Tries};
pub use uri::Pkcs11Uri;

/// Most keys that are listed of one token.
const MOST_KEYS: usize = 1000;

/// A token that is there.
#[derive(Debug)]
pub struct Token {
    module: Pkcs11,
    slot: Slot,
    info: TokenInfo,
}

/// A public key in a token, which can be seen without its PIN.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TokenKey {
    /// What the token calls it.
    pub label: String,
    /// Its identifier in the token.
    pub id: Vec<u8>,
    half: Result<PublicHalf, &'static str>,
}

impl TokenKey {
    /// The key as metadata lists it; or why metadata cannot list it.
    ///
    /// # Errors
    /// In words.
    pub fn public(&self) -> Result<&PublicKey, &'static str> {
        self.half.as_ref().map(|half| &half.public).map_err(|why| *why)
    }
}

impl Token {
    /// The tokens that a module finds, those that are set up.
    ///
    /// # Errors
    /// When the module cannot be used.
    pub fn all(module: &Path) -> Result<Vec<Self>, Pkcs11Error> {
        let shown = || Printable(&module.to_string_lossy()).to_string();
        let unusable = |error: Error| {
            let problem = match &error {
                // The loader repeats the path and more.
                Error::LibraryLoading(_) => "it cannot be loaded".to_owned(),
                Error::MissingSymbol(_) => "it is another kind of library".to_owned(),
                other => Printable(&other.to_string()).to_string(),
            };
            Pkcs11Error::Module { module: shown(), problem }
        };
        if !module.is_file() {
            return Err(Pkcs11Error::Module { module: shown(), problem: "there is no such file".to_owned() });
        }
        let context = Pkcs11::new(module).map_err(unusable)?;
        match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            // Another key of this run is in a token of the same module.
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(unusable(error)),
        }
        let mut tokens = Vec::new();
        for slot in context.get_slots_with_token().map_err(unusable)? {
            // One that is being removed does not hide the others.
            let Ok(info) = context.get_token_info(slot) else { continue };
            if info.token_initialized() {
                tokens.push(Self { module: context.clone(), slot, info });
            }
        }
        Ok(tokens)
    }

    /// The one token that a URI means.
    ///
    /// # Errors
    /// When there is none, or there are several.
    pub fn find(uri: &Pkcs11Uri) -> Result<Self, Pkcs11Error> {
        let all = Self::all(&uri.module)?;
        let there: Vec<String> = all.iter().map(Self::name).collect();
        let mut meant: Vec<Self> = all.into_iter().filter(|token| token.is(uri)).collect();
        match meant.len() {
            0 => Err(Pkcs11Error::NoToken { there }),
            1 => Ok(meant.remove(0)),
            _ => Err(Pkcs11Error::SeveralTokens { there: meant.iter().map(Self::name).collect() }),
        }
    }

    fn is(&self, uri: &Pkcs11Uri) -> bool {
        [
            (&uri.serial, self.info.serial_number()),
            (&uri.token, self.info.label()),
            (&uri.manufacturer, self.info.manufacturer_id()),
            (&uri.model, self.info.model()),
        ]
        .into_iter()
        .all(|(wanted, there)| wanted.as_deref().is_none_or(|wanted| wanted == there.trim_end()))
    }

    /// Names the token for people, by label and serial number.
    pub fn name(&self) -> String {
        let (label, serial) = (self.info.label().trim_end(), self.serial());
        format!("the token \"{}\" (serial {})", Printable(label), Printable(serial))
    }

    /// Its serial number, as it says it.
    pub fn serial(&self) -> &str {
        self.info.serial_number().trim_end()
    }

    /// Whether somebody has to give a PIN here, not on the token itself.
    pub fn needs_pin(&self) -> bool {
        self.info.login_required() && !self.info.protected_authentication_path()
    }

    /// How many more times the PIN may be wrong, as far as the token says.
    ///
    /// # Errors
    /// When it is locked.
    pub fn tries(&self) -> Result<Tries, Pkcs11Error> {
        let info = self.module.get_token_info(self.slot);
        let info = info.as_ref().unwrap_or(&self.info);
        if info.user_pin_locked() {
            Err(Pkcs11Error::PinLocked { token: self.name() })
        } else if info.user_pin_final_try() {
            Ok(Tries::One)
        } else if info.user_pin_count_low() {
            Ok(Tries::Few)
        } else {
            Ok(Tries::Unknown)
        }
    }

    /// The public keys that can be seen without a PIN.
    ///
    /// # Errors
    /// When the token cannot be asked.
    pub fn public_keys(&self) -> Result<Vec<TokenKey>, Pkcs11Error> {
        let failed = |error: Error| Pkcs11Error::of(&error, self.name());
        let session = self.module.open_ro_session(self.slot).map_err(failed)?;
        let handles = session.find_objects(&[Attribute::Class(ObjectClass::PUBLIC_KEY)]).map_err(failed)?;
        let mut keys = Vec::new();
        for handle in handles.into_iter().take(MOST_KEYS) {
            let facts = Facts::of(&session, handle).map_err(failed)?;
            let label = String::from_utf8_lossy(&facts.label).into_owned();
            keys.push(TokenKey { label, half: facts.public_half(), id: facts.id });
        }
        Ok(keys)
    }

    /// Logs in, and finds the one key that the URI means.
    ///
    /// # Errors
    /// When the PIN is wrong, or there is no such key, or it cannot sign metadata.
    pub fn open(self, uri: &Pkcs11Uri, pin: Option<&Passphrase>) -> Result<Pkcs11Signer, Pkcs11Error> {
        let failed = |error: Error| Pkcs11Error::of(&error, self.name());
        self.tries()?;
        let pin = pin.map(|pin| pin.as_text().map(AuthPin::from)).transpose();
        let pin = pin.map_err(|_| Pkcs11Error::OddPin { token: self.name() })?;
        let session = self.module.open_ro_session(self.slot).map_err(failed)?;
        if self.info.login_required() {
            self.log_in(&session, UserType::User, pin.as_ref())?;
        }
        let mut wanted = vec![Attribute::Class(ObjectClass::PRIVATE_KEY)];
        wanted.extend(uri.object.as_ref().map(|label| Attribute::Label(label.clone().into_bytes())));
        wanted.extend(uri.id.clone().map(Attribute::Id));
        let handles = session.find_objects(&wanted).map_err(failed)?;
        let key = match handles[..] {
            [] => return Err(Pkcs11Error::NoSuchKey { token: self.name() }),
            [key] => key,
            _ => return Err(Pkcs11Error::SeveralKeys { token: self.name(), count: handles.len() }),
        };
        let facts = Facts::of(&session, key).map_err(failed)?;
        let half = facts.find_public_half(&session).map_err(failed)?;
        let half = half.map_err(|why| Pkcs11Error::Unusable { token: self.name(), why })?;
        let asks_each_time = facts.always_authenticate;
        Ok(Pkcs11Signer { token: self, session: Mutex::new(session), key, half, asks_each_time, pin })
    }

    /// The URI that means one of the keys, as far as token and key can be told apart. `module` is where the token was found.
    pub fn reference(&self, key: &TokenKey, module: &Path) -> Pkcs11Uri {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Pkcs11Uri {
            serial: text(self.serial()),
            token: if self.serial().is_empty() { text(self.info.label().trim_end()) } else { None },
            object: text(&key.label),
            id: Some(key.id.clone()).filter(|id| !id.is_empty()),
            module: module.to_owned(),
            ..Pkcs11Uri::default()
        }
    }

    fn log_in(&self, session: &Session, user: UserType, pin: Option<&AuthPin>) -> Result<(), Pkcs11Error> {
        match session.login(user, pin) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(error) => match Pkcs11Error::of(&error, self.name()) {
                Pkcs11Error::WrongPin { token, .. } => Err(Pkcs11Error::WrongPin { token, tries: self.tries()? }),
                other => Err(other),
            },
        }
    }
}

/// What an object in a token says of itself.
#[derive(Default)]
struct Facts {
    kind: Option<KeyType>,
    id: Vec<u8>,
    label: Vec<u8>,
    always_authenticate: bool,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
    curve: Vec<u8>,
    point: Vec<u8>,
    spki: Vec<u8>,
}

impl Facts {
    fn of(session: &Session, handle: ObjectHandle) -> Result<Self, Error> {
        let wanted = [
            AttributeType::KeyType,
            AttributeType::Id,
            AttributeType::Label,
            AttributeType::AlwaysAuthenticate,
            AttributeType::Modulus,
            AttributeType::PublicExponent,
            AttributeType::EcParams,
            AttributeType::EcPoint,
            AttributeType::PublicKeyInfo,
        ];
        let mut facts = Self::default();
        // Those that an object does not have are left out.
        for attribute in session.get_attributes(handle, &wanted)? {
            match attribute {
                Attribute::KeyType(kind) => facts.kind = Some(kind),
                Attribute::Id(id) => facts.id = id,
                Attribute::Label(label) => facts.label = label,
                Attribute::AlwaysAuthenticate(always) => facts.always_authenticate = always,
                Attribute::Modulus(modulus) => facts.modulus = modulus,
                Attribute::PublicExponent(exponent) => facts.exponent = exponent,
                Attribute::EcParams(curve) => facts.curve = curve,
                Attribute::EcPoint(point) => facts.point = point,
                Attribute::PublicKeyInfo(spki) => facts.spki = spki,
                _ => {}
            }
        }
        Ok(facts)
    }

    /// The public half of a private key: what the private object says, or the public object with the same identifier.
    fn find_public_half(&self, session: &Session) -> Result<Result<PublicHalf, &'static str>, Error> {
        let own = self.public_half();
        if own.is_ok() {
            return Ok(own);
        }
        let mut wanted = vec![Attribute::Class(ObjectClass::PUBLIC_KEY)];
        wanted.extend(self.kind.map(Attribute::KeyType));
        wanted.push(if self.id.is_empty() {
            Attribute::Label(self.label.clone())
        } else {
            Attribute::Id(self.id.clone())
        });
        match session.find_objects(&wanted)?[..] {
            [public] => Ok(Self::of(session, public)?.public_half()),
            [] => Ok(Err("its public half is not in the token")),
            _ => Ok(Err("several public keys in the token have its identifier")),
        }
    }

    fn public_half(&self) -> Result<PublicHalf, &'static str> {
        const UNKNOWN: &str = "metadata has no keys of this kind or length";
        let half = |parts: &PublicParts<'_>| PublicHalf::of(parts).map_err(|_| UNKNOWN);
        if !self.spki.is_empty() {
            return half(&PublicParts::Spki(&self.spki));
        }
        // PKCS#11 3.0 section 2.3.3 wants the point in an OCTET STRING; some tokens leave that away.
        let point = OctetStringRef::from_der(&self.point).map_or(&self.point[..], |point| point.as_bytes());
        match self.kind {
            Some(KeyType::RSA) => half(&PublicParts::Rsa { modulus: &self.modulus, exponent: &self.exponent }),
            Some(KeyType::EC) => {
                let curve = ObjectIdentifier::from_der(&self.curve).ok().and_then(Curve::from_oid);
                half(&PublicParts::Ec(curve.ok_or(UNKNOWN)?, point))
            }
            Some(KeyType::EC_EDWARDS) if is_ed25519(&self.curve) => half(&PublicParts::Ed25519(point)),
            _ => Err(UNKNOWN),
        }
    }
}

/// PKCS#11 3.0 section 2.3.10 names the curve by a text, later versions by its object identifier as well.
fn is_ed25519(curve: &[u8]) -> bool {
    const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
    ObjectIdentifier::from_der(curve) == Ok(ED25519)
        || PrintableStringRef::from_der(curve).is_ok_and(|name| name.as_str() == "edwards25519")
}

/// A key in a token, logged in to.
#[derive(Debug)]
pub struct Pkcs11Signer {
    token: Token,
    session: Mutex<Session>,
    key: ObjectHandle,
    half: PublicHalf,
    /// `CKA_ALWAYS_AUTHENTICATE`: the PIN is given again for each signature.
    asks_each_time: bool,
    /// For that. It does not show itself, and is overwritten when dropped.
    pin: Option<AuthPin>,
}

impl Pkcs11Signer {
    /// Signs in one step, with the digest where the token need not make it: payloads may be long, tokens slow.
    fn sign_digest(&self, session: &Session, algorithm: Algorithm, payload: &[u8]) -> Result<Vec<u8>, Error> {
        let digest = |hash| digest(hash, payload);
        match algorithm {
            Algorithm::EcdsaP256Sha256 => session.sign(&Mechanism::Ecdsa, self.key, &digest(HashAlgorithm::Sha256)),
            Algorithm::EcdsaP384Sha384 => session.sign(&Mechanism::Ecdsa, self.key, &digest(HashAlgorithm::Sha384)),
            Algorithm::EcdsaP521Sha512 => session.sign(&Mechanism::Ecdsa, self.key, &digest(HashAlgorithm::Sha512)),
            Algorithm::RsaPssSha256 => {
                session.sign(&Mechanism::RsaPkcsPss(pss(algorithm)), self.key, &digest(HashAlgorithm::Sha256))
            }
            Algorithm::RsaPssSha384 => {
                session.sign(&Mechanism::RsaPkcsPss(pss(algorithm)), self.key, &digest(HashAlgorithm::Sha384))
            }
            Algorithm::RsaPssSha512 => {
                session.sign(&Mechanism::RsaPkcsPss(pss(algorithm)), self.key, &digest(HashAlgorithm::Sha512))
            }
            _ => session.sign(&hashing(algorithm)?, self.key, payload),
        }
    }

    /// Signs with the PIN given again. It is asked for between the beginning and the end of a signature, so there are
    /// several steps, which mechanisms that hash have.
    fn sign_asked(&self, session: &Session, algorithm: Algorithm, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
        let failed = |error: Error| Pkcs11Error::of(&error, self.token.name());
        session.sign_init(&hashing(algorithm).map_err(failed)?, self.key).map_err(failed)?;
        self.token.log_in(session, UserType::ContextSpecific, self.pin.as_ref())?;
        session.sign_update(payload).map_err(failed)?;
        Ok(session.sign_final().map_err(failed)?)
    }
}

impl Signer for Pkcs11Signer {
    fn public(&self) -> &PublicKey {
        &self.half.public
    }

    fn canonical_spki(&self) -> &[u8] {
        &self.half.spki
    }

    fn name(&self) -> String {
        format!("the {} key in {}", self.half.kind, self.token.name())
    }

    fn attempt(&self, task: &Task<'_>, algorithm: Algorithm) -> Result<Vec<u8>, SignerError> {
        if hashing(algorithm).is_err() {
            return Err(SignerError::Scheme { signer: self.name(), scheme: task.listed.scheme().to_owned() });
        }
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let at_once = if self.asks_each_time {
            None
        } else {
            match self.sign_digest(&session, algorithm, task.payload) {
                Ok(signature) => Some(signature),
                // Some modules do not say beforehand that the key asks each time.
                Err(Error::Pkcs11(RvError::UserNotLoggedIn, _)) => None,
                Err(error) => return Err(Pkcs11Error::of(&error, self.token.name()).into()),
            }
        };
        let signature = match at_once {
            Some(signature) => signature,
            None => self.sign_asked(&session, algorithm, task.payload)?,
        };
        let ecdsa =
            matches!(algorithm, Algorithm::EcdsaP256Sha256 | Algorithm::EcdsaP384Sha384 | Algorithm::EcdsaP521Sha512);
        if ecdsa {
            // Both numbers side by side, of one length (PKCS#11 3.0 section 2.3.1).
            let (r, s) = signature.split_at(signature.len() / 2);
            let der = if r.len() == s.len() { ecdsa_der(r, s) } else { None };
            return der.ok_or_else(|| SignerError::WrongSignature { signer: self.name() });
        }
        Ok(signature)
    }
}

/// The salt is as long as the digest, as metadata's schemes have it.
fn pss(algorithm: Algorithm) -> PkcsPssParams {
    let (hash_alg, mgf, s_len) = match algorithm {
        Algorithm::RsaPssSha384 => (MechanismType::SHA384, PkcsMgfType::MGF1_SHA384, 48),
        Algorithm::RsaPssSha512 => (MechanismType::SHA512, PkcsMgfType::MGF1_SHA512, 64),
        _ => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256, 32),
    };
    PkcsPssParams { hash_alg, mgf, s_len: s_len.into() }
}

/// The mechanism that takes the payload itself.
fn hashing(algorithm: Algorithm) -> Result<Mechanism<'static>, Error> {
    Ok(match algorithm {
        Algorithm::Ed25519 => Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519)),
        Algorithm::EcdsaP256Sha256 => Mechanism::EcdsaSha256,
        Algorithm::EcdsaP384Sha384 => Mechanism::EcdsaSha384,
        Algorithm::EcdsaP521Sha512 => Mechanism::EcdsaSha512,
        Algorithm::RsaPssSha256 => Mechanism::Sha256RsaPkcsPss(pss(algorithm)),
        Algorithm::RsaPssSha384 => Mechanism::Sha384RsaPkcsPss(pss(algorithm)),
        Algorithm::RsaPssSha512 => Mechanism::Sha512RsaPkcsPss(pss(algorithm)),
        Algorithm::RsaPkcs1Sha256 => Mechanism::Sha256RsaPkcs,
        Algorithm::RsaPkcs1Sha384 => Mechanism::Sha384RsaPkcs,
        Algorithm::RsaPkcs1Sha512 => Mechanism::Sha512RsaPkcs,
        _ => return Err(Error::NotSupported),
    })
}
