//! Bodies as forms and as JSON, with client credentials in header and body: a refusal or a value, never a panic. The first
//! line of an input is its kind and what the Authorization header holds.
#![no_main]

use leasehold::http::credentials::Credentials;
use leasehold::http::{Call, body};
use leasehold::secret::Secret;
use leasehold_fuzz::NOW;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

fuzz_target!(|input: &str| {
    let Some((head, text)) = input.split_once('\n') else { return };
    let (kind, authorization) = head.split_once(' ').unwrap_or((head, ""));
    let form = kind == "form";
    let kind = if form { "application/x-www-form-urlencoded" } else { "application/json" };
    let mut headers = json!({"content-type": kind});
    if !authorization.is_empty() {
        headers["authorization"] = json!(authorization);
    }
    let event = json!({
        "version": "2.0", "routeKey": "POST /t/{tenant}/token", "rawPath": "/t/acme/token", "rawQueryString": "",
        "headers": headers, "pathParameters": {"tenant": "acme"}, "body": text, "isBase64Encoded": false,
        "requestContext": {
            "accountId": "1", "apiId": "a", "stage": "$default", "requestId": "r", "routeKey": "POST /t/{tenant}/token",
            "time": "01/Jan/2027:00:00:00 +0000", "timeEpoch": 1,
            "http": {"method": "POST", "path": "/t/acme/token", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": ""},
        },
    });
    let Ok(request) = lambda_http::request::from_str(&event.to_string()) else { return };
    let call = Call::new(request, NOW);
    let (id, secret) = if form {
        let Ok(mut form) = body::form(&call) else { return };
        (form.take("client_id").map(|id| id.expose().clone()), form.take("client_secret"))
    } else {
        let Ok(value) = body::json::<Value>(&call) else { return };
        let member = |name: &str| value[name].as_str().map(str::to_owned);
        (member("client_id"), member("client_secret").map(Secret::new))
    };
    if let Ok(credentials) = Credentials::read(&call, id.as_deref(), secret) {
        let text = credentials.client_id.to_string();
        assert!(text.len() <= 64 && !text.contains('#'), "a client id that a key could not hold");
    }
});
