//! What the two routes accept: small JSON objects, checked whole before anything is looked up or hashed. Members that
//! are not known are passed over, so that an app may be newer than the service.

use std::collections::BTreeSet;

use leasehold::client::is_scope_token;
use leasehold::http::credentials::Credentials;
use leasehold::http::{Call, Code, Refusal, body};
use leasehold::id::LoginId;
use leasehold::password::MAX_PASSWORD_BYTES;
use leasehold::secret::Secret;
use leasehold::user::split_scope;
use serde::Deserialize;

/// The longest nonce, in bytes.
const MAX_NONCE_BYTES: usize = 128;

/// The longest name of a device, in bytes.
const MAX_DEVICE_BYTES: usize = 128;

/// Who somebody says they are, and with what they mean to prove it.
#[derive(Debug)]
pub struct Claimed {
    /// The client they use.
    pub credentials: Credentials,
    /// The login name; `None` when no user can have such a name.
    pub username: Option<LoginId>,
    /// What they prove it with.
    pub proof: Proof,
    /// What the client calls the device.
    pub device: Option<String>,
}

/// With what somebody proves who they are.
#[derive(Debug)]
pub enum Proof {
    /// The password.
    Password(Secret<String>),
    /// A one-time code that an admin handed out; good for setting a password and for nothing else.
    Code(Secret<String>),
}

/// A request to sign in.
#[derive(Debug)]
pub struct LoginRequest {
    /// Who asks.
    pub claimed: Claimed,
    /// The scope asked for; `None` for whatever there is.
    pub scope: Option<BTreeSet<String>>,
    /// What is to stand in the ID token (OpenID Connect Core §3.1.2.1).
    pub nonce: Option<String>,
}

/// A request to change the password.
#[derive(Debug)]
pub struct PasswordRequest {
    /// Who asks.
    pub claimed: Claimed,
    /// The password to be.
    pub new_password: Secret<String>,
}

#[derive(Deserialize)]
struct Wire {
    client_id: Option<String>,
    client_secret: Option<Secret<String>>,
    username: Option<String>,
    password: Option<Secret<String>>,
    device: Option<String>,
    scope: Option<String>,
    new_password: Option<Secret<String>>,
    code: Option<Secret<String>>,
    nonce: Option<String>,
}

impl LoginRequest {
    /// Reads the body of a login.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(call: &Call) -> Result<Self, Refusal> {
        let mut wire: Wire = body::json(call)?;
        let scope = scope(wire.scope.take())?;
        wire.code = None;
        let nonce = nonce(wire.nonce.take())?;
        Ok(Self { claimed: claimed(call, wire)?, scope, nonce })
    }
}

impl PasswordRequest {
    /// Reads the body of a change of password.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn read(call: &Call) -> Result<Self, Refusal> {
        let mut wire: Wire = body::json(call)?;
        let new_password = wire.new_password.take();
        let new_password =
            new_password.ok_or_else(|| Refusal::invalid_request("new_password is missing."))?;
        if new_password.expose().len() > MAX_PASSWORD_BYTES {
            return Err(Refusal::invalid_request("The new password is too long."));
        }
        Ok(Self { claimed: claimed(call, wire)?, new_password })
    }
}

fn claimed(call: &Call, wire: Wire) -> Result<Claimed, Refusal> {
    let username = wire.username.ok_or_else(|| Refusal::invalid_request("username is missing."))?;
    let proof = match (wire.password, wire.code) {
        (Some(password), None) if password.expose().len() > MAX_PASSWORD_BYTES => {
            return Err(Refusal::invalid_request("The password is too long."));
        }
        (Some(password), None) => Proof::Password(password),
        (None, Some(code)) => Proof::Code(code),
        (Some(_), Some(_)) => return Err(Refusal::invalid_request("password and code exclude each other.")),
        (None, None) => return Err(Refusal::invalid_request("password is missing.")),
    };
    Ok(Claimed {
        credentials: Credentials::read(call, wire.client_id.as_deref(), wire.client_secret)?,
        username: username.parse().ok(),
        proof,
        device: device(wire.device)?,
    })
}

