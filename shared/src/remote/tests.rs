//! The verifier over HTTP against a server that says what a test wants and counts what it is asked. Time is given, never
//! waited for.

use std::collections::HashMap;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::id::Kid;
use crate::keys::{Algorithm, PublicKey};
use crate::token::compact::{join, signing_input};
use crate::token::testing::{NOW, Signer, claims};

const KEYS: &str = "/.well-known/jwks.json";
const FEED: &str = "/.well-known/revocations";

/// What the server answers to a path, by its beginning; 404 as the service says it otherwise.
type Script = HashMap<String, String>;

/// A server of documents.
#[derive(Clone)]
struct Server {
    url: String,
    script: Arc<Mutex<Script>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            script: Arc::default(),
            asked: Arc::default(),
        };
        tokio::spawn({
            let server = server.clone();
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(server.clone().serve(stream));
                }
            }
        });
        server
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read_exact(&mut byte).await.is_err() {
                return;
            }
            request.extend(byte);
        }
        let text = String::from_utf8(request).unwrap();
        let path = text.split(' ').nth(1).unwrap().to_owned();
        let answer = self.script.lock().unwrap().iter().find_map(|(begin, answer)| {
            path.split('?').next().unwrap().ends_with(begin.as_str()).then(|| answer.clone())
        });
        self.asked.lock().unwrap().push(path);
        let tag = text.lines().find_map(|line| line.strip_prefix("if-none-match: "));
        let answer = match answer {
            Some(answer) if tag.is_some_and(|tag| answer.contains(&format!("etag: {tag}\r\n"))) => {
                "HTTP/1.1 304 Not Modified\r\ncache-control: max-age=300\r\n\r\n".to_owned()
            }
            Some(answer) => answer,
            None => answer_with("404 Not Found", "", r#"{"error":"invalid_request"}"#),
        };
        if answer.is_empty() {
            // Silence until the client has had enough.
            let _end = stream.read(&mut [0]).await;
        }
        let _sent = stream.write_all(answer.as_bytes()).await;
    }

    fn say(&self, path: &str, headers: &str, document: &Value) {
        self.answer(path, &answer_with("200 OK", headers, &document.to_string()));
    }

    fn answer(&self, path: &str, answer: &str) {
        self.script.lock().unwrap().insert(path.to_owned(), answer.to_owned());
    }

    /// How often a path with this end was asked for since the last time.
    fn asked_for(&self, path: &str) -> usize {
        let mut asked = self.asked.lock().unwrap();
        let (these, others): (Vec<_>, Vec<_>) =
            asked.drain(..).partition(|asked| asked.split('?').next().unwrap().ends_with(path));
        *asked = others;
        these.len()
    }
}

fn answer_with(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

/// A key of the tenant `acme`.
struct Key {
    signer: Signer,
    kid: Kid,
    jwk: Value,
}

impl Key {
    fn new() -> Self {
        let (signer, spki) = Signer::generate(Algorithm::EdDsa);
        let public = PublicKey::from_spki(Algorithm::EdDsa, &spki).unwrap();
        let kid = public.thumbprint(Algorithm::EdDsa).unwrap();
        let jwk = serde_json::to_value(public.jwk(&kid, Algorithm::EdDsa).unwrap()).unwrap();
        Self { signer, kid, jwk }
    }

    fn token(&self, server: &Server, tenant: &str) -> String {
        let mut claims = claims();
        claims.iss = format!("{}/t/{tenant}", server.url);
        claims.tid = tenant.parse().unwrap();
        claims.exp = NOW.seconds() + 3600;
        let input = signing_input(Algorithm::EdDsa, &self.kid, &claims).unwrap();
        join(&input, &self.signer.sign(input.as_bytes()))
    }
}

fn set(keys: &[&Key]) -> Value {
    json!({ "keys": keys.iter().map(|key| key.jwk.clone()).collect::<Vec<_>>() })
}

fn after(seconds: u64) -> Timestamp {
    NOW.plus_seconds(seconds)
}

async fn ask(remote: &Remote, token: &str, now: Timestamp) -> &'static str {
    ask_at(remote, "acme", token, now).await
}

