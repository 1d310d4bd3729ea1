//! Firebase's export of users, turned into import lines.
//!
//! Firebase hashes passwords with scrypt and a signer key of the project, so every line carries the parameters of the
//! project with its own salt and hash.

use std::fmt;
use std::io::Read;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::Deserialize;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::files;

/// The password hash parameters of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    rounds: u32,
    mem_cost: u32,
    signer_key: Vec<u8>,
    salt_separator: Vec<u8>,
    /// The name of the claim that keeps a user's Firebase id, if any does.
    uid_claim: Option<String>,
}

impl Parameters {
    /// Reads the parameters as Firebase's console shows them (`hash_config { algorithm: SCRYPT, … }`), or as JSON.
    pub fn read(path: &Path, uid_claim: Option<&str>) -> Result<Self, Failure> {
        let text =
            files::read(path)?.ok_or_else(|| Failure::Usage(format!("{} is not there", path.display())))?;
        let text = String::from_utf8_lossy(&text);
        let parameters =
            Self::parse(&text).map(|found| Self { uid_claim: uid_claim.map(str::to_owned), ..found });
        parameters.map_err(|why| Failure::Usage(format!("{}: {why}", path.display())))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let plain = |text: &str| text.trim().trim_matches('"').to_owned();
        let pairs: Vec<_> = text
            .split([',', '{', '}', '\n'])
            .filter_map(|part| part.split_once(':'))
            .map(|(name, value)| (plain(name), plain(value)))
            .collect();
        let of = |wanted: &str| {
            let found = pairs.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
            found.ok_or_else(|| format!("there is no {wanted}"))
        };
        let number = |name: &str| of(name)?.parse().map_err(|_| format!("{name} is not a number"));
        let key = |name: &str| bytes(&of(name)?).ok_or_else(|| format!("{name} is not base64"));
        let algorithm = of("algorithm")?;
        if algorithm != "SCRYPT" {
            return Err(format!("the algorithm is {algorithm}, not SCRYPT"));
        }
        Ok(Self {
            rounds: number("rounds")?,
            mem_cost: number("mem_cost")?,
            signer_key: key("base64_signer_key")?,
            salt_separator: key("base64_salt_separator")?,
            uid_claim: None,
        })
    }

    /// The stored form of a user's hash.
    fn hash(&self, salt: &[u8], hash: &[u8]) -> String {
        let [separator, key, salt, hash] =
            [&self.salt_separator, &self.signer_key, salt, hash].map(|bytes| STANDARD_NO_PAD.encode(bytes));
        format!(
            "$firebase-scrypt$ln={},r={},ss={separator},sk={key}${salt}${hash}",
            self.mem_cost, self.rounds
        )
    }

    /// The import line of a user.
    fn line(&self, user: User) -> Result<String, String> {
        let username =
            user.email.filter(|email| !email.is_empty()).ok_or("no e-mail address to sign in with")?;
        let mut line = json!({ "username": username });
        if let (Some(hash), Some(salt)) = (&user.password_hash, &user.salt)
            && !hash.is_empty()
        {
            let (salt, hash) = bytes(salt).zip(bytes(hash)).ok_or("hash or salt are not base64")?;
            line["password_hash"] = self.hash(&salt, &hash).into();
        }
        let mut claims = match user.custom_attributes.as_deref() {
            None | Some("") => Map::new(),
            Some(text) => serde_json::from_str(text).map_err(|_| "customAttributes is not a JSON object")?,
        };
        if let (Some(name), Some(id)) = (&self.uid_claim, user.local_id) {
            claims.insert(name.clone(), id.into());
        }
        if !claims.is_empty() {
            line["claims"] = claims.into();
        }
        if user.disabled {
            line["status"] = "disabled".into();
        }
        // Milliseconds, as a text.
        if let Some(millis) = user.created_at.and_then(|text| text.parse::<u64>().ok()) {
            line["created_at"] = (millis / 1000).into();
        }
        Ok(line.to_string())
    }
}

/// Base64 of either alphabet, with its padding or without: Firebase's tools differ.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let standard = text.trim_end_matches('=').replace('-', "+").replace('_', "/");
    STANDARD_NO_PAD.decode(standard).ok()
}

/// What is read of a user.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    local_id: Option<String>,
    email: Option<String>,
    password_hash: Option<String>,
    salt: Option<String>,
    #[serde(default)]
    disabled: bool,
    custom_attributes: Option<String>,
    created_at: Option<String>,
}

/// Reads the users of an export one by one, until nobody takes them any more.
pub fn read(
    file: impl Read,
    parameters: &Parameters,
    put: &mut dyn FnMut(Result<String, String>) -> bool,
) -> Result<(), serde_json::Error> {
    let mut wanted = true;
    let mut put = |user: Value| {
        let user =
            serde_json::from_value::<User>(user).map_err(|_| "not a user of Firebase's export".to_owned());
        wanted = put(user.and_then(|user| parameters.line(user)));
        wanted
    };
    let mut input = serde_json::Deserializer::from_reader(file);
    let outcome = Export(&mut put).deserialize(&mut input).and_then(|()| input.end());
    if wanted { outcome } else { Ok(()) }
}

type Put<'a> = &'a mut dyn FnMut(Value) -> bool;

