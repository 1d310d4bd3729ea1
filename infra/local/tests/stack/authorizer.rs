//! Lambda authorizers as API Gateway runs them ("Control access to HTTP APIs with AWS Lambda authorizers"): identity
//! sources, simple responses, kept results.

use crate::world::World;
use bytes::Bytes;
use http::Method;
use leasehold_local::client::Reply;
use serde_json::{Value, json};

async fn get(world: &World, path: &str, authorization: &str) -> Reply {
    let headers = [("authorization", authorization)];
    let headers = if authorization.is_empty() { &headers[..0] } else { &headers[..] };
    world.send(Method::GET, path, headers, Bytes::new()).await
}

fn answer(reply: &Reply) -> (u16, Value) {
    (reply.status.as_u16(), reply.json())
}

/// What the authorizer told the integration.
fn told(reply: &Reply) -> Value {
    assert_eq!(reply.status.as_u16(), 200);
    reply.json()["requestContext"]["authorizer"]["lambda"].clone()
}

#[tokio::test]
async fn refusals_are_the_gateways_and_the_integration_is_not_called() {
    let world = World::start().await;
    let message = |text: &str| json!({ "message": text });
    for (authorization, status, text) in [
        ("", 401, "Unauthorized"),
        ("deny", 403, "Forbidden"),
        ("error", 500, "Internal Server Error"),
        ("junk", 500, "Internal Server Error"),
    ] {
        let reply = get(&world, "/t/acme/kept?print", authorization).await;
        assert_eq!(answer(&reply), (status, message(text)), "{authorization:?}");
    }
    assert_eq!(
        answer(&get(&world, "/t/acme/unkept", "").await),
        (403, message("Forbidden")),
        "asked all the same"
    );
    assert!(!world.log("quick-1").contains("plain"));
    world.stop().await;
}

#[tokio::test]
async fn the_authorizer_sees_the_request_and_the_integration_what_it_told() {
    let world = World::start().await;
    let reply = get(&world, "/t/ac%20me/kept?a=1&a=2", "allow").await;
    let event = told(&reply)["event"].clone();
    let expected = json!({
        "version": "2.0", "type": "REQUEST", "routeKey": "GET /t/{tenant}/kept", "rawPath": "/t/ac%20me/kept",
        "identitySource": ["allow", "/t/ac%20me/kept", "GET /t/{tenant}/kept"],
        "pathParameters": {"tenant": "ac me"}, "queryStringParameters": {"a": "1,2"},
    });
    for (member, value) in expected.as_object().unwrap() {
        assert_eq!(&event[member], value, "{member}");
    }
    assert!(event["routeArn"].as_str().unwrap().ends_with("/$default/GET/t/ac%20me/kept"));
    assert_eq!(event["headers"]["authorization"], "allow");
    assert!(event.get("body").is_none() && event.get("isBase64Encoded").is_none());
    let bare = get(&world, "/t/acme/kept", "bare").await.json();
    assert!(bare["requestContext"].get("authorizer").is_none(), "nothing was told");
    world.stop().await;
}

#[tokio::test]
async fn a_result_is_kept_for_the_same_identity_and_for_no_other() {
    let world = World::start().await;
    let asked = async |path: &str, authorization: &str| {
        told(&get(&world, path, authorization).await)["asked"].clone()
    };
    assert_eq!(asked("/t/acme/kept", "allow").await, 1);
    assert_eq!(asked("/t/acme/kept", "allow").await, 1, "kept");
    assert_eq!(asked("/t/acme/kept?x=1", "allow").await, 1, "the query is no identity source here");
    assert_eq!(asked("/t/globex/kept", "allow").await, 2, "another tenant");
    assert_eq!(asked("/t/acme%20/kept", "allow").await, 3, "another spelling of a path");
    assert_eq!(asked("/t/acme/kept", "allow2").await, 4, "another token");
    let headers = [("authorization", "allow")];
    let post = world.send(Method::POST, "/t/acme/kept", &headers, Bytes::new()).await;
    assert_eq!(told(&post)["asked"], 5, "another method of the same path");
    assert_eq!(asked("/t/acme/kept", "allow").await, 1, "still kept");
    assert_eq!(
        (asked("/t/acme/unkept", "allow").await, asked("/t/acme/unkept", "allow").await),
        (json!(6), json!(7))
    );
    world.stop().await;
}

#[tokio::test]
async fn refusals_are_kept_and_failures_are_not() {
    let world = World::start().await;
    for _ in 0..3 {
        assert_eq!(get(&world, "/t/acme/kept", "deny").await.status, 403);
        assert_eq!(get(&world, "/t/acme/kept", "error").await.status, 500);
    }
    let asked = told(&get(&world, "/t/acme/kept", "allow").await)["asked"].clone();
    assert_eq!(asked, 1 + 3 + 1, "one refusal, three failures, this");
    world.stop().await;
}
