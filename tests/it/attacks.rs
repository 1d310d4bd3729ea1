//! The known attacks on verifiers of JWTs, with live tokens, at every place that verifies. Where the signature is not the
//! point it is the tenant's own and good. Beside each place stands a token that it takes.

use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use leasehold::clock;
use leasehold::remote::{Remote, Settings};
use leasehold::token::KeySet;
use leasehold::token::verify::Expected;
use leasehold_tests::http::Call;
use leasehold_tests::stack::shared;
use leasehold_tests::tenant::{BACKEND, Tenant, sample_api};
use leasehold_tests::token::Jwt;
use serde_json::{Value, json};

use crate::forge::Forger;
use crate::support::report;

/// The header of an Ed25519 public key in DER, and of one on P-256.
const ED25519_SPKI: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// One attack: what it is, and the token.
type Attack = (String, String);

/// A line feed ends a header: no client can send one within.
fn fits_a_header(token: &str) -> bool {
    !token.contains(char::is_control)
}

struct World {
    tenant: Tenant,
    forger: Forger,
    good: Jwt,
    /// As it was issued.
    issued: String,
    admin: String,
}

impl World {
    async fn new(algorithm: &str) -> Self {
        let tenant = Tenant::create_with(shared(), algorithm, json!({})).await;
        let session = tenant.login_for("openid orders:read").await;
        Self {
            forger: Forger::of(shared(), &tenant).await,
            good: session.jwt(),
            issued: session.access,
            admin: tenant.admin().await.token,
            tenant,
        }
    }

    fn with(&self, change: impl FnOnce(&mut Jwt)) -> Jwt {
        let mut jwt = self.good.clone();
        change(&mut jwt);
        jwt
    }