/// `{"users": […]}`.
struct Export<'a>(Put<'a>);
/// The list of users.
struct Users<'a>(Put<'a>);

impl<'de> DeserializeSeed<'de> for Export<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Export<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Firebase's export of users")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut found = false;
        while let Some(name) = map.next_key::<String>()? {
            if name == "users" {
                found = true;
                map.next_value_seed(Users(&mut *self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        if found { Ok(()) } else { Err(serde::de::Error::missing_field("users")) }
    }
}

impl<'de> DeserializeSeed<'de> for Users<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Users<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of users")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(user) = list.next_element()? {
            if !(self.0)(user) {
                return Err(serde::de::Error::custom("nobody takes the users any more"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // github.com/firebase/scrypt, README.md.
    const KEY: &str =
        "jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==";
    const HASH: &str =
        "lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==";
    const STORED: &str = "$firebase-scrypt$ln=14,r=8,ss=Bw,sk=jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxU\
        ECKbm0QsEmYUSDzZvpjeJ9WmXA$42xEC+ixf3L2lw$lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo7\
        8198JAdRuid5lQ";

    fn parameters() -> Parameters {
        let console = format!(
            "hash_config {{\n  algorithm: SCRYPT,\n  base64_signer_key: {KEY},\n  base64_salt_separator: Bw==,\n  \
             rounds: 8,\n  mem_cost: 14,\n}}\n"
        );
        Parameters::parse(&console).unwrap()
    }

    fn converted(export: &str, parameters: &Parameters) -> Vec<Result<Value, String>> {
        let mut lines = Vec::new();
        read(export.as_bytes(), parameters, &mut |line| {
            lines.push(line.map(|line| serde_json::from_str(&line).unwrap()));
            true
        })
        .unwrap();
        lines
    }

    #[test]
    fn parameters_are_read_as_the_console_shows_them_and_as_json() {
        let of_json = format!(
            r#"{{"algorithm":"SCRYPT","base64_signer_key":"{KEY}","base64_salt_separator":"Bw==","rounds":8,"mem_cost":14}}"#
        );
        assert_eq!(Parameters::parse(&of_json), Ok(parameters()));
        for (text, why) in [
            ("", "there is no algorithm"),
            ("algorithm: BCRYPT", "the algorithm is BCRYPT, not SCRYPT"),
            ("algorithm: SCRYPT, rounds: x", "rounds is not a number"),
            (
                "algorithm: SCRYPT, rounds: 8, mem_cost: 14, base64_signer_key: *",
                "base64_signer_key is not base64",
            ),
        ] {
            assert_eq!(Parameters::parse(text), Err(why.to_owned()));
        }
    }

    #[test]
    fn users_become_import_lines() {
        let url_safe = HASH.replace('+', "-").replace('/', "_");
        let export = json!({"version": 1, "users": [
            {"localId": "a1", "email": "ada@acme.example", "emailVerified": true, "passwordHash": HASH,
             "salt": "42xEC+ixf3L2lw==", "createdAt": "1512066867000", "lastSignedInAt": "x", "providerUserInfo": []},
            {"localId": "b2", "email": "bob@acme.example", "passwordHash": url_safe, "salt": "42xEC-ixf3L2lw==",
             "disabled": true, "customAttributes": "{\"plan\":\"pro\"}"},
            {"localId": "c3", "email": "cy@acme.example", "providerUserInfo": [{"providerId": "google.com"}]},
            {"localId": "d4", "phoneNumber": "+15550100"},
            {"localId": "e5", "email": 7},
            {"localId": "f6", "email": "f@acme.example", "passwordHash": "*", "salt": "AA=="},
        ]});
        let plain = parameters();
        assert_eq!(
            converted(&export.to_string(), &plain),
            [
                Ok(
                    json!({"username": "ada@acme.example", "password_hash": STORED, "created_at": 1_512_066_867})
                ),
                Ok(
                    json!({"username": "bob@acme.example", "password_hash": STORED, "claims": {"plan": "pro"}, "status": "disabled"})
                ),
                Ok(json!({"username": "cy@acme.example"})),
                Err("no e-mail address to sign in with".to_owned()),
                Err("not a user of Firebase's export".to_owned()),
                Err("hash or salt are not base64".to_owned()),
            ]
        );
        let with_ids = Parameters { uid_claim: Some("firebase_uid".into()), ..plain };
        let lines = converted(&export.to_string(), &with_ids);
        assert_eq!(lines[1].as_ref().unwrap()["claims"], json!({"plan": "pro", "firebase_uid": "b2"}));
    }

    #[test]
    fn an_export_that_is_none_is_an_error_before_anything_is_sent() {
        for text in ["", "[]", "{}", r#"{"users": {}}"#, r#"{"users": [{}"#, r#"{"users": []} x"#] {
            assert!(read(text.as_bytes(), &parameters(), &mut |_| true).is_err(), "{text}");
        }
        assert!(read(r#"{"users": []}"#.as_bytes(), &parameters(), &mut |_| true).is_ok());
        let mut taken = 0;
        let outcome = read(r#"{"users": [{}, {}, {"#.as_bytes(), &parameters(), &mut |_| {
            taken += 1;
            taken < 2
        });
        assert!(outcome.is_ok() && taken == 2, "whoever has enough is not told of what follows");
    }
}
