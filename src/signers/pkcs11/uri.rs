//! Which token, and which key in it: a PKCS#11 URI (RFC 7512).

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use crate::signers::BadReference;

/// What names a token and a key in it. Holds no PIN: `pin-value` is refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Pkcs11Uri {
    /// `serial`: the token's serial number.
    pub serial: Option<String>,
    /// `token`: the token's label.
    pub token: Option<String>,
    /// `manufacturer`: who made the token.
    pub manufacturer: Option<String>,
    /// `model`: the token's model.
    pub model: Option<String>,
    /// `object`: the key's label.
    pub object: Option<String>,
    /// `id`: the key's identifier, as bytes.
    pub id: Option<Vec<u8>>,
    /// `module-path`: the library that speaks with the token. It is loaded into this process, and trusted as it is.
    pub module: PathBuf,
    /// `pin-source`: the file that holds the PIN.
    pub pin_source: Option<PathBuf>,
}

/// Letters and digits stay, and what RFC 3986 calls unreserved.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const ESCAPED_IN_PATHS: &AsciiSet = &ESCAPED.remove(b'/');

impl fmt::Display for Pkcs11Uri {
    /// Writes what follows `pkcs11:`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = [
            ("serial", &self.serial),
            ("token", &self.token),
            ("manufacturer", &self.manufacturer),
            ("model", &self.model),
            ("object", &self.object),
        ];
        let mut path: Vec<String> = texts
            .into_iter()
            .filter_map(|(name, value)| {
                let value = value.as_ref()?;
                Some(format!("{name}={}", percent_encode(value.as_bytes(), ESCAPED)))
            })
            .collect();
        if let Some(id) = &self.id {
            path.push(format!("id={}", percent_encode(id, ESCAPED)));
        }
        let module = self.module.to_string_lossy();
        write!(f, "{}?module-path={}", path.join(";"), percent_encode(module.as_bytes(), ESCAPED_IN_PATHS))?;
        if let Some(source) = &self.pin_source {
            let source = source.to_string_lossy();
            write!(f, "&pin-source=file:{}", percent_encode(source.as_bytes(), ESCAPED_IN_PATHS))?;
        }
        Ok(())
    }
}

impl FromStr for Pkcs11Uri {
    type Err = BadReference;

    /// Reads what follows `pkcs11:`.
    ///
    /// An attribute that is not known refuses the whole (RFC 7512 section 2.3): it may have narrowed what is meant.
    fn from_str(text: &str) -> Result<Self, BadReference> {
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let mut uri = Self::default();
        for (name, value) in attributes(path, ';') {
            match name {
                "serial" => set(&mut uri.serial, decoded(value)?)?,
                "token" => set(&mut uri.token, decoded(value)?)?,
                "manufacturer" => set(&mut uri.manufacturer, decoded(value)?)?,
                "model" => set(&mut uri.model, decoded(value)?)?,
                "object" => set(&mut uri.object, decoded(value)?)?,
                "id" => set(&mut uri.id, percent_decode_str(value).collect())?,
                "type" if value == "private" => {}
                "type" => {
                    return Err(BadReference(
                        "a PKCS#11 URI with another `type` than `private` names no key that signs",
                    ));
                }
                _ => return Err(BadReference("the PKCS#11 URI has an attribute that is not known before its `?`")),
            }
        }
        let mut module = None;
        for (name, value) in attributes(query, '&') {
            match name {
                "module-path" => set(&mut module, PathBuf::from(decoded(value)?))?,
                "pin-source" => set(&mut uri.pin_source, pin_file(&decoded(value)?)?)?,
                "pin-value" => {
                    return Err(BadReference(
                        "a PIN in `pin-value` could be read by others on this machine: put it into a file and name that \
                         with `pin-source=file:…`, or leave it out and be asked; and change the PIN",
                    ));
                }
                "module-name" => {
                    return Err(BadReference("`module-name` is not looked up: name the file with `module-path`"));
                }
                _ => return Err(BadReference("the PKCS#11 URI has an attribute that is not known after its `?`")),
            }
        }
        uri.module = module.filter(|module| module.is_absolute()).ok_or(BadReference(
            "a PKCS#11 URI names the library of the token's maker with its whole path: `?module-path=/usr/lib/…`",
        ))?;
        Ok(uri)
    }
}

fn attributes(part: &str, separator: char) -> impl Iterator<Item = (&str, &str)> {
    part.split(separator).filter(|one| !one.is_empty()).map(|one| one.split_once('=').unwrap_or((one, "")))
}

fn set<T>(field: &mut Option<T>, value: T) -> Result<(), BadReference> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(BadReference("the PKCS#11 URI says something twice")),
    }
}

fn decoded(value: &str) -> Result<String, BadReference> {
    let text = percent_decode_str(value).decode_utf8();
    text.map(Into::into).map_err(|_| BadReference("the PKCS#11 URI holds bytes that are no text"))
}

/// A file by its path or `file:` URI. A command (`|…`) or another URI is not followed.
fn pin_file(source: &str) -> Result<PathBuf, BadReference> {
    let path = source.strip_prefix("file:").unwrap_or(source);
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.starts_with('/') || source.starts_with("file:") && !path.is_empty() {
        Ok(path.into())
    } else {
        Err(BadReference("`pin-source` names a file: `file:…`, or a whole path"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_token_key_module_and_pin_file() {
        let text =
            "serial=0a%201;token=My%20token;object=root;id=%01%ff?module-path=/usr/lib/p11.so&pin-source=file:/run/pin";
        let uri: Pkcs11Uri = text.parse().unwrap();
        assert_eq!(uri.serial.as_deref(), Some("0a 1"));
        assert_eq!(uri.token.as_deref(), Some("My token"));
        assert_eq!((uri.object.as_deref(), uri.id.as_deref()), (Some("root"), Some(&[1, 0xff][..])));
        assert_eq!(uri.module, PathBuf::from("/usr/lib/p11.so"));
        assert_eq!(uri.pin_source, Some("/run/pin".into()));
        // And what is shown reads as the same.
        assert_eq!(uri.to_string().parse::<Pkcs11Uri>().unwrap(), uri);
        for (source, path) in [
            ("/run/pin", "/run/pin"),
            ("file:///run/pin", "/run/pin"),
            ("file:pin", "pin"),
            ("file:/run/pin", "/run/pin"),
        ] {
            let uri: Pkcs11Uri = format!("?module-path=/m&pin-source={source}").parse().unwrap();
            assert_eq!(uri.pin_source, Some(path.into()));
        }
    }

    #[test]
    fn a_pin_in_a_uri_is_refused_and_not_repeated() {
        let refused = "serial=1?module-path=/m&pin-value=123456".parse::<Pkcs11Uri>().unwrap_err();
        assert!(refused.to_string().contains("pin-source=file:") && !refused.to_string().contains("123456"));
    }

    #[test]
    fn what_is_not_understood_refuses_the_whole() {
        for bad in [
            "serial=1",
            "serial=1?module-path=relative.so",
            "serial=1;serial=2?module-path=/m",
            "serial=1;slot-id=3?module-path=/m",
            "serial=1;x-vendor=3?module-path=/m",
            "serial=1;type=public?module-path=/m",
            "serial=%ff?module-path=/m",
            "serial=1?module-path=/m&pin-source=|cat",
            "serial=1?module-path=/m&pin-source=https://example.org",
            "serial=1?module-path=/m&module-name=p11",
            "serial=1?module-path=/m&max-uses=1",
        ] {
            assert!(bad.parse::<Pkcs11Uri>().is_err(), "{bad}");
        }
    }
}