    /// The statuses of every place that verifies, for an access token; 200 where it is taken.
    async fn statuses(&self, remote: &Remote, token: &str) -> Vec<(&'static str, u16)> {
        let Self { tenant, .. } = self;
        let get = |path: &str| Call::get(tenant.url(path)).bearer(token).send(&tenant.http);
        let call = Call::post(tenant.url("/introspect")).basic(BACKEND, &tenant.secret);
        let told = call.form(&[("token", token)]).send(&tenant.http).await;
        let introspected = match told.status {
            200 if told.json()["active"] == true => 200,
            200 => {
                assert_eq!(told.text(), r#"{"active":false}"#);
                401
            }
            other => other,
        };
        let id = tenant.name.parse().expect("a tenant id");
        let elsewhere = remote.verify(&id, &sample_api(&tenant.name), token).await;
        let mut statuses =
            vec![("introspection", introspected), ("elsewhere", if elsewhere.is_ok() { 200 } else { 401 })];
        if fits_a_header(token) {
            statuses.extend([
                ("the authorizer", get("/sample/orders").await.status),
                ("the annotating authorizer", get("/sample/me").await.status),
                ("userinfo", get("/userinfo").await.status),
                ("sessions", get("/sessions").await.status),
            ]);
        }
        statuses
    }
}

/// Claims and headers that the service would not issue, each properly signed, and what can be made of a good token.
async fn signed(world: &World, other: &World) -> Vec<Attack> {
    let mut attacks = Vec::new();
    for (what, jwt) in headers(world).await.into_iter().chain(claims(world, other)) {
        attacks.push((what, world.forger.sign(&jwt).await));
    }
    attacks.extend(texts(world).await);
    attacks.extend(spellings(world, other));
    attacks
}

/// Headers that the service would not issue.
async fn headers(world: &World) -> Vec<(String, Jwt)> {
    let issuer = &world.tenant.issuer;
    let key = world.tenant.jwks().await["keys"][0].clone();
    let mut jwts: Vec<(String, Jwt)> = Vec::new();
    let mut add = |what: &str, jwt: Jwt| jwts.push((what.to_owned(), jwt));
    for (name, value) in [
        ("jwk", key.clone()),
        ("jku", json!(format!("{issuer}/.well-known/jwks.json"))),
        ("x5u", json!("https://evil.example/chain.pem")),
        ("x5c", json!(["MIIB"])),
        ("crit", json!(["b64"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("enc", json!("A256GCM")),
        ("cty", json!("JWT")),
    ] {
        add(&format!("a header with {name}"), world.with(|jwt| jwt.header[name] = value));
    }
    for typ in ["JWT", "jwt", "at+JWT ", "dpop+jwt", "logout+jwt", "id+jwt", "application/jwt", ""] {
        add(&format!("typ {typ:?}"), world.with(|jwt| jwt.header["typ"] = json!(typ)));
    }
    for alg in
        ["none", "None", "NONE", "nOnE", "HS256", "HS512", "RS256", "ES256", "PS256", "Ed25519", "eddsa", ""]
    {
        add(&format!("alg {alg:?}"), world.with(|jwt| jwt.header["alg"] = json!(alg)));
    }
    for kid in ["", "../../dev/null", "' OR 1=1 --", "A", &"A".repeat(43), &"A".repeat(1500)] {
        add(&format!("kid {kid:.20?}"), world.with(|jwt| jwt.header["kid"] = json!(kid)));
    }
    for name in ["typ", "alg", "kid"] {
        add(
            &format!("no {name}"),
            world.with(|jwt| drop(jwt.header.as_object_mut().expect("a header").remove(name))),
        );
    }
    jwts
}

/// Claims that the service would not issue.
fn claims(world: &World, other: &World) -> Vec<(String, Jwt)> {
    let issuer = world.tenant.issuer.clone();
    let exp = world.good.claims["exp"].as_i64().expect("exp");
    let mut jwts: Vec<(String, Jwt)> = Vec::new();
    let mut add = |what: &str, jwt: Jwt| jwts.push((what.to_owned(), jwt));
    for iss in [
        json!(format!("{issuer}/")),
        json!(issuer.to_uppercase()),
        json!(issuer.replace("http://", "https://")),
        json!(issuer.replace("http://", "HTTP://")),
        json!(format!("{issuer}x")),
        json!(&issuer[..issuer.len() - 1]),
        json!(format!("{issuer}#")),
        json!(format!(" {issuer}")),
        json!([issuer]),
        json!({"iss": issuer}),
        json!(other.tenant.issuer),
        json!(null),
    ] {
        add(&format!("iss {iss}"), world.with(|jwt| jwt.claims["iss"] = iss));
    }
    for value in [
        json!(exp.to_string()),
        json!(9_999_999_999.5),
        json!(1e300),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(-1),
        json!(0),
        json!(exp - 100_000),
        json!(exp + 100_000),
        json!(null),
        json!(true),
        json!([exp]),
    ] {
        add(&format!("exp {value}"), world.with(|jwt| jwt.claims["exp"] = value));
    }
    for (name, value) in [
        ("nbf", json!(exp)),
        ("nbf", json!("0")),
        ("iat", json!(exp + 10_000)),
        ("iat", json!(1.5)),
        ("tid", json!(other.tenant.name)),
        ("tid", json!("")),
        ("aud", json!(["https://elsewhere.example"])),
        ("aud", json!(sample_api(&world.tenant.name))),
        ("aud", json!([])),
        ("sub", json!("shop-app")),
        ("sid", json!("x")),
        ("ep", json!("00.0")),
        ("ep", json!(0)),
        ("client_id", json!("usr_x")),
        ("scope", json!(["openid", "orders:read"])),
    ] {
        add(&format!("{name} {value}"), world.with(|jwt| jwt.claims[name] = value));
    }
    for name in ["iss", "sub", "aud", "client_id", "exp", "iat", "jti", "sid", "tid", "ep"] {
        add(
            &format!("without {name}"),
            world.with(|jwt| drop(jwt.claims.as_object_mut().expect("claims").remove(name))),
        );
    }
    jwts
}

/// Headers and claims that are no JSON, or not one that has one reading, each properly signed.
async fn texts(world: &World) -> Vec<Attack> {
    let mut attacks = Vec::new();
    let twice = |text: String, added: &str| text.replacen('{', added, 1);
    for (what, head, payload) in [
        (
            "alg twice",
            twice(world.good.header.to_string(), r#"{"alg":"none","#),
            world.good.claims.to_string(),
        ),
        (
            "exp twice",
            world.good.header.to_string(),
            twice(world.good.claims.to_string(), r#"{"exp":9999999999,"#),
        ),
        (
            "a custom claim twice",
            world.good.header.to_string(),
            twice(world.good.claims.to_string(), r#"{"x":1,"x":2,"#),
        ),
        ("an array for claims", world.good.header.to_string(), format!("[{}]", world.good.claims)),
        ("a token for claims", world.good.header.to_string(), json!(world.issued).to_string()),
        ("deep nesting", world.good.header.to_string(), "[".repeat(2000)),
        (
            "deep claims",
            world.good.header.to_string(),
            format!("{}1{}", r#"{"a":"#.repeat(300), "}".repeat(300)),
        ),
        ("a deep header", "[".repeat(1500), world.good.claims.to_string()),
        ("no JSON", "x".to_owned(), "y".to_owned()),
        ("a byte order mark", world.good.header.to_string(), format!("\u{feff}{}", world.good.claims)),
        (
            "UTF-16",
            world.good.header.to_string(),
            world.good.claims.to_string().chars().flat_map(|c| [c, '\0']).collect(),
        ),
    ] {
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(payload));
        attacks.push((what.to_owned(), world.forger.sign_text(&input).await));
    }
    attacks
}

/// Other forms of a token that is good.
fn spellings(world: &World, other: &World) -> Vec<Attack> {
    let mut attacks = Vec::new();
    let header = part(&world.good.header);
    // A token within a token: signed, encrypted in name, in JSON.
    let (input, signature) = world.issued.rsplit_once('.').expect("three parts");
    let payload = input.split('.').nth(1).expect("a payload");
    let json = json!({"payload": payload, "protected": header, "signature": signature});
    for (what, token) in [
        ("JSON serialization", json.to_string()),
        ("five parts", format!("{header}.AA.AA.AA.AA")),
        ("a part more", format!("{}.", world.issued)),
        ("a part less", input.to_owned()),
        ("no signature", format!("{input}.")),
        ("padding", format!("{}=", world.issued)),
        ("standard base64", world.issued.replace('-', "+").replace('_', "/") + "+/"),
        ("a line feed inside", format!("{}\n", world.issued)),
        ("another spelling of the signature", respelt(&world.issued)),
        ("64 kB", format!("{input}.{}", "A".repeat(65_536))),
        (
            "a signature of another token",
            format!("{}.{}", header, &other.issued[other.issued.find('.').expect("a dot") + 1..]),
        ),
    ] {
        attacks.push((what.to_owned(), token));
    }
    attacks
}

/// The same signature bytes with other stray bits in the last character.
fn respelt(token: &str) -> String {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = token.chars().last().and_then(|last| ALPHABET.find(last)).expect("of the alphabet");
    let stray = ALPHABET.chars().nth(last ^ 1).expect("of the alphabet");
    format!("{}{stray}", &token[..token.len() - 1])
}

/// A MAC with the public key for its secret, in every form in which libraries have taken it.
fn confused(world: &World, key: &Value) -> Vec<Attack> {
    let point = URL_SAFE_NO_PAD.decode(key["x"].as_str().expect("x")).expect("base64url");
    let der = [ED25519_SPKI, &point].concat();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", STANDARD.encode(&der));
    let secrets: Vec<(&str, Vec<u8>)> = vec![
        ("the point", point),
        ("its base64url", key["x"].as_str().expect("x").into()),
        ("DER", der.clone()),
        ("base64 of DER", STANDARD.encode(&der).into()),
        ("PEM", pem.clone().into()),
        ("PEM with a line feed", format!("{pem}\n").into()),
        ("the JWK", key.to_string().into()),
        ("nothing", Vec::new()),
    ];
    let sign = |secret: &[u8], alg: &str, algorithm| {
        let jwt = world.with(|jwt| jwt.header["alg"] = json!(alg));
        let input = format!("{}.{}", part(&jwt.header), part(&jwt.claims));
        let tag = hmac::sign(&hmac::Key::new(algorithm, secret), input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
    };
    let one = |(what, secret): &(&str, Vec<u8>)| {
        [("HS256", hmac::HMAC_SHA256), ("HS512", hmac::HMAC_SHA512), ("EdDSA", hmac::HMAC_SHA512)]
            .map(|(alg, algorithm)| (format!("{alg} by {what}"), sign(secret, alg, algorithm)))
    };
    secrets.iter().flat_map(one).collect()
}

async fn all_refuse(world: &World, remote: &Remote, attacks: &[Attack]) {
    for (what, token) in attacks {
        for (place, status) in world.statuses(remote, token).await {
            let refused = matches!(status, 400 | 401 | 403 | 413 | 431);
            // A token is not for every API: what is wrong for one alone is that one's to refuse.
            let excused = what.starts_with("scope") && ["introspection", "sessions"].contains(&place);
            assert!(refused || excused, "{place} answers {status} to {what}");
        }
    }
    for (place, status) in world.statuses(remote, &world.issued).await {
        assert_eq!(status, 200, "{place}, the control");
    }
    let admin = Call::get(world.tenant.url("/admin/keys"));
    admin.clone().bearer(&world.admin).send(&world.tenant.http).await.expect(200);
    for (what, token) in attacks.iter().filter(|(_, token)| fits_a_header(token)) {
        let status = admin.clone().bearer(token).send(&world.tenant.http).await.status;
        assert!(matches!(status, 400 | 401 | 403 | 431), "the administration answers {status} to {what}");
    }
}

#[tokio::test]
async fn no_attack_gets_a_token_through_anywhere_and_none_is_logged() {
    let (world, other) = (World::new("EdDSA").await, World::new("EdDSA").await);
    let remote = Remote::new(&shared().base_url(), Settings::default()).expect("a local address");
    let mut attacks = signed(&world, &other).await;
    let key = world.tenant.jwks().await["keys"][0].clone();
    attacks.extend(confused(&world, &key));
    // Another tenant's key under these claims, with its own id and with this tenant's.
    attacks.push(("another tenant's key".to_owned(), other.forger.sign(&world.good).await));
    let foreign = world.with(|jwt| jwt.header = other.good.header.clone());
    attacks.push(("another tenant's key and id".to_owned(), other.forger.sign(&foreign).await));
    assert!(attacks.len() > 110, "{} attacks", attacks.len());
    all_refuse(&world, &remote, &attacks).await;
    let logs = shared().logs();
    for (what, token) in &attacks {
        let tail = &token[token.len().saturating_sub(40)..];
        assert!(tail.len() < 30 || !logs.contains(tail), "{what} is logged");
    }
    report(&[format!("{} attacks refused at 7 places", attacks.len())]);
}

#[tokio::test]
async fn odd_signatures_on_p256_are_none() {
    let world = World::new("ES256").await;
    let remote = Remote::new(&shared().base_url(), Settings::default()).expect("a local address");
    let input = format!("{}.{}", part(&world.good.header), part(&world.good.claims));
    let der = world.forger.signature(&input, "ECDSA_SHA_256").await;
    let raw =
        URL_SAFE_NO_PAD.decode(world.issued.rsplit('.').next().expect("a signature")).expect("base64url");
    let order = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let (r, s) = raw.split_at(32);
    let zero = [0_u8; 32];
    let own = world.issued.rsplit_once('.').expect("three parts").0.to_owned();
    let rows: Vec<(&str, &str, Vec<u8>)> = vec![
        ("DER", &input, der),
        ("r and s of 0 (CVE-2022-21449)", &own, vec![0; 64]),
        ("r of 0", &own, [&zero, s].concat()),
        ("s of 0", &own, [r, &zero].concat()),
        ("r of the order", &own, [&order, s].concat()),
        ("s of the order", &own, [r, &order].concat()),
        ("r and s exchanged", &own, [s, r].concat()),
        ("one byte more", &own, [&raw[..], &[0]].concat()),
        ("one byte less", &own, raw[..63].to_vec()),
        ("r alone", &own, r.to_vec()),
        ("all ones", &own, vec![0xff; 64]),
        ("nothing", &own, Vec::new()),
    ];
    let attacks: Vec<Attack> = rows
        .into_iter()
        .map(|(what, input, signature)| {
            (what.to_owned(), format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
        })
        .collect();
    all_refuse(&world, &remote, &attacks).await;
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
    (0..text.len()).step_by(2).map(digit).collect()
}

#[tokio::test]
async fn no_attack_takes_twice_as_long_as_a_good_token_of_its_size() {
    let (world, other) = (World::new("EdDSA").await, World::new("EdDSA").await);
    let set = world.tenant.jwks().await;
    let keys = KeySet::read(set.to_string().as_bytes()).expect("a key set");
    let id = world.tenant.name.parse().expect("a tenant id");
    let audience = sample_api(&world.tenant.name);
    let expected = Expected { tenant: &id, issuer: &world.tenant.issuer, audience: &audience };
    let now = clock::now();
    // The shortest of many runs: what else the machine does makes a run longer and never shorter.
    let time = |token: &str| -> Duration {
        let run = || {
            let began = Instant::now();
            let _verdict = expected.verifier(&keys).verify(token, now);
            began.elapsed()
        };
        (0..200).map(|_| run()).min().expect("runs")
    };
    let mut attacks = signed(&world, &other).await;
    attacks.extend(confused(&world, &set["keys"][0]));
    let mut worst = (0.0, String::new());
    for (what, token) in &attacks {
        // A good token of the same size, as far as KMS signs one: 4,096 bytes.
        let missing = token.len().min(3900).saturating_sub(world.issued.len()) * 3 / 4;
        let padded = world.with(|jwt| jwt.claims["pad"] = json!("p".repeat(missing)));
        let control = world.forger.sign(&padded).await;
        assert!(expected.verifier(&keys).verify(&control, now).is_ok(), "the control of {what}");
        let ratio = time(token).as_secs_f64() / time(&control).as_secs_f64();
        if ratio > worst.0 {
            worst = (ratio, what.clone());
        }
    }
    report(&[format!(
        "the slowest of {} attacks takes {:.2} times a good token: {}",
        attacks.len(),
        worst.0,
        worst.1
    )]);
    assert!(worst.0 < 2.0, "{} takes {:.2} times a good token of its size", worst.1, worst.0);
}
