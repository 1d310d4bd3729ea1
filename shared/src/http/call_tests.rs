//! What a call takes from an event, and above all what it does not.

use http::header::USER_AGENT;
use serde_json::{Value, json};

use super::super::error::Refuse as _;
use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn event() -> Value {
    json!({
        "version": "2.0", "routeKey": "GET /t/{tenant}/sessions/{sid}", "rawPath": "/t/acme/sessions/00",
        "rawQueryString": "except=current&doubled=a&doubled=b",
        "queryStringParameters": {"except": "current", "doubled": "a,b"},
        "headers": {"host": "auth.example", "user-agent": "phone", "x-forwarded-for": "203.0.113.9"},
        "pathParameters": {"tenant": "acme", "sid": "00"},
        "body": "hello", "isBase64Encoded": false,
        "requestContext": {
            "accountId": "1", "apiId": "a", "stage": "$default", "requestId": "r",
            "routeKey": "GET /t/{tenant}/sessions/{sid}", "time": "01/Jan/2027:00:00:00 +0000", "timeEpoch": 1,
            "http": {"method": "GET", "path": "/t/acme/sessions/00", "protocol": "HTTP/1.1",
                     "sourceIp": "192.0.2.1", "userAgent": "phone"},
        },
    })
}

fn call(change: impl FnOnce(&mut Value)) -> Call {
    let mut event = event();
    change(&mut event);
    Call::new(lambda_http::request::from_str(&event.to_string()).unwrap(), NOW)
}

fn with(name: &str, value: &str) -> Call {
    call(|event| event["headers"][name] = json!(value))
}

#[test]
fn the_parts_of_an_event_are_where_they_belong() {
    let call = call(|_| ());
    assert_eq!(call.route, "GET /t/{tenant}/sessions/{sid}");
    assert_eq!(call.now, NOW);
    assert_eq!(call.body.expose(), b"hello");
    assert_eq!(call.parameter("sid"), Some("00"));
    assert_eq!(call.parameter("tenant"), Some("acme"));
    assert_eq!(call.parameter("other"), None);
    assert_eq!(call.header(&USER_AGENT), Some("phone"));
    assert_eq!(call.header(&AUTHORIZATION), None);
    assert_eq!(call.source.as_deref(), Some("192.0.2.1"), "not what a header says");
    assert_eq!(call.query.get("except").map(String::as_str), Some("current"));
    assert_eq!(
        call.query.get("doubled").map(String::as_str),
        Some("a,b"),
        "never the one or the other by chance"
    );
    assert_eq!(call.query.len(), 2);
}

#[test]
fn the_tenant_is_the_one_of_the_path_and_nothing_else() {
    assert_eq!(call(|_| ()).tenant(), Some("acme".parse().unwrap()));
    for header in ["x-tenant", "x-forwarded-host", "host", "x-original-url"] {
        assert_eq!(with(header, "globex").tenant(), Some("acme".parse().unwrap()), "{header}");
    }
    for odd in ["", "Acme", "acme#globex", "acme/..", "-", "acme%23", "a"] {
        assert_eq!(call(|event| event["pathParameters"]["tenant"] = json!(odd)).tenant(), None, "{odd:?}");
    }
    assert_eq!(call(|event| event["pathParameters"] = json!({})).tenant(), None);
}

#[test]
fn a_client_version_has_its_form_or_is_none() {
    let version = |text: &str| with("x-client-version", text).client_version();
    for good in
        ["shop-ios/5.4.1", "a/b", "A_b.c+d-e/0.1_2+3-4", &format!("{}/{}", "a".repeat(32), "b".repeat(32))]
    {
        assert_eq!(version(good).as_deref(), Some(good));
    }
    let (long_app, long_version) = (format!("{}/1", "a".repeat(33)), format!("a/{}", "1".repeat(33)));
    for odd in
        ["", "shop", "/1", "shop/", "shop/1/2", "shop /1", "shop/1;", "sh\u{f6}p/1", &long_app, &long_version]
    {
        assert_eq!(version(odd), None, "{odd:?}");
    }
    assert_eq!(call(|_| ()).client_version(), None);
}

#[test]
fn one_bearer_token_is_taken_and_nothing_like_it() {
    let bearer = |text: &str| with("authorization", text).bearer();
    assert_eq!(bearer("Bearer abc.def.ghi").unwrap().expose(), "abc.def.ghi");
    assert_eq!(
        bearer("bEaReR abc").unwrap().expose(),
        "abc",
        "the scheme has no case (RFC 9110 section 11.1)"
    );
    let refused = |result: Result<Secret<String>, Refusal>| result.map(|_| ()).unwrap_err();
    let missing = refused(call(|_| ()).bearer());
    assert_eq!((missing.reason, missing.reply().status().as_u16()), ("missing", 401));
    let other = refused(bearer("Basic YTpi"));
    assert_eq!((other.reason, other.reply().status().as_u16()), ("scheme", 401));
    for odd in ["Bearer", "Bearer ", "Bearer a b", "Bearer a,b", "Bearer  a", "Bearer a, Bearer b"] {
        assert_eq!(refused(bearer(odd)).reply().status().as_u16(), 400, "{odd:?}");
    }
    let mut twice = call(|event| event["headers"]["authorization"] = json!("Bearer a"));
    twice.headers.append(AUTHORIZATION, "Bearer b".parse().unwrap());
    assert_eq!(refused(twice.bearer()).reply().status().as_u16(), 400, "two header lines");
    let mut bytes = call(|_| ());
    bytes.headers.insert(AUTHORIZATION, http::HeaderValue::from_bytes(b"Bearer \xff").unwrap());
    assert_eq!(refused(bytes.bearer()).reply().status().as_u16(), 400, "no text");
}

#[test]
fn a_refused_token_is_challenged_and_its_reason_is_not_told() {
    let refusal = invalid_token("signature");
    assert_eq!((refusal.reason, refusal.reply().status().as_u16()), ("signature", 401));
}
