//! The check that an API behind the authorizer makes of each request. Where the authorizer decides, a refused request
//! never comes here; where it annotates, this is what refuses it.

use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt as _, Response};
use serde_json::{Value, json};

use super::reply;

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The tenant.
    pub tenant: String,
    /// The user.
    pub subject: String,
    /// The granted scope, space-separated.
    pub scope: String,
}

/// Reads what the authorizer told of the caller.
///
/// # Errors
/// The answer to a request that is refused: 401 with the challenge on which a phone refreshes its token, 403, or 503. A
/// request without a word of the authorizer is refused, and so is a caller of another tenant than the path's.
pub fn check(request: &Request) -> Result<Caller, Box<Response<Body>>> {
    let told = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.authorizer.as_ref().map(|told| &told.fields),
        _ => None,
    };
    let text = |name: &str| told.and_then(|told| told.get(name)?.as_str());
    if text("verdict") != Some("ok") {
        let status = told.and_then(|told| told.get("status")).and_then(Value::as_u64);
        return Err(Box::new(refusal(status, text("verdict"), text("challenge"))));
    }
    let path = request.path_parameters();
    match (text("tenant"), text("subject")) {
        (Some(tenant), Some(subject)) if path.first("tenant") == Some(tenant) => Ok(Caller {
            tenant: tenant.to_owned(),
            subject: subject.to_owned(),
            scope: text("scope").unwrap_or_default().to_owned(),
        }),
        _ => Err(Box::new(refusal(Some(403), Some("access_denied"), None))),
    }
}

fn refusal(status: Option<u64>, verdict: Option<&str>, challenge: Option<&str>) -> Response<Body> {
    let status = status.and_then(|status| StatusCode::from_u16(u16::try_from(status).ok()?).ok());
    let status = status.unwrap_or(StatusCode::UNAUTHORIZED);
    let mut response = reply(status, &json!({ "error": verdict.unwrap_or("invalid_token") }));
    let headers = response.headers_mut();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    let challenge = challenge.or((status == StatusCode::UNAUTHORIZED).then_some("Bearer"));
    if let Some(challenge) = challenge.and_then(|challenge| HeaderValue::from_str(challenge).ok()) {
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(told: &Value) -> Request {
        let event = json!({
            "version": "2.0", "routeKey": "GET /t/{tenant}/sample/me", "rawPath": "/t/acme/sample/me",
            "rawQueryString": "", "headers": {}, "pathParameters": {"tenant": "acme"}, "isBase64Encoded": false,
            "requestContext": {
                "accountId": "0", "apiId": "a", "authorizer": told, "domainName": "x", "domainPrefix": "x",
                "http": {"method": "GET", "path": "/t/acme/sample/me", "protocol": "HTTP/1.1", "sourceIp": "::1", "userAgent": ""},
                "requestId": "r", "routeKey": "GET /t/{tenant}/sample/me", "stage": "$default", "time": "", "timeEpoch": 0,
            },
        });
        lambda_http::request::from_str(&event.to_string()).unwrap()
    }

    #[test]
    fn a_caller_whom_the_authorizer_vouches_for_comes_in() {
        let told = json!({"lambda": {"verdict": "ok", "tenant": "acme", "subject": "usr_1", "scope": "a b"}});
        let caller = check(&request(&told)).unwrap();
        assert_eq!((caller.subject.as_str(), caller.scope.as_str()), ("usr_1", "a b"));
    }

    #[test]
    fn everybody_else_is_refused_as_the_authorizer_says_or_as_nobody() {
        let challenge = r#"Bearer realm="leasehold", error="invalid_token""#;
        for (told, status, answered) in [
            (json!(null), 401, "Bearer"),
            (json!({"lambda": null}), 401, "Bearer"),
            (json!({"lambda": {}}), 401, "Bearer"),
            (json!({"lambda": {"tenant": "acme", "subject": "usr_1"}}), 401, "Bearer"),
            (json!({"lambda": {"verdict": "ok", "tenant": "globex", "subject": "usr_1"}}), 403, ""),
            (json!({"lambda": {"verdict": "ok", "tenant": "acme"}}), 403, ""),
            (
                json!({"lambda": {"verdict": "invalid_token", "status": 401, "challenge": challenge}}),
                401,
                challenge,
            ),
            (
                json!({"lambda": {"verdict": "insufficient_scope", "status": 403, "challenge": "Bearer x"}}),
                403,
                "Bearer x",
            ),
            (json!({"lambda": {"verdict": "temporarily_unavailable", "status": 503}}), 503, ""),
        ] {
            let refused = check(&request(&told)).unwrap_err();
            let header = refused.headers().get(WWW_AUTHENTICATE).map_or("", |value| value.to_str().unwrap());
            assert_eq!((refused.status().as_u16(), header), (status, answered), "{told}");
            assert_eq!(refused.headers().contains_key(RETRY_AFTER), status == 503, "{told}");
        }
    }
}
