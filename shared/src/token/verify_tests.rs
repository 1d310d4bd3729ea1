//! Forged and odd tokens, each beside the valid one it was made of.

use serde_json::{Value, json};

use super::*;
use crate::keys::{Custody, Key, KeyKind, KeyRing, PublicKey};
use crate::token::compact::{ecdsa_from_der, join, signing_input};
use crate::token::testing::{ISSUER, NOW, Signer, claims};

struct Bench {
    signer: Signer,
    key: Key,
    ring: KeyRing,
    tenant: TenantId,
}

impl Bench {
    fn new(algorithm: Algorithm) -> Self {
        let (signer, spki) = Signer::generate(algorithm);
        let public = PublicKey::from_spki(algorithm, &spki).unwrap();
        let kind = KeyKind { algorithm, custody: Custody::Kms };
        let key = Key::made(kind, public.thumbprint(algorithm).unwrap(), public, "arn".to_owned(), NOW);
        Self { signer, ring: KeyRing::with_first_key(key.clone()), key, tenant: "acme".parse().unwrap() }
    }

    fn verify(&self, token: &str) -> Result<Verified, Refusal> {
        let verifier = Verifier {
            tenant: &self.tenant,
            issuer: ISSUER,
            keys: &KeySet::of(&self.ring, NOW),
            audience: "api",
        };
        verifier.verify(token, NOW)
    }

    fn header(&self) -> Value {
        json!({ "typ": "at+jwt", "alg": self.key.algorithm.name(), "kid": self.key.kid })
    }

    /// A token with exactly this text as header and payload, properly signed.
    fn sign_text(&self, header: &str, payload: &str) -> String {
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        join(&input, &self.signer.sign(input.as_bytes()))
    }

    fn sign(&self, header: &Value, payload: &Value) -> String {
        self.sign_text(&header.to_string(), &payload.to_string())
    }

    fn valid(&self) -> String {
        let input = signing_input(self.key.algorithm, &self.key.kid, &claims()).unwrap();
        join(&input, &self.signer.sign(input.as_bytes()))
    }
}

fn changed(change: impl FnOnce(&mut Value)) -> Value {
    let mut value = serde_json::to_value(claims()).unwrap();
    change(&mut value);
    value
}

const ALL: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDsa];

#[test]
fn a_token_of_each_algorithm_verifies_and_keeps_its_claims() {
    for algorithm in ALL {
        let bench = Bench::new(algorithm);
        assert_eq!(bench.verify(&bench.valid()).unwrap().claims(), &claims(), "{algorithm:?}");
    }
}

#[test]
fn a_changed_signature_or_payload_is_refused() {
    for algorithm in ALL {
        let bench = Bench::new(algorithm);
        let token = bench.valid();
        let (input, signature) = token.rsplit_once('.').unwrap();
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        bytes[10] ^= 1;
        assert_eq!(bench.verify(&join(input, &bytes)), Err(Refusal::Signature));
        for odd in [vec![], vec![0; 64], vec![0; 256], bytes[1..].to_vec()] {
            assert_eq!(bench.verify(&join(input, &odd)), Err(Refusal::Signature), "{algorithm:?}");
        }
        let other = bench.sign(&bench.header(), &changed(|claims| claims["scope"] = json!("write")));
        let stolen = format!("{}.{signature}", other.rsplit_once('.').unwrap().0);
        assert_eq!(bench.verify(&stolen), Err(Refusal::Signature));
    }
}

#[test]
fn a_der_signature_is_refused() {
    let bench = Bench::new(Algorithm::ES256);
    let token = bench.valid();
    let (input, _) = token.rsplit_once('.').unwrap();
    assert_eq!(bench.verify(&join(input, &bench.signer.der(input.as_bytes()))), Err(Refusal::Signature));
}

#[test]
fn only_the_key_of_the_ring_and_its_one_algorithm_count() {
    let (bench, other) = (Bench::new(Algorithm::ES256), Bench::new(Algorithm::ES256));
    assert_eq!(bench.verify(&other.valid()), Err(Refusal::UnknownKey));
    let renamed = other.sign(&bench.header(), &changed(|_| ()));
    assert_eq!(bench.verify(&renamed), Err(Refusal::Signature), "another key under this kid");
    for alg in ["none", "None", "NONE", "nOnE", "HS256", "RS256", "EdDSA", "es256", "ES384", ""] {
        let token =
            bench.sign(&json!({ "typ": "at+jwt", "alg": alg, "kid": bench.key.kid }), &changed(|_| ()));
        assert_eq!(bench.verify(&token), Err(Refusal::Algorithm), "{alg}");
    }
    for kid in ["", "../../x", "a' or 1=1", &"A".repeat(43), &"A".repeat(5000)] {
        let token = bench.sign(&json!({ "typ": "at+jwt", "alg": "ES256", "kid": kid }), &changed(|_| ()));
        assert!(matches!(bench.verify(&token), Err(Refusal::UnknownKey | Refusal::Malformed)), "{kid}");
    }
}

