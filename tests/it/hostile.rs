//! Input that nobody sends by mistake: 4xx, no 5xx, no panic, no echo, and the functions live on.

use leasehold_tests::http::{Call, raw};
use leasehold_tests::stack::shared;
use leasehold_tests::tenant::{APP, PASSWORD, Tenant, USER};
use leasehold_tests::token::hex;
use serde_json::json;

use crate::support::together;

/// What an answer must never repeat.
const CANARY: &str = "zq9canary7xk";

/// The routes that take a body, with the content types they take.
const BODIES: &[(&str, &[&str])] = &[
    ("/login", &["application/json"]),
    ("/password", &["application/json"]),
    ("/token", &["application/x-www-form-urlencoded"]),
    ("/refresh", &["application/json"]),
    ("/confirm", &["application/json"]),
    ("/revoke", &["application/json", "application/x-www-form-urlencoded"]),
];

#[track_caller]
fn is_refused(reply: &leasehold_tests::http::Reply, what: &str) {
    assert!((400..500).contains(&reply.status), "{what}: {reply}");
    assert!(!reply.text().contains(CANARY), "{what} is echoed: {reply}");
    for (name, value) in &reply.headers {
        assert!(!String::from_utf8_lossy(value.as_bytes()).contains(CANARY), "{what} is echoed in {name}");
    }
    for leak in ["arn:", "dynamodb", "panicked", ".rs:", "T#", "EOF while", "at line"] {
        assert!(!reply.text().contains(leak), "{what}: {leak} in {reply}");
    }
}