async fn ask_at(remote: &Remote, tenant: &str, token: &str, now: Timestamp) -> &'static str {
    match remote.verify_at(&tenant.parse().unwrap(), "api", token, now).await {
        Ok(_) => "good",
        Err(denied) => denied.name(),
    }
}

fn remote(server: &Server, settings: Settings) -> Remote {
    Remote::new(&server.url, settings).unwrap()
}

#[tokio::test]
async fn keys_are_fetched_once_however_many_ask_and_again_when_they_are_old() {
    let (server, key) = (Server::start().await, Key::new());
    server.say(KEYS, "cache-control: public, max-age=100\r\n", &set(&[&key]));
    let remote = remote(&server, Settings::default());
    let token = key.token(&server, "acme");
    let answers = join_all((0..50).map(|_| ask(&remote, &token, after(0)))).await;
    assert!(answers.iter().all(|answer| *answer == "good"), "{answers:?}");
    assert_eq!(server.asked_for(KEYS), 1);
    assert_eq!((ask(&remote, &token, after(99)).await, server.asked_for(KEYS)), ("good", 0));
    assert_eq!((ask(&remote, &token, after(100)).await, server.asked_for(KEYS)), ("good", 1));
    assert_eq!((ask(&remote, &token, after(50)).await, server.asked_for(KEYS)), ("good", 1), "set back");
}

#[tokio::test]
async fn an_unchanged_set_is_not_sent_again_and_a_changed_one_takes_its_place() {
    let (server, old, new) = (Server::start().await, Key::new(), Key::new());
    server.say(KEYS, "cache-control: max-age=300\r\netag: \"a\"\r\n", &set(&[&old]));
    let remote = remote(&server, Settings::default());
    let (of_old, of_new) = (old.token(&server, "acme"), new.token(&server, "acme"));
    assert_eq!(ask(&remote, &of_old, after(0)).await, "good");
    assert_eq!((ask(&remote, &of_old, after(300)).await, server.asked_for(KEYS)), ("good", 2));
    server.say(KEYS, "cache-control: max-age=300\r\netag: \"b\"\r\n", &set(&[&new]));
    assert_eq!(ask(&remote, &of_new, after(600)).await, "good");
    assert_eq!(ask(&remote, &of_old, after(600)).await, "unknown_key", "a key that left the set");
}

#[tokio::test]
async fn made_up_keys_cost_one_fetch_per_cool_down_and_hold_no_new_key_back_for_longer() {
    let (server, key) = (Server::start().await, Key::new());
    server.say(KEYS, "cache-control: max-age=300\r\n", &set(&[&key]));
    let remote = remote(&server, Settings::default());
    let token = key.token(&server, "acme");
    assert_eq!(ask(&remote, &token, after(0)).await, "good");
    let strangers: Vec<String> = (0..100).map(|_| Key::new().token(&server, "acme")).collect();
    assert_eq!(server.asked_for(KEYS), 1);
    for second in 1..=60 {
        for stranger in &strangers {
            assert_eq!(ask(&remote, stranger, after(second)).await, "unknown_key");
        }
        assert_eq!(ask(&remote, &token, after(second)).await, "good", "undisturbed");
    }
    assert_eq!(server.asked_for(KEYS), 2, "6,000 made-up keys in 60 s");
    // A key that signs without having been published before, in the midst of it.
    let new = Key::new();
    let of_new = new.token(&server, "acme");
    server.say(KEYS, "cache-control: max-age=300\r\n", &set(&[&key, &new]));
    assert_eq!(ask(&remote, &strangers[0], after(61)).await, "unknown_key", "spends the fetch");
    assert_eq!(ask(&remote, &of_new, after(61)).await, "good", "that fetch brought it");
    // And one that is published in time is fetched when the set is old, whatever strangers spent.
    let next = Key::new();
    server.say(KEYS, "cache-control: max-age=300\r\n", &set(&[&key, &new, &next]));
    assert_eq!(ask(&remote, &strangers[1], after(62)).await, "unknown_key");
    assert_eq!(ask(&remote, &strangers[2], after(360)).await, "unknown_key");
    assert_eq!(ask(&remote, &next.token(&server, "acme"), after(361)).await, "good");
}

