//! What API Gateway does between a client and a function, each row as the service documents it (HTTP API quotas;
//! "Create AWS Lambda proxy integrations for HTTP APIs", payload format 2.0).

use crate::world::World;
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");

fn message(text: &str) -> Value {
    json!({ "message": text })
}

#[tokio::test]
async fn event_has_the_shape_of_payload_format_2() {
    let world = World::start().await;
    let path = "/t/ac%20me/do?a=1&b=x%20y&a=2&c";
    let event = world.event(path, &[JSON, ("user-agent", "test/1")], r#"{"x":1}"#).await;
    let context = &event["requestContext"];
    let expected = json!({
        "version": "2.0",
        "routeKey": "POST /t/{tenant}/do",
        "rawPath": "/t/ac%20me/do",
        "rawQueryString": "a=1&b=x%20y&a=2&c",
        "queryStringParameters": {"a": "1,2", "b": "x y", "c": ""},
        "pathParameters": {"tenant": "ac me"},
        "body": r#"{"x":1}"#,
        "isBase64Encoded": false,
    });
    for (member, value) in expected.as_object().unwrap() {
        assert_eq!(&event[member], value, "{member}");
    }
    assert!(event.get("cookies").is_none(), "absent without cookies");
    assert_eq!(context["http"]["method"], "POST");
    assert_eq!(context["http"]["path"], "/t/ac%20me/do");
    assert_eq!(context["http"]["protocol"], "HTTP/1.1");
    assert_eq!(context["http"]["sourceIp"], "127.0.0.1");
    assert_eq!(context["http"]["userAgent"], "test/1");
    assert_eq!(context["routeKey"], "POST /t/{tenant}/do");
    assert_eq!(context["stage"], "$default");
    assert_eq!(context["domainName"], "localhost");
    assert_eq!(context["domainPrefix"], "localhost");
    assert!(context["time"].as_str().unwrap().ends_with(" +0000"));
    assert!(context["timeEpoch"].as_u64().unwrap() > 1_700_000_000_000);
    assert_eq!(context["accountId"].as_str().unwrap().len(), 12);
    assert!(context["apiId"].is_string() && context["requestId"].is_string());
    assert_eq!(event["headers"]["user-agent"], "test/1");
    assert!(event["headers"]["x-amzn-trace-id"].as_str().unwrap().starts_with("Root=1-"));
    world.stop().await;
}

#[tokio::test]
async fn request_without_query_or_body_leaves_them_out() {
    let world = World::start().await;
    let event = world.send(Method::GET, "/t/acme/do", &[], Bytes::new()).await.json();
    assert_eq!(event["rawQueryString"], "");
    for member in ["queryStringParameters", "cookies", "body"] {
        assert!(event.get(member).is_none(), "{member}");
    }
    world.stop().await;
}

#[tokio::test]
async fn duplicate_headers_fold_and_cookies_move() {
    let world = World::start().await;
    let headers = [("X-Twice", "1"), ("x-twice", "2"), ("cookie", "a=1; b=2"), ("cookie", "c=3")];
    let event = world.event("/t/acme/do", &headers, Bytes::new()).await;
    assert_eq!(event["headers"]["x-twice"], "1,2");
    assert_eq!(event["cookies"], json!(["a=1", "b=2", "c=3"]));
    assert!(event["headers"].get("cookie").is_none());
    world.stop().await;
}

#[tokio::test]
async fn source_address_is_the_peer_whatever_a_header_says() {
    let world = World::start().await;
    let headers = [("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=203.0.113.9")];
    let event = world.event("/t/acme/do", &headers, Bytes::new()).await;
    assert_eq!(event["requestContext"]["http"]["sourceIp"], "127.0.0.1");
    assert_eq!(event["headers"]["x-forwarded-for"], "203.0.113.9, 127.0.0.1");
    world.stop().await;
}

#[tokio::test]
async fn bodies_that_are_not_text_are_base64() {
    let world = World::start().await;
    let rows: [(&str, &[u8], Value, bool); 6] = [
        ("application/json", b"{}", json!("{}"), false),
        ("text/plain; charset=utf-8", b"hi", json!("hi"), false),
        ("application/x-www-form-urlencoded", b"a=b", json!("YT1i"), true),
        ("application/octet-stream", b"hi", json!("aGk="), true),
        ("application/json", b"\xff", json!("/w=="), true),
        ("", b"hi", json!("aGk="), true),
    ];
    for (content_type, body, expected, is_base64) in rows {
        let headers = [("content-type", content_type)];
        let headers = if content_type.is_empty() { &headers[..0] } else { &headers[..] };
        let event = world.event("/t/acme/do", headers, body).await;
        assert_eq!(
            (&event["body"], &event["isBase64Encoded"]),
            (&expected, &json!(is_base64)),
            "{content_type}"
        );
    }
    world.stop().await;
}

#[tokio::test]
async fn answers_become_responses() {
    let world = World::start().await;
    let reply = world
        .answered(&json!({
            "statusCode": 201,
            "headers": {"content-type": "image/png", "x-number": 7, "content-length": "999"},
            "cookies": ["a=1; Secure", "b=2"],
            "body": "aGk=",
            "isBase64Encoded": true,
        }))
        .await;
    assert_eq!((reply.status, &reply.body[..]), (StatusCode::CREATED, &b"hi"[..]));
    assert_eq!(reply.headers["content-type"], "image/png");
    assert_eq!(reply.headers["x-number"], "7");
    assert_eq!(reply.headers["content-length"], "2");
    let cookies: Vec<_> = reply.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1; Secure", "b=2"]);

    // Without statusCode the gateway infers the response.
    for (answer, body) in [(json!({"a": 1}), r#"{"a":1}"#), (json!("text"), "text"), (json!([1]), "[1]")] {
        let reply = world.answered(&answer).await;
        assert_eq!((reply.status, &reply.body[..]), (StatusCode::OK, body.as_bytes()));
        assert_eq!(reply.headers["content-type"], "application/json");
    }
    let reply = world.answered(&json!({"statusCode": 200, "body": "x"})).await;
    assert_eq!(reply.headers["content-type"], "text/plain;charset=UTF-8");
    let reply = world.answered(&json!({"statusCode": 204})).await;
    assert_eq!((reply.status, reply.body.len()), (StatusCode::NO_CONTENT, 0));
    world.stop().await;
}

#[tokio::test]
async fn malformed_answers_are_internal_errors() {
    let world = World::start().await;
    for answer in [
        json!({"statusCode": "x"}),
        json!({"statusCode": 42}),
        json!({"statusCode": 200, "body": {"not": "text"}}),
        json!({"statusCode": 200, "headers": {"bad name": "x"}}),
        json!({"statusCode": 200, "headers": {"x": "line\nbreak"}}),
        json!({"statusCode": 200, "body": "*", "isBase64Encoded": true}),
    ] {
        let reply = world.answered(&answer).await;
        assert_eq!(
            (reply.status.as_u16(), reply.json()),
            (500, message("Internal Server Error")),
            "{answer}"
        );
    }
    let reply = world.send(Method::POST, "/t/acme/do?answer", &[JSON], "not json").await;
    assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
    let reply = world.quick("error").await;
    assert_eq!((reply.status.as_u16(), reply.json()), (500, message("Internal Server Error")));
    world.stop().await;
}

#[tokio::test]
async fn what_no_route_matches_is_not_found() {
    let world = World::start().await;
    for (method, path) in [
        (Method::DELETE, "/t/acme/do"),
        (Method::HEAD, "/t/acme/do"),
        (Method::OPTIONS, "/t/acme/do"),
        (Method::POST, "/t/acme/do/"),
        (Method::POST, "/t//do"),
        (Method::POST, "/t/acme%2Fdo"),
        (Method::GET, "/"),
    ] {
        let reply = world.send(method.clone(), path, &[], Bytes::new()).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{method} {path}");
        if method != Method::HEAD {
            assert_eq!(reply.json(), message("Not Found"));
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn limits_are_those_of_the_quota_pages() {
    let world = World::start().await;
    let rows = [
        (9_900, StatusCode::OK),
        (10_240, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        (60_000, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
    ];
    for (length, status) in rows {
        let value = "x".repeat(length);
        let reply = world.send(Method::POST, "/t/acme/do", &[("x-long", &value)], Bytes::new()).await;
        assert_eq!(reply.status, status, "header of {length}");
    }
    let rows = [
        (6 * 1024 * 1024 - 10_000, "text/plain", StatusCode::OK),
        (6 * 1024 * 1024, "text/plain", StatusCode::PAYLOAD_TOO_LARGE),
        (5 * 1024 * 1024, "image/png", StatusCode::PAYLOAD_TOO_LARGE),
        (10 * 1024 * 1024 + 1, "text/plain", StatusCode::PAYLOAD_TOO_LARGE),
    ];
    for (length, content_type, status) in rows {
        let headers = [("content-type", content_type)];
        let reply = world.send(Method::POST, "/t/acme/do?pid", &headers, vec![b'x'; length]).await;
        assert_eq!(reply.status, status, "{content_type} of {length}");
        if status != StatusCode::OK {
            assert_eq!(reply.json(), message("Request Entity Too Large"));
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn slow_integration_is_unavailable() {
    let world = World::start().await;
    let reply = world.send(Method::POST, "/slow?sleep=1500", &[], Bytes::new()).await;
    assert_eq!((reply.status.as_u16(), reply.json()), (503, message("Service Unavailable")));
    world.stop().await;
}

#[tokio::test]
async fn an_invocation_goes_on_when_the_client_hangs_up() {
    use tokio::io::AsyncWriteExt;

    let world = World::start().await;
    let address = world.stack.base_url().strip_prefix("http://").unwrap().to_owned();
    for _ in 0..3 {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        let request = b"POST /t/a/do?print HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(request).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        drop(stream);
    }
    crate::world::eventually("three invocations", || world.log("quick-1").matches("loud").count() == 3).await;
    world.stop().await;
}