#[test]
fn a_key_that_is_not_published_verifies_nothing() {
    for mark in [|key: &mut Key| key.compromised_at = Some(NOW), |key: &mut Key| key.retire_at = Some(NOW)] {
        let mut bench = Bench::new(Algorithm::EdDsa);
        let token = bench.valid();
        mark(&mut bench.key);
        bench.ring = KeyRing::with_first_key(bench.key.clone());
        assert_eq!(bench.verify(&token), Err(Refusal::UnknownKey));
    }
}

#[test]
fn header_members_we_never_set_are_refused() {
    let bench = Bench::new(Algorithm::EdDsa);
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("jku", json!("https://evil.example/jwks")),
        ("jwk", json!({ "kty": "OKP" })),
        ("x5u", json!("https://evil.example")),
        ("x5c", json!(["AA"])),
        ("enc", json!("A256GCM")),
        ("zip", json!("DEF")),
        ("b64", json!(false)),
    ] {
        let mut header = bench.header();
        header[name] = value;
        assert_eq!(bench.verify(&bench.sign(&header, &changed(|_| ()))), Err(Refusal::Header), "{name}");
    }
    for typ in ["JWT", "jwt", "AT+JWT ", "dpop+jwt", "logout+jwt", "application/jwt", ""] {
        let header = json!({ "typ": typ, "alg": "EdDSA", "kid": bench.key.kid });
        assert_eq!(bench.verify(&bench.sign(&header, &changed(|_| ()))), Err(Refusal::Header), "{typ}");
    }
    let twice = format!(r#"{{"typ":"at+jwt","alg":"none","alg":"EdDSA","kid":"{}"}}"#, bench.key.kid);
    assert_eq!(bench.verify(&bench.sign_text(&twice, &changed(|_| ()).to_string())), Err(Refusal::Header));
    let escaped = format!(r#"{{"typ":"at+jwt","alg":"\u0045dDSA","kid":"{}"}}"#, bench.key.kid);
    assert_eq!(bench.verify(&bench.sign_text(&escaped, &changed(|_| ()).to_string())), Err(Refusal::Header));
    let full = json!({ "typ": "application/at+jwt", "alg": "EdDSA", "kid": bench.key.kid });
    assert!(bench.verify(&bench.sign(&full, &changed(|_| ()))).is_ok());
}

#[test]
fn claims_are_exact_and_of_their_types() {
    let bench = Bench::new(Algorithm::EdDsa);
    let now = NOW.seconds();
    let rows: Vec<(&str, Value, Refusal)> = vec![
        ("iss", json!("https://auth.example/t/acme/"), Refusal::Issuer),
        ("iss", json!("https://AUTH.example/t/acme"), Refusal::Issuer),
        ("iss", json!("https://auth.example/t/acm"), Refusal::Issuer),
        ("iss", json!([ISSUER]), Refusal::Malformed),
        ("tid", json!("globex"), Refusal::Issuer),
        ("aud", json!(["other"]), Refusal::Audience),
        ("aud", json!([]), Refusal::Audience),
        ("aud", json!(["API"]), Refusal::Audience),
        ("exp", json!(now), Refusal::Expired),
        ("exp", json!(now - 1), Refusal::Expired),
        ("exp", json!(0), Refusal::Expired),
        ("exp", json!(-1), Refusal::Malformed),
        ("exp", json!(now + 3601), Refusal::Malformed),
        ("exp", json!(u64::MAX), Refusal::Malformed),
        ("exp", json!("9999999999"), Refusal::Malformed),
        ("exp", json!(9_999_999_999.5), Refusal::Malformed),
        ("exp", json!(null), Refusal::Malformed),
        ("exp", json!(1e300), Refusal::Malformed),
        ("iat", json!(now + 61), Refusal::NotYetValid),
        ("iat", json!("0"), Refusal::Malformed),
        ("nbf", json!(now + 61), Refusal::NotYetValid),
        ("nbf", json!("0"), Refusal::Malformed),
        ("sub", json!("app"), Refusal::Malformed),
        ("sid", json!(""), Refusal::Malformed),
        ("ep", json!("01.2"), Refusal::Malformed),
        ("nbf", json!(null), Refusal::Malformed),
        ("scope", json!(["read"]), Refusal::Malformed),
        ("scope", json!(null), Refusal::Malformed),
        ("roles", json!("admin"), Refusal::Malformed),
        ("aud", json!("api"), Refusal::Malformed),
    ];
    for (name, value, refusal) in rows {
        let token = bench.sign(&bench.header(), &changed(|claims| claims[name] = value.clone()));
        assert_eq!(bench.verify(&token), Err(refusal), "{name} = {value}");
    }
    for name in
        ["iss", "sub", "aud", "client_id", "exp", "iat", "jti", "sid", "tid", "ep", "auth_time", "amr"]
    {
        let payload = changed(|claims| {
            claims.as_object_mut().unwrap().remove(name);
        });
        assert_eq!(
            bench.verify(&bench.sign(&bench.header(), &payload)),
            Err(Refusal::Malformed),
            "without {name}"
        );
    }
    for twice in [r#"{"exp":1,"#, r#"{"plan":"silver","#, r#"{"\u0070lan":"silver","#, r#"{"aud":["api"],"#] {
        let payload = changed(|_| ()).to_string().replacen('{', twice, 1);
        let token = bench.sign_text(&bench.header().to_string(), &payload);
        assert_eq!(bench.verify(&token), Err(Refusal::Malformed), "{twice}");
    }
    let skewed = bench.sign(&bench.header(), &changed(|claims| claims["iat"] = json!(now + 60)));
    assert!(bench.verify(&skewed).is_ok(), "a clock a minute behind");
}

#[test]
fn odd_texts_are_refused() {
    let bench = Bench::new(Algorithm::EdDsa);
    let token = bench.valid();
    let odd = [
        String::new(),
        "..".to_owned(),
        "a.b".to_owned(),
        format!("{token}."),
        format!("{token}="),
        format!(" {token}"),
        format!("{token}\n"),
        token.replace('.', "%2e"),
        format!("{{\"payload\":\"{token}\"}}"),
        "A".repeat(65_536),
        format!("{}.{}.", URL_SAFE_NO_PAD.encode("{}"), URL_SAFE_NO_PAD.encode("{}")),
        bench.sign_text(&"[".repeat(3000), "{}"),
        bench.sign_text(&bench.header().to_string(), &"[".repeat(3000)),
        bench.sign(&bench.header(), &json!(token)),
    ];
    for text in odd {
        assert!(bench.verify(&text).is_err(), "{text:.60}");
    }
    let (input, signature) = token.rsplit_once('.').unwrap();
    let last = URL_SAFE_NO_PAD.decode(signature).unwrap().len() % 3;
    assert_ne!(last, 0, "an Ed25519 signature leaves stray bits");
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let at = alphabet.find(signature.chars().last().unwrap()).unwrap();
    let stray = alphabet.chars().nth(at ^ 1).unwrap();
    let respelt = format!("{input}.{}{stray}", &signature[..signature.len() - 1]);
    assert_eq!(bench.verify(&respelt), Err(Refusal::Malformed), "the same bytes, spelt otherwise");
}

#[test]
fn an_unchecked_subject_is_read_without_trust() {
    let bench = Bench::new(Algorithm::EdDsa);
    let subject = UnverifiedSubject::read(&bench.valid()).unwrap();
    assert_eq!(subject.sub, UserId::from_bytes([1; 16]));
    for text in ["", "a.b.c", "..", "a.e30.c"] {
        assert!(UnverifiedSubject::read(text).is_err(), "{text}");
    }
}

#[test]
fn malformed_der_is_refused() {
    let good = [0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x02];
    let fixed = ecdsa_from_der(&good).unwrap();
    assert_eq!((fixed[31], fixed[63]), (1, 2));
    let long = {
        let mut long = vec![0x30, 0x26, 0x02, 0x21, 0x01];
        long.extend([0_u8; 32]);
        long.extend([0x02, 0x01, 0x02]);
        long
    };
    let bad: [&[u8]; 6] = [
        &[],
        &good[..7],
        &[0x30, 0x03, 0x02, 0x01, 0x01],
        &[0x30, 0x06, 0x02, 0x01, 0x81, 0x02, 0x01, 0x02],
        &long,
        &[0; 64],
    ];
    for der in bad {
        assert!(ecdsa_from_der(der).is_err(), "{der:?}");
    }
    let mut trailing = good.to_vec();
    trailing.push(0);
    assert!(ecdsa_from_der(&trailing).is_err());
}

#[test]
fn limits_are_met_to_the_byte_and_to_the_second() {
    let bench = Bench::new(Algorithm::EdDsa);
    let longest = changed(|claims| claims["exp"] = json!(NOW.seconds() + 3600));
    assert!(
        bench.verify(&bench.sign(&bench.header(), &longest)).is_ok(),
        "the longest life that a policy can give"
    );
    let padded = |length: usize| {
        let payload = changed(|claims| claims["padding"] = json!("x".repeat(length)));
        bench.sign(&bench.header(), &payload)
    };
    let of_length = |wanted: usize| {
        // Base64 grows in steps: of three lengths in a row one is met.
        (0..wanted).rev().map(padded).find(|token| token.len() <= wanted).unwrap()
    };
    let full = of_length(MAX_TOKEN);
    assert!(full.len() == MAX_TOKEN && bench.verify(&full).is_ok(), "{} bytes", full.len());
    let over = of_length(MAX_TOKEN + 2);
    assert!(over.len() > MAX_TOKEN, "{} bytes", over.len());
    assert_eq!(bench.verify(&over).unwrap_err(), Refusal::Malformed);
}

#[test]
fn every_reason_has_a_name_of_its_own() {
    use Refusal::{
        Algorithm, Audience, Epoch, Expired, Header, Issuer, Key, Malformed, NotYetValid, Session, Signature,
        Tenant, UnknownKey,
    };
    let of_the_token =
        [Malformed, Header, UnknownKey, Algorithm, Signature, Issuer, Audience, Expired, NotYetValid];
    let names = of_the_token.into_iter().chain([Tenant, Key, Epoch, Session]).map(Refusal::name);
    let names: Vec<_> = names.collect();
    let expected = "malformed header unknown_key algorithm signature issuer audience expired not_yet_valid \
                    tenant key epoch session";
    assert_eq!(names.join(" "), expected);
}

#[test]
fn only_what_a_key_could_mend_is_worth_a_look_up() {
    let (bench, stranger) = (Bench::new(Algorithm::ES256), Bench::new(Algorithm::ES256));
    let expected = Expected { tenant: &bench.tenant, issuer: ISSUER, audience: "api" };
    assert_eq!(expected.is_worth_a_look_up(&stranger.valid(), NOW), Ok(()), "an unknown key");
    let header = |name: &str, value: Value| {
        let mut header = bench.header();
        header[name] = value;
        bench.sign(&header, &changed(|_| ()))
    };
    let claim =
        |name: &str, value: Value| bench.sign(&bench.header(), &changed(|claims| claims[name] = value));
    for (token, refusal) in [
        ("x".to_owned(), Refusal::Malformed),
        (header("typ", json!("JWT")), Refusal::Header),
        (header("kid", json!("../../x")), Refusal::UnknownKey),
        (header("alg", json!("none")), Refusal::Algorithm),
        (claim("iss", json!("https://elsewhere.example")), Refusal::Issuer),
        (claim("tid", json!("globex")), Refusal::Issuer),
        (claim("aud", json!(["other"])), Refusal::Audience),
        (claim("exp", json!(1)), Refusal::Expired),
    ] {
        assert_eq!(expected.is_worth_a_look_up(&token, NOW), Err(refusal), "{token}");
    }
}

#[test]
fn a_scope_is_a_whole_word() {
    let mut claims = claims();
    claims.scope = "orders:read orders:write".to_owned();
    assert!(claims.has_scope("orders:read") && claims.has_scope("orders:write"));
    for scope in ["orders", "orders:rea", "orders:read orders:write", "", " "] {
        assert!(!claims.has_scope(scope), "{scope:?}");
    }
}

#[test]
fn a_token_that_is_tried_out_says_what_is_wrong_with_it() {
    let bench = Bench::new(Algorithm::EdDsa);
    let keys = KeySet::of(&bench.ring, NOW);
    let token = bench.valid();
    let at = |issuer, audience, now| examine(&token, issuer, audience, &keys, now).map(|claims| claims.sub);
    assert_eq!(at(None, None, NOW), Ok(UserId::from_bytes([1; 16])));
    assert_eq!(at(Some(ISSUER), Some("api"), NOW), Ok(UserId::from_bytes([1; 16])));
    assert_eq!(at(Some("https://auth.example/t/globex"), None, NOW), Err(Refusal::Issuer));
    assert_eq!(at(Some("not an issuer"), None, NOW), Err(Refusal::Issuer));
    assert_eq!(at(None, Some("other"), NOW), Err(Refusal::Audience));
    assert_eq!(at(None, None, NOW.plus_seconds(900)), Err(Refusal::Expired));
    for text in ["", "a.b.c", "a.e30.c"] {
        assert_eq!(examine(text, None, None, &keys, NOW), Err(Refusal::Malformed), "{text}");
    }
}