#[tokio::test]
async fn bodies_that_are_none_are_refused() {
    let tenant = Tenant::create(shared()).await;
    let nested = format!("{}{}", "[".repeat(3000), "]".repeat(3000));
    let objects = format!("{}1{}", r#"{"a":"#.repeat(1200), "}".repeat(1200));
    let texts: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("a blank", b" ".to_vec()),
        ("half an object", format!(r#"{{"client_id":"{CANARY}""#).into_bytes()),
        ("no object", format!(r#"["{CANARY}"]"#).into_bytes()),
        ("null", b"null".to_vec()),
        ("a number", b"7".to_vec()),
        ("NaN", b"NaN".to_vec()),
        ("a member twice", format!(r#"{{"client_id":"{APP}","client_id":"{CANARY}"}}"#).into_bytes()),
        ("bytes that are no UTF-8", vec![b'{', b'"', 0xff, 0xfe, b'"', b':', b'1', b'}']),
        ("a lone surrogate", br#"{"client_id":"\ud800"}"#.to_vec()),
        ("a NUL", br#"{"client_id":"a\u0000b"}"#.to_vec()),
        ("a byte order mark", [b"\xef\xbb\xbf".as_slice(), b"{}"].concat()),
        ("two objects", b"{}{}".to_vec()),
        ("deep nesting", nested.into_bytes()),
        ("deep objects", objects.into_bytes()),
        ("a form with broken escapes", b"%zz=%&client_id=%ff%fe&token=%".to_vec()),
        ("a form of separators", b"&&&&====&&;;".to_vec()),
        ("a thousand parameters", "a=1&".repeat(1000).into_bytes()),
    ];
    for (path, types) in BODIES {
        for content_type in *types {
            for (what, body) in &texts {
                let call = Call::post(tenant.url(path)).body(content_type, body.clone());
                is_refused(&call.send(&tenant.http).await, &format!("{path} as {content_type}: {what}"));
            }
        }
    }
    tenant.login().await;
}

#[tokio::test]
async fn nesting_of_a_hundred_thousand_levels_is_refused() {
    let tenant = Tenant::create(shared()).await;
    for body in ["[".repeat(100_000), r#"{"a":"#.repeat(100_000)] {
        for (path, types) in BODIES {
            let reply = Call::post(tenant.url(path)).body(types[0], body.clone()).send(&tenant.http).await;
            is_refused(&reply, path);
            assert_eq!(reply.status, 413, "{path}: {reply}");
        }
    }
}

#[tokio::test]
async fn a_body_too_large_is_refused_as_such() {
    let tenant = Tenant::create(shared()).await;
    for (path, types) in BODIES {
        for content_type in *types {
            for size in [8 * 1024 + 1, 100_000, 1_000_000] {
                let filler = "x".repeat(size);
                let body = if content_type.contains("json") {
                    json!({"client_id": APP, "username": USER, "password": filler, "refresh_token": "x", "token": "x"})
                        .to_string()
                } else {
                    format!("client_id={APP}&grant_type=refresh_token&refresh_token=x&token={filler}")
                };
                let reply = Call::post(tenant.url(path)).body(content_type, body).send(&tenant.http).await;
                assert_eq!(reply.status, 413, "{path}, {content_type}, {size} bytes: {}", reply.status);
            }
        }
    }
}

#[tokio::test]
async fn another_content_type_is_refused_as_such() {
    let tenant = Tenant::create(shared()).await;
    let session = tenant.login().await;
    let form = format!("grant_type=refresh_token&client_id={APP}&refresh_token={}", session.refresh);
    let object = json!({"client_id": APP, "username": USER, "password": PASSWORD, "refresh_token": session.refresh,
        "new_password": "copper-Nebula 9 ticket", "token": session.refresh});
    for (path, types) in BODIES {
        let mut wrong = vec!["text/plain", "multipart/form-data; boundary=x", "application/xml", "x", CANARY];
        if !types.contains(&"application/json") {
            wrong.push("application/json");
        }
        if !types.contains(&"application/x-www-form-urlencoded") {
            wrong.push("application/x-www-form-urlencoded");
        }
        for content_type in wrong {
            let body = if *path == "/token" { form.clone() } else { object.to_string() };
            let reply = Call::post(tenant.url(path)).body(content_type, body).send(&tenant.http).await;
            is_refused(&reply, path);
            assert_eq!(reply.status, 415, "{path} as {content_type}: {reply}");
        }
    }
    // A charset is no other type.
    let call = Call::post(tenant.url("/refresh"));
    let object = json!({"client_id": APP, "refresh_token": session.refresh}).to_string();
    call.body("application/json; charset=utf-8", object).send(&tenant.http).await.expect(200);
}

#[tokio::test]
async fn methods_and_paths_that_do_not_exist_get_the_gateways_404() {
    let tenant = Tenant::create(shared()).await;
    let paths = BODIES.iter().map(|(path, _)| *path).chain(["/.well-known/jwks.json"]);
    for path in paths {
        for method in ["PUT", "PATCH", "DELETE", "TRACE", "BREW"] {
            let reply = Call::new(method, tenant.url(path)).send(&tenant.http).await;
            is_refused(&reply, path);
            assert_eq!(reply.status, 404, "{method} {path}: {reply}");
        }
    }
    let nested = "/a".repeat(2000);
    for path in
        ["/", "/nothing", "/token/", "/token/x", "//token", "/Token", "/.well-known", "/admin", &*nested]
    {
        let reply = Call::post(tenant.url(path)).json(&json!({})).send(&tenant.http).await;
        is_refused(&reply, path);
    }
}

#[tokio::test]
async fn no_input_is_echoed() {
    let tenant = Tenant::create(shared()).await;
    let base = shared().base_url();
    let calls = [
        Call::post(tenant.url("/token")).form(&[
            ("grant_type", CANARY),
            ("client_id", CANARY),
            (CANARY, CANARY),
        ]),
        Call::post(tenant.url("/token")).form(&[
            ("grant_type", "refresh_token"),
            ("client_id", APP),
            ("refresh_token", CANARY),
        ]),
        Call::post(tenant.url("/login"))
            .json(&json!({"client_id": APP, "username": CANARY, "password": CANARY, CANARY: CANARY})),
        Call::post(tenant.url("/login"))
            .json(&json!({"client_id": CANARY, "username": USER, "password": PASSWORD})),
        Call::post(tenant.url("/revoke")).form(&[("client_id", CANARY), ("token", CANARY)]),
        Call::get(tenant.url("/sessions")).bearer(CANARY),
        Call::get(tenant.url(&format!("/sessions?{CANARY}={CANARY}"))),
        Call::delete(tenant.url(&format!("/sessions/{CANARY}"))),
        Call::get(format!("{base}/t/{CANARY}/.well-known/jwks.json")),
        Call::post(format!("{base}/t/{CANARY}/login"))
            .json(&json!({"client_id": APP, "username": USER, "password": PASSWORD})),
        Call::post(format!("{base}/{CANARY}")),
    ];
    for call in calls {
        let what = format!("{call:?}");
        is_refused(&call.header("x-client-version", CANARY).send(&tenant.http).await, &what);
    }
}

#[tokio::test]
async fn header_lines_that_lie_or_shout_do_no_harm() {
    let tenant = Tenant::create(shared()).await;
    let session = tenant.login().await;
    let long = "v".repeat(3000);
    for (name, value) in [
        ("x-client-version", long.as_str()),
        ("x-client-version", "a/b\u{7f}"),
        ("x-client-version", "shop-ios/5.4.1; drop table"),
        ("x-client-version", "\u{1b}[31mred\u{1b}[0m"),
        ("x-client-version", "{{7*7}}"),
        ("x-forwarded-for", "not an address"),
        ("cookie", "a=b; c=d; __Host-x=y"),
        ("authorization", "Negotiate abc"),
        ("content-encoding", "gzip"),
        ("accept", "application/xml"),
        ("traceparent", "00-zz"),
        ("x-amzn-trace-id", "Root=not-a-trace"),
    ] {
        let call = tenant.refresh_call(&session.refresh).header(name, value);
        let Ok(reply) = call.try_send(&tenant.http).await else { continue };
        assert!(reply.status < 500, "{name}: {value}: {reply}");
    }
    let huge =
        Call::get(tenant.url("/sessions")).header("x-filler", "h".repeat(11_000)).send(&tenant.http).await;
    is_refused(&huge, "headers over 10,240 bytes");
    tenant.rotate(&session.refresh).await;
}

#[tokio::test]
async fn bytes_that_are_hardly_http_do_no_harm() {
    let gateway = shared().gateway();
    let tenant = Tenant::create(shared()).await;
    let post = format!("POST /t/{}/token HTTP/1.1\r\nhost: x\r\n", tenant.name);
    let smuggled = format!(
        "{post}content-type: application/x-www-form-urlencoded\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n"
    );
    let two_lengths = format!("{post}content-length: 1\r\ncontent-length: 2\r\n\r\nab");
    let binary: Vec<u8> = (0..=255).collect();
    for bytes in [
        b"\r\n\r\n".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        b"GET /\0 HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"GET http://169.254.169.254/latest/meta-data HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
            .to_vec(),
        b"CONNECT 127.0.0.1:1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_vec(),
        format!("{post}: no name\r\n\r\n").into_bytes(),
        format!("{post}content-length: -1\r\n\r\n").into_bytes(),
        two_lengths.into_bytes(),
        smuggled.into_bytes(),
        binary,
    ] {
        let what = hex(&bytes[..bytes.len().min(40)]);
        let answer = raw(gateway, &bytes).await;
        assert!(!answer.starts_with("HTTP/1.1 5") && !answer.starts_with("HTTP/1.1 2"), "{what}: {answer}");
    }
    tenant.login().await;
}

/// Found by fuzzing: `lambda_http` makes a URL of the Host header, and panicked if it was none.
#[tokio::test]
async fn a_host_that_is_none_is_nobodys_concern() {
    let tenant = Tenant::create(shared()).await;
    for host in ["auth.exa}ple", "a b", "a<b", "[::1", "x:99999", "%zz", "x#y", "", "\u{e4}.example"] {
        let request = format!(
            "GET /t/{}/.well-known/jwks.json HTTP/1.1\r\nhost: {host}\r\nx-forwarded-proto: ht}}tp\r\nconnection: close\r\n\r\n",
            tenant.name
        );
        let answer = raw(shared().gateway(), request.as_bytes()).await;
        assert!(
            answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 400"),
            "{host:?}: {answer}"
        );
    }
    assert!(!shared().logs().contains("panicked"), "a function panicked");
}

#[tokio::test]
async fn a_caller_who_hangs_up_harms_nobody() {
    use tokio::io::AsyncWriteExt as _;
    let tenant = Tenant::create(shared()).await;
    let body = json!({"client_id": APP, "username": USER, "password": PASSWORD}).to_string();
    let request = format!(
        "POST /t/{}/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        tenant.name,
        body.len()
    );
    for part in [10, request.len() - 5, request.len()] {
        let mut stream =
            tokio::net::TcpStream::connect(shared().gateway()).await.expect("the gateway listens");
        stream.write_all(&request.as_bytes()[..part]).await.expect("it reads");
        drop(stream);
    }
    tenant.login().await;
}

#[tokio::test]
async fn random_bytes_as_any_token_do_no_harm() {
    let tenant = Tenant::create(shared()).await;
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let inputs: Vec<String> = (0..60)
        .map(|i| {
            let bytes: Vec<u8> = (0..next() % 200).map(|_| next().to_le_bytes()[0]).collect();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if i % 2 == 0 { format!("lhr_{text}") } else { text }
        })
        .collect();
    for input in inputs {
        let refresh = tenant.refresh(&input).await;
        assert_eq!(refresh.status, 400, "{input:?}: {refresh}");
        let confirm = tenant.confirm(&input).await;
        assert!(matches!(confirm.status, 204 | 400), "{input:?}: {confirm}");
        let revoke = tenant.revoke(&input).await;
        assert!(matches!(revoke.status, 200 | 400), "{input:?}: {revoke}");
    }
}

#[tokio::test]
async fn no_function_panics_or_dies_of_bad_input() {
    let tenant = Tenant::create(shared()).await;
    let functions = ["login", "refresh", "revoke", "jwks"];
    let before: Vec<Vec<u32>> = functions.iter().map(|name| shared().instances_of(name)).collect();
    assert!(before.iter().all(|pids| pids.len() == 3), "a process per instance: {before:?}");
    let replies = together(60, |i| {
        let tenant = tenant.clone();
        async move {
            let (path, types) = BODIES[i % BODIES.len()];
            let body = format!("{{\"client_id\":\"{}\"", "\u{fffd}".repeat(i));
            Call::post(tenant.url(path)).body(types[0], body).send(&tenant.http).await
        }
    })
    .await;
    for reply in replies {
        is_refused(&reply, "one of many at once");
    }
    let after: Vec<Vec<u32>> = functions.iter().map(|name| shared().instances_of(name)).collect();
    assert_eq!(before, after, "a function was restarted");
    assert!(!shared().logs().contains("panicked"), "a function panicked");
}
