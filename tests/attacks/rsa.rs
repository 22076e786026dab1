//! An RSA key whose secret half is public: it protects nothing.

use base64::Engine as _;
use serde_json::json;

#[cfg(feature = "aws-lc")]
use aws_lc_rs as library;
#[cfg(not(feature = "aws-lc"))]
use ring as library;

use library::rand::SystemRandom;
use library::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair};

use crate::support::Key;

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Scheme {
    Pkcs1,
    Pss,
}

/// The key, listed under `keyid` with `scheme`.
pub(crate) fn rsa_key(keyid: &str, scheme: Scheme) -> Key {
    let name = match scheme {
        Scheme::Pkcs1 => "rsa-pkcs1v15-sha256",
        Scheme::Pss => "rsassa-pss-sha256",
    };
    let public = json!({ "keytype": "rsa", "scheme": name, "keyval": { "public": PUBLIC } });
    let pkcs8 = base64::engine::general_purpose::STANDARD.decode(SECRET).unwrap();
    let pair = RsaKeyPair::from_pkcs8(&pkcs8).unwrap();
    Key::new(keyid, public, move |message| {
        let mut signature = vec![0; 2048 / 8];
        let random = SystemRandom::new();
        match scheme {
            Scheme::Pkcs1 => pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature),
            Scheme::Pss => pair.sign(&RSA_PSS_SHA256, &random, message, &mut signature),
        }
        .unwrap();
        signature
    })
}

const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr/Wc44gHKHMeVlOgMAQE
ushvNoIpWlFuKC8DVIDZ/UVFZ8IL9KN4JlAKyWwe9G+sOMC3nWT1E5pm4IynGf3x
iMxl/WX8XlnS98Go77F0Oi8BLSMVN/F2TtnpJbFJGNAprt0fT72A1KP0GPiK3SZG
3Lp+PQBJAkXBj7xEWQK/0p1tuNe0Vl/hSAMY6Ie+lyye7Djt24LmGl1EVqM/+dWx
SLdTXgjoesx2PKlOMvUroRM7fQdn4sgKiVO3t8XaovIUL0mOtpicapvplXIw/BjO
SKkThoWd4MTzr+NpTZvY6TVf0l8NxrtMK87WvPbZEuuCmZU/eAgdvuMU++orIHpH
vQIDAQAB
-----END PUBLIC KEY-----
";

const SECRET: &str = "\
    MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCv9ZzjiAcocx5WU6AwBAS6yG82gilaUW4oLwNUgNn9RUVnwgv0\
    o3gmUArJbB70b6w4wLedZPUTmmbgjKcZ/fGIzGX9ZfxeWdL3wajvsXQ6LwEtIxU38XZO2eklsUkY0Cmu3R9PvYDUo/QY+IrdJkbc\
    un49AEkCRcGPvERZAr/SnW2417RWX+FIAxjoh76XLJ7sOO3bguYaXURWoz/51bFIt1NeCOh6zHY8qU4y9SuhEzt9B2fiyAqJU7e3\
    xdqi8hQvSY62mJxqm+mVcjD8GM5IqROGhZ3gxPOv42lNm9jpNV/SXw3Gu0wrzta89tkS64KZlT94CB2+4xT76isgeke9AgMBAAEC\
    ggEAA4jfDHEMl8LsPpaydpR2Fdx143Xs57wQBu2e1wE5n81W7hUnUVRBUx+zf8VUv9tIbeFtLtO62ph07ZjVuH9x7SoR+GumjKyo\
    QMLapmn9qDeOgf4c7IFEu6PD+7Zafg2ccL9PZDYt0teyTRgdDgE5VjDG3WnWjZ2iHEWPZ+xWtx/a23547FVeVIuX3c2hXB5MK/Dw\
    gWx1I1ZhGI47z/hBXwAoYoFHPYkMWPZs4lzoI7FrYjNyc/q/yLPYZFNOlJ14GRcAhl0KZUavEV9AJc8g9CbxfbiBJx2McuBooWz8\
    uK0GuRq0XblfL0scKGEOppzucbkUVWSyRHn8wU7uSxmXPwKBgQDzYPKfjBuDFk/eQw9iKe1lV30/QoaE4XjwXp9MustWwdZtu6Hr\
    5dmwWqvJES3nF0SzqLunX8b+02dTT+seb6HAg5NbNeJOZcDdPjD3muokquinD752CngVuH9DFdCLv2c33uAFOSMkW7DZ0camahW+\
    HALPBk6V56Uy05t/xzdHBwKBgQC5FZ5ptRyq04BlclRCB50XHbR/XySF0dPP8k/pGFSql7F45wNgwywo9JrdKfxzYe6Zyv63xomy\
    RU8PTGXJ7LeKft7R6ZudMqJlGUJKMDkcrdBwOVS+Umus+m7XyZzMTh7G/W1w5F9Lj4AyfkBt1oQV1wRIGaF78gbnpFVbtp9mGwKB\
    gA3+LPTvYUWQKtdkk6XZM0T4WsMgWAubyxBG4HHQ64/5ZRK6Dv05IeL505aj3jfDJrgNo3xkDVTpYq9vkN0XHf2rkvVTi8dmIkiW\
    IsqZpYymJuo0BYdT4sOc7/QzdOIUByM3NToXpuWYP/rGDN3Ui5t6kM7GVg5YWy8o62/VTGBRAoGBAKkxcBzl6Yznx2n1d7zcxOgK\
    yaPeT77dL6nast481bkU7rG9TMM557aQ1Lj01siLb9i7Ttqk7d8/qKQtjKdoc+hxTjPKP+0WCoos6wJyzuK+qdrNLgDFy5TXYlh0\
    /5dsmooBxff7bHngdqqx6yf9f8WPR2S5uXtapqE/AqDScyidAoGAd4lXU2zKVNh7zcsyI0GDr42Y/3r2LXuVO2+twwl2G4k4yg5A\
    KnhMLoROpHnXERaW6zlyx1N5gzm5V56rpLdXBSn5Qwmkh3/NGWjY2Uj5+9xzFD8ueQnp7VwY+tbi4Fj2KtZ66k1y167WcE64kDEJ\
    P4eNEX3DnTzJ1mv75d5/pXE=";