#[tokio::test]
async fn rubbish_and_tokens_of_others_cause_no_fetch() {
    let (server, key) = (Server::start().await, Key::new());
    server.say(KEYS, "", &set(&[&key]));
    let remote = remote(&server, Settings::default());
    let good = key.token(&server, "acme");
    for (token, answer) in [
        ("rubbish".to_owned(), "malformed"),
        (key.token(&server, "globex"), "issuer"),
        ("A".repeat(65_536), "malformed"),
        (good.replace('.', ".."), "malformed"),
    ] {
        assert_eq!(ask(&remote, &token, after(0)).await, answer);
    }
    assert_eq!(ask(&remote, &good, after(3600)).await, "expired");
    assert_eq!(server.asked_for(KEYS), 0);
    assert_eq!(ask(&remote, &good, after(0)).await, "good");
}

#[tokio::test]
async fn good_keys_outlive_a_failing_server_for_so_long_and_no_longer() {
    let (server, key) = (Server::start().await, Key::new());
    server.say(KEYS, "cache-control: max-age=100, stale-if-error=1000\r\n", &set(&[&key]));
    let remote = remote(&server, Settings { stale_if_error_seconds: 500, ..Settings::default() });
    let token = key.token(&server, "acme");
    assert_eq!(ask(&remote, &token, after(0)).await, "good");
    for broken in [
        answer_with("500 Internal Server Error", "", "{}"),
        answer_with("302 Found", &format!("location: {}/elsewhere\r\n", server.url), ""),
        answer_with("404 Not Found", "", r#"{"message":"Not Found"}"#),
        answer_with("200 OK", "", "<html>"),
        answer_with("200 OK", "", &"x".repeat(300_000)),
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort".to_owned(),
        "no HTTP at all\r\n\r\n".to_owned(),
    ] {
        server.answer(KEYS, &broken);
        assert_eq!(ask(&remote, &token, after(598)).await, "good", "{broken:.40}");
        assert_eq!(ask(&remote, &token, after(600)).await, "keys", "{broken:.40}");
    }
    assert_eq!(server.asked_for("/elsewhere"), 0, "no redirect is followed");
    server.say(KEYS, "", &set(&[&key]));
    assert_eq!(ask(&remote, &token, after(601)).await, "good");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_not_waited_for() {
    let (server, key) = (Server::start().await, Key::new());
    server.answer(KEYS, "");
    let remote = remote(&server, Settings { timeout_seconds: 1, ..Settings::default() });
    let token = key.token(&server, "acme");
    let answers = join_all((0..20).map(|_| ask(&remote, &token, after(0)))).await;
    assert!(answers.iter().all(|answer| *answer == "keys"), "{answers:?}");
    assert_eq!(server.asked_for(KEYS), 1, "who waited does not begin anew");
}

#[tokio::test]
async fn names_that_are_no_tenants_are_remembered_and_limited() {
    let (server, key) = (Server::start().await, Key::new());
    let remote = remote(&server, Settings { unknown_tenants: 10, ..Settings::default() });
    let token = key.token(&server, "acme");
    assert_eq!(ask(&remote, &token, after(0)).await, "tenant");
    assert_eq!((ask(&remote, &token, after(29)).await, server.asked_for(KEYS)), ("tenant", 1));
    server.say(&format!("/t/acme{KEYS}"), "cache-control: max-age=300\r\n", &set(&[&key]));
    assert_eq!(ask(&remote, &token, after(30)).await, "good", "created meanwhile");
    let mut answers = Vec::new();
    for n in 0..100 {
        let name = format!("made-up-{n}");
        answers.push(ask_at(&remote, &name, &key.token(&server, &name), after(31)).await);
    }
    assert_eq!(answers.iter().filter(|answer| **answer == "tenant").count(), 10);
    assert_eq!(answers.iter().filter(|answer| **answer == "unknown_tenants").count(), 90);
    assert_eq!(server.asked_for(KEYS), 11, "and the tenant's own");
    assert_eq!(ask(&remote, &token, after(31)).await, "good", "undisturbed");
    assert_eq!(ask_at(&remote, "later", &key.token(&server, "later"), after(61)).await, "tenant");
}

fn feed(server: &Server, keys: &[&Key], revoked: &Value, next: &str) -> Value {
    let kids: Vec<_> = keys.iter().map(|key| key.kid.as_str()).collect();
    let issuer = format!("{}/t/acme", server.url);
    json!({ "issuer": issuer, "epoch": 1, "keys": kids, "revoked": revoked, "next": next, "more": false })
}

fn following(on_trouble: OnTrouble) -> Settings {
    Settings { polling: Polling::every_two_seconds(on_trouble), ..Settings::default() }
}

#[tokio::test]
async fn the_feed_is_asked_every_two_seconds_and_what_it_says_counts_at_once() {
    let at = NOW.seconds();
    let sid = "02".repeat(16);
    let sub = format!("usr_{}", "01".repeat(16));
    for (revoked, answer) in [
        (json!([{"at": at, "kind": "session", "sid": sid}]), "session"),
        (json!([{"at": at, "kind": "session", "sid": "03".repeat(16)}]), "good"),
        (json!([{"at": at, "kind": "user", "sub": sub, "epoch": 3}]), "epoch"),
        (json!([{"at": at, "kind": "user", "sub": sub, "epoch": 2}]), "good"),
        (json!([{"at": at, "kind": "tenant", "epoch": 2}]), "epoch"),
        (json!([{"at": at, "kind": "tenant", "epoch": 1}]), "good"),
    ] {
        let (server, key) = (Server::start().await, Key::new());
        server.say(KEYS, "cache-control: max-age=300\r\n", &set(&[&key]));
        server.say(FEED, "etag: \"a\"\r\n", &feed(&server, &[&key], &json!([]), "60000"));
        let remote = remote(&server, following(OnTrouble::Refuse));
        let token = key.token(&server, "acme");
        assert_eq!(ask(&remote, &token, after(0)).await, "good");
        server.say(FEED, "etag: \"b\"\r\n", &feed(&server, &[&key], &revoked, "60000"));
        assert_eq!((ask(&remote, &token, after(1)).await, server.asked_for(FEED)), ("good", 1));
        assert_eq!((ask(&remote, &token, after(2)).await, server.asked_for(FEED)), (answer, 1), "{revoked}");
        assert_eq!((ask(&remote, &token, after(4)).await, server.asked_for(FEED)), (answer, 1), "unchanged");
    }
}

#[tokio::test]
async fn a_key_that_leaves_the_feed_is_dropped_and_one_that_enters_is_fetched() {
    let (server, old, new) = (Server::start().await, Key::new(), Key::new());
    server.say(KEYS, "cache-control: max-age=300\r\n", &set(&[&old]));
    server.say(FEED, "", &feed(&server, &[&old], &json!([]), "60000"));
    let remote = remote(&server, following(OnTrouble::Refuse));
    let (of_old, of_new) = (old.token(&server, "acme"), new.token(&server, "acme"));
    assert_eq!(ask(&remote, &of_old, after(0)).await, "good");
    // Strangers spend the cool-down.
    assert_eq!(ask(&remote, &Key::new().token(&server, "acme"), after(1)).await, "unknown_key");
    server.say(KEYS, "cache-control: max-age=300\r\n", &set(&[&old, &new]));
    server.say(FEED, "", &feed(&server, &[&new], &json!([]), "60000"));
    assert_eq!(ask(&remote, &of_new, after(3)).await, "good", "fetched by way of the feed");
    assert_eq!(ask(&remote, &of_old, after(6)).await, "unknown_key", "though the set still has it");
    let revoked = json!([{"at": NOW.seconds(), "kind": "key", "kid": new.kid}]);
    server.say(FEED, "", &feed(&server, &[&old, &new], &revoked, "60000"));
    assert_eq!(ask(&remote, &of_new, after(8)).await, "key");
}

#[tokio::test]
async fn a_silent_feed_closes_or_opens_by_choice_and_an_unserved_tenant_is_refused_either_way() {
    for (on_trouble, answer) in [(OnTrouble::Refuse, "revocations"), (OnTrouble::Accept, "good")] {
        let (server, key) = (Server::start().await, Key::new());
        server.say(KEYS, "cache-control: max-age=300\r\n", &set(&[&key]));
        server.say(FEED, "", &feed(&server, &[&key], &json!([]), "60000"));
        let remote = remote(&server, following(on_trouble));
        let token = key.token(&server, "acme");
        assert_eq!(ask(&remote, &token, after(0)).await, "good");
        for broken in [
            answer_with("503 Service Unavailable", "", "{}"),
            answer_with(
                "200 OK",
                "",
                r#"{"issuer":"https://elsewhere.example","epoch":9,"keys":[],"revoked":[],"next":"0","more":false}"#,
            ),
            answer_with("200 OK", "", "{}"),
        ] {
            server.answer(FEED, &broken);
            assert_eq!(ask(&remote, &token, after(3)).await, "good", "{on_trouble:?}: young enough");
            assert_eq!(ask(&remote, &token, after(5)).await, answer, "{on_trouble:?}: {broken:.40}");
        }
        server.answer(FEED, &answer_with("404 Not Found", "", r#"{"error":"invalid_request"}"#));
        assert_eq!(ask(&remote, &token, after(7)).await, "tenant", "{on_trouble:?}");
    }
}

#[tokio::test]
async fn all_pages_are_read_and_more_than_memory_holds_is_trouble() {
    let (server, key) = (Server::start().await, Key::new());
    server.say(KEYS, "cache-control: max-age=600\r\n", &set(&[&key]));
    let sids = |range: std::ops::Range<u8>| -> Value {
        range
            .map(|n| json!({"at": NOW.seconds(), "kind": "session", "sid": format!("{n:02x}").repeat(16)}))
            .collect()
    };
    let mut first = feed(&server, &[&key], &sids(10..20), "60000.AbC-_9012345");
    first["more"] = json!(true);
    server.say(FEED, "", &first);
    let polling = |on_trouble| Polling::On { poll_seconds: 2, delay_seconds: 5, revocations: 15, on_trouble };
    let closed = remote(&server, Settings { polling: polling(OnTrouble::Refuse), ..Settings::default() });
    let open = remote(&server, Settings { polling: polling(OnTrouble::Accept), ..Settings::default() });
    let token = key.token(&server, "acme");
    let pages = server.clone();
    // The second page, once the first was asked for.
    let last = feed(&server, &[&key], &sids(0..5), "60000");
    let turn = tokio::spawn(async move {
        while pages.asked.lock().unwrap().iter().filter(|path| path.contains(FEED)).count() < 1 {
            tokio::task::yield_now().await;
        }
        pages.say(FEED, "", &last);
    });
    assert_eq!(ask(&closed, &token, after(0)).await, "session", "it stands on the last page");
    turn.await.unwrap();
    server.say(FEED, "", &feed(&server, &[&key], &sids(10..30), "60000"));
    assert_eq!(ask(&closed, &token, after(2)).await, "too_many_revocations");
    assert_eq!(ask(&open, &token, after(2)).await, "good");
    server.say(FEED, "", &feed(&server, &[&key], &sids(0..5), "60000"));
    assert_eq!(ask(&closed, &token, after(4)).await, "too_many_revocations", "what was left out is not back");
    assert_eq!(ask(&closed, &token, after(302)).await, "session", "all of it is read anew");
}

#[test]
fn only_a_url_that_can_be_trusted_is_taken() {
    for url in ["http://auth.example", "ftp://x", "https://auth.example/", "http://localhost:1@evil.example"]
    {
        assert!(Remote::new(url, Settings::default()).is_err(), "{url}");
    }
}