/// An empty scope counts as none (RFC 6749 §3.2).
fn scope(text: Option<String>) -> Result<Option<BTreeSet<String>>, Refusal> {
    let scope = text.map(|text| split_scope(&text)).filter(|scope| !scope.is_empty());
    if scope.iter().flatten().all(|token| is_scope_token(token)) {
        Ok(scope)
    } else {
        Err(Refusal::new(Code::InvalidScope, "malformed"))
    }
}

fn nonce(text: Option<String>) -> Result<Option<String>, Refusal> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.len() <= MAX_NONCE_BYTES && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(Some(text))
    } else {
        Err(Refusal::invalid_request("nonce must be at most 128 characters of ASCII."))
    }
}

fn device(text: Option<String>) -> Result<Option<String>, Refusal> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.len() <= MAX_DEVICE_BYTES && !text.chars().any(char::is_control) {
        Ok(Some(text))
    } else {
        Err(Refusal::invalid_request("device must be at most 128 bytes of text."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;
    use leasehold::clock::Timestamp;
    use serde_json::{Value, json};

    fn call(headers: &Value, body: &str) -> Call {
        let event = json!({
            "version": "2.0",
            "routeKey": "POST /t/{tenant}/login",
            "rawPath": "/t/acme/login",
            "rawQueryString": "",
            "headers": headers,
            "pathParameters": {"tenant": "acme"},
            "requestContext": {
                "accountId": "1", "apiId": "a", "domainName": "d", "domainPrefix": "d", "requestId": "r",
                "routeKey": "POST /t/{tenant}/login", "stage": "$default", "time": "", "timeEpoch": 0,
                "http": {
                    "method": "POST", "path": "/t/acme/login", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1",
                    "userAgent": "t",
                },
            },
            "body": body,
            "isBase64Encoded": false,
        });
        let request = lambda_http::request::from_str(&event.to_string()).unwrap();
        Call::new(request, Timestamp::from_seconds(1_800_000_000))
    }

    fn json_call(body: &str) -> Call {
        call(&json!({"content-type": "application/json"}), body)
    }

    fn login(body: &Value) -> Result<LoginRequest, Refusal> {
        LoginRequest::read(&json_call(&body.to_string()))
    }

    fn with(name: &str, value: Value) -> Value {
        let mut body = json!({"client_id": "shop", "username": "ada", "password": "secret words"});
        body[name] = value;
        body
    }

    #[test]
    fn a_login_is_read_with_all_it_may_say() {
        let body = json!({
            "client_id": "shop", "username": " Ada@Acme.example ", "password": " secret words ", "device": "phone-1",
            "scope": "read  openid read", "member_of_tomorrow": {"a": [1]},
        });
        let request = login(&body).unwrap();
        assert_eq!(request.claimed.credentials.client_id.as_str(), "shop");
        assert_eq!(request.claimed.username, "ada@acme.example".parse().ok());
        let Proof::Password(password) = &request.claimed.proof else { panic!("a login takes a password") };
        assert_eq!(password.expose(), " secret words ", "taken exactly");
        assert_eq!(request.claimed.device.as_deref(), Some("phone-1"));
        assert_eq!(request.scope, Some(BTreeSet::from(["openid".to_owned(), "read".to_owned()])));
    }

    #[test]
    fn what_is_left_out_empty_or_null_is_absent() {
        for value in [Value::Null, json!("")] {
            assert_eq!(login(&with("device", value.clone())).unwrap().claimed.device, None);
            assert_eq!(login(&with("scope", value)).unwrap().scope, None);
        }
        assert_eq!(login(&with("scope", json!("  "))).unwrap().scope, None);
    }

    #[test]
    fn a_name_that_no_user_can_have_is_no_fault_of_the_request() {
        for name in ["", "a b", "a#b", "ada\u{200b}", &"x".repeat(2000)] {
            assert_eq!(login(&with("username", json!(name))).unwrap().claimed.username, None, "{name:?}");
        }
    }

    #[test]
    fn odd_logins_are_refused_with_their_own_code() {
        let long = "x".repeat(1025);
        for (body, code, why) in [
            (with("username", Value::Null), Code::InvalidRequest, "no name"),
            (with("username", json!(7)), Code::InvalidRequest, "a name that is no text"),
            (with("password", Value::Null), Code::InvalidRequest, "no password"),
            (with("password", json!(["a"])), Code::InvalidRequest, "a password that is no text"),
            (with("password", json!(long)), Code::InvalidRequest, "a password that is too long to hash"),
            (with("client_id", Value::Null), Code::InvalidRequest, "no client"),
            (with("client_id", json!("no client!")), Code::InvalidClient, "a client that can't be"),
            (with("device", json!("x".repeat(129))), Code::InvalidRequest, "a device that is too long"),
            (with("device", json!("a\nb")), Code::InvalidRequest, "a device that would break a line"),
            (with("scope", json!("re\"ad")), Code::InvalidScope, "a scope that is none"),
            (
                json!(["shop", null, "ada", "words", null, null, null]),
                Code::InvalidRequest,
                "an array, in order",
            ),
            (json!([]), Code::InvalidRequest, "no object"),
            (json!("x"), Code::InvalidRequest, "a text"),
        ] {
            assert_eq!(login(&body).unwrap_err().code, code, "{why}");
        }
    }

    #[test]
    fn odd_bodies_are_refused_before_they_are_read() {
        let good = with("device", json!("phone-1")).to_string();
        let nested = format!("{{\"x\": {}", "[".repeat(7000));
        let doubled = r#"{"client_id":"shop","username":"ada","username":"bob","password":"p"}"#;
        for (content_type, body, status, why) in [
            ("application/json", "", StatusCode::BAD_REQUEST, "nothing"),
            ("application/json", "{", StatusCode::BAD_REQUEST, "half an object"),
            ("application/json", &nested, StatusCode::BAD_REQUEST, "deep nesting"),
            ("application/json", doubled, StatusCode::BAD_REQUEST, "a doubled member"),
            ("application/json", &" ".repeat(8193), StatusCode::PAYLOAD_TOO_LARGE, "more than is read"),
            ("text/plain", &good, StatusCode::UNSUPPORTED_MEDIA_TYPE, "another type"),
            (
                "application/x-www-form-urlencoded",
                "username=ada",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "a form",
            ),
        ] {
            let refused =
                LoginRequest::read(&call(&json!({"content-type": content_type}), body)).unwrap_err();
            assert_eq!((refused.code, refused.parts().0), (Code::InvalidRequest, status), "{why}");
        }
        assert!(
            LoginRequest::read(&call(&json!({"content-type": "Application/JSON; charset=utf-8"}), &good))
                .is_ok()
        );
    }

    #[test]
    fn a_change_needs_the_old_password_or_a_code_and_the_new_one() {
        let read = |body: &Value| PasswordRequest::read(&json_call(&body.to_string()));
        let request = read(&with("new_password", json!(" new words "))).unwrap();
        assert_eq!(request.new_password.expose(), " new words ");
        assert!(matches!(&request.claimed.proof, Proof::Password(words) if words.expose() == "secret words"));
        for (body, why) in [
            (with("new_password", Value::Null), "no new one"),
            (with("new_password", json!("x".repeat(1025))), "too long a new one"),
            (
                json!({"client_id": "shop", "username": "ada", "new_password": "n"}),
                "neither an old one nor a code",
            ),
            (
                json!({"client_id": "shop", "username": "ada", "password": "p", "code": "c", "new_password": "n"}),
                "both",
            ),
        ] {
            assert_eq!(read(&body).unwrap_err().code, Code::InvalidRequest, "{why}");
        }
        let code = json!({"client_id": "shop", "username": "ada", "code": "lhc_1", "new_password": "n"});
        assert!(matches!(read(&code).unwrap().claimed.proof, Proof::Code(code) if code.expose() == "lhc_1"));
    }
}
