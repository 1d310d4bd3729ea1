//! The service as a tenant's admin calls it: signing in, keeping the session alive, the admin routes.
//!
//! Refreshing follows the wire contract's rules for clients: save, then use; the same token again after a lost answer;
//! confirm when nothing is in doubt; never sign out for anything but `invalid_grant`.

use std::time::Duration;

use http::Method;
use leasehold::clock::{self, Timestamp};
use leasehold::secret::random_hex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::failure::Failure;
use crate::http::{Http, NoAnswer, Reply};
use crate::issuer::Issuer;
use crate::session::{LATE_MILLIS, Session, Sessions, Tokens};

/// The client through which admins of every tenant sign in.
const CLIENT: &str = "leasehold-admin";
/// What the service notes of this program.
const VERSION: &str = concat!("leasehold-cli/", env!("CARGO_PKG_VERSION"));
/// How often a call that may be repeated is sent.
const ATTEMPTS: u32 = 5;

/// Unreserved characters stay (RFC 3986 §2.3).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text as one segment of a path.
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// A call of an admin route.
pub struct Call {
    method: Method,
    path: String,
    body: Option<(&'static str, Vec<u8>)>,
    headers: Vec<(&'static str, String)>,
    repeatable: bool,
}

impl Call {
    /// `GET`, with a query if need be.
    pub fn get(path: &str, query: &[(&str, String)]) -> Self {
        let pairs: Vec<_> = query.iter().map(|(name, value)| format!("{name}={}", segment(value))).collect();
        let mark = if pairs.is_empty() { "" } else { "?" };
        Self::new(Method::GET, format!("{path}{mark}{}", pairs.join("&")), true)
    }

    /// `DELETE`.
    pub fn delete(path: String) -> Self {
        Self::new(Method::DELETE, path, true)
    }

    /// `POST` of a step that is sent once: its caller wants to know how things stand before it is tried again.
    pub fn step(path: String, body: &Value) -> Self {
        Self::new(Method::POST, path, false).json(body)
    }

    /// `POST` of something to be made; an `Idempotency-Key` makes it safe to repeat.
    pub fn create(path: String, body: &Value) -> Self {
        Self::new(Method::POST, path, true).json(body).header("idempotency-key", random_hex::<16>())
    }

    /// `POST` of import lines, which the service may see twice.
    pub fn import(lines: Vec<u8>) -> Self {
        let mut call = Self::new(Method::POST, "users/import".to_owned(), true);
        call.body = Some(("application/x-ndjson", lines));
        call
    }

    /// `PATCH` of what an earlier answer showed.
    pub fn patch(path: String, body: &Value, etag: &str) -> Self {
        Self::new(Method::PATCH, path, false).json(body).header("if-match", etag.to_owned())
    }

    fn new(method: Method, path: String, repeatable: bool) -> Self {
        Self { method, path, body: None, headers: Vec::new(), repeatable }
    }

    fn json(mut self, body: &Value) -> Self {
        self.body = Some(("application/json", body.to_string().into_bytes()));
        self
    }

    fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// A tenant's service.
pub struct Service<'a> {
    http: &'a Http,
    /// The tenant's issuer.
    pub issuer: Issuer,
    sessions: &'a Sessions,
    /// One task refreshes, the others wait for it.
    session: Mutex<()>,
}

impl<'a> Service<'a> {
    /// The service of an issuer.
    pub fn new(http: &'a Http, issuer: Issuer, sessions: &'a Sessions) -> Self {
        Self { http, issuer, sessions, session: Mutex::default() }
    }

    /// Signs an admin in and keeps the session.
    pub async fn sign_in(
        &self,
        username: &str,
        password: &str,
        scope: Option<&str>,
    ) -> Result<Session, Failure> {
        let mut body = json!({
            "client_id": CLIENT,
            "username": username,
            "password": password,
            "device": self.sessions.device()?,
        });
        if let Some(scope) = scope {
            body["scope"] = json!(scope);
        }
        let reply = self.open("/login", "application/json", body.to_string()).await?;
        if reply.status != 200 {
            return Err(Failure::of_reply(&reply));
        }
        let session = Session::of(self.issuer.as_str(), username, tokens(&reply)?, clock::now());
        let _lock = self.sessions.lock(&self.issuer)?;
        self.sessions.save(&session)?;
        self.sessions.set_current(&self.issuer)?;
        Ok(session)
    }

    /// Ends the session at the service and forgets it.
    pub async fn sign_out(&self) -> Result<(), Failure> {
        let _lock = self.sessions.lock(&self.issuer)?;
        let Some(session) = self.sessions.find(&self.issuer)? else { return Err(self.nobody()) };
        let form = form(&[("client_id", CLIENT), ("token", &session.refresh_token)]);
        let reply = self.open("/revoke", FORM, form).await?;
        if reply.status != 200 {
            return Err(Failure::of_reply(&reply));
        }
        self.sessions.forget(&self.issuer)
    }

    /// Sets a user's password by a one-time code.
    pub async fn set_password(&self, username: &str, code: &str, new_password: &str) -> Result<(), Failure> {
        let body =
            json!({ "client_id": CLIENT, "username": username, "code": code, "new_password": new_password });
        let reply = self.open("/password", "application/json", body.to_string()).await?;
        if reply.status == 204 { Ok(()) } else { Err(Failure::of_reply(&reply)) }
    }

    /// Calls an admin route. A call that may be repeated is, when there is no answer or a "not now".
    pub async fn call(&self, call: Call) -> Result<Reply, Failure> {
        let mut token = self.token(None).await?;
        let mut renewed = false;
        let mut attempt = 1;
        loop {
            let answer = self.http.send(self.request(&call, &token)?).await;
            let last = attempt == ATTEMPTS || !call.repeatable;
            let wait = match answer {
                Ok(reply) if reply.status == 401 && !renewed => {
                    // RFC 6750 §3.1: the token may have been revoked or be of a key that is gone. Once.
                    renewed = true;
                    token = self.token(Some(&token)).await?;
                    continue;
                }
                Ok(reply) if is_passing(reply.status) && !last => reply.retry_after(),
                Ok(reply) if reply.status < 400 => return Ok(reply),
                Ok(reply) => return Err(Failure::of_reply(&reply)),
                Err(error) if last => return Err(error.into()),
                Err(_) => None,
            };
            sleep(wait.unwrap_or_else(|| backoff(attempt))).await;
            attempt += 1;
        }
    }

    /// Calls an admin route that answers JSON, and takes its entity tag along.
    pub async fn json(&self, call: Call) -> Result<(Value, String), Failure> {
        let reply = self.call(call).await?;
        let etag = reply.header("etag").unwrap_or_default().to_owned();
        Ok((reply.json(), etag))
    }

    /// A page of a list: the items, and the cursor of the next page if there is one.
    pub async fn page(
        &self,
        path: &str,
        query: &[(&str, String)],
        cursor: Option<&str>,
    ) -> Result<(Vec<Value>, Option<String>), Failure> {
        let mut query = query.to_vec();
        query.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
        let mut answer = self.call(Call::get(path, &query)).await?.json();
        let Value::Array(items) = answer["items"].take() else {
            return Err(Failure::Other("the service answered a list that is none".to_owned()));
        };
        Ok((items, answer["next_cursor"].as_str().map(str::to_owned)))
    }

    /// The items of a list, at most `limit` of them, and whether there may be more.
    pub async fn list(
        &self,
        path: &str,
        query: &[(&str, String)],
        limit: usize,
    ) -> Result<(Vec<Value>, bool), Failure> {
        let mut query = query.to_vec();
        query.push(("limit", limit.clamp(1, 100).to_string()));
        let (mut all, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let (items, next) = self.page(path, &query, cursor.as_deref()).await?;
            all.extend(items);
            if all.len() >= limit || next.is_none() {
                let more = next.is_some() || all.len() > limit;
                all.truncate(limit);
                return Ok((all, more));
            }
            cursor = next;
        }
    }

    fn request(&self, call: &Call, token: &str) -> Result<http::Request<Vec<u8>>, Failure> {
        let url = format!("{}/admin/{}", self.issuer, call.path);
        let mut request = http::Request::builder()
            .method(call.method.clone())
            .uri(&url)
            .header("authorization", format!("Bearer {token}"))
            .header("x-client-version", VERSION);
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        let (content_type, body) =
            call.body.as_ref().map_or((None, &[][..]), |(kind, body)| (Some(*kind), body));
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        request.body(body.to_vec()).map_err(|error| Failure::Usage(format!("{url}: {error}")))
    }

    /// Calls a route that takes no access token.
    async fn open(&self, path: &str, content_type: &str, body: String) -> Result<Reply, NoAnswer> {
        let request = http::Request::post(format!("{}{path}", self.issuer))
            .header("content-type", content_type)
            .header("x-client-version", VERSION)
            .body(body.into_bytes())
            .expect("an issuer is a URL, and the headers are ours");
        self.http.send(request).await
    }

    fn nobody(&self) -> Failure {
        Failure::NotSignedIn(format!(
            "nobody is signed in at {}: leasehold login {}",
            self.issuer, self.issuer
        ))
    }

    /// An access token to use: another one than `refused`, which the service did not take.
    async fn token(&self, refused: Option<&str>) -> Result<String, Failure> {
        let _one = self.session.lock().await;
        let _lock = self.sessions.lock(&self.issuer)?;
        let session = self.sessions.find(&self.issuer)?.ok_or_else(|| self.nobody())?;
        let is_other = refused.is_none_or(|refused| refused != session.access_token);
        if is_other && session.is_fresh(clock::now()) {
            return Ok(session.access_token);
        }
        match self.refresh(&session).await {
            Ok(next) => Ok(next.access_token),
            // Better an older token than none, as long as it lives.
            Err(Failure::Unavailable(_)) if is_other && session.is_usable(clock::now()) => {
                Ok(session.access_token)
            }
            Err(failure) => Err(failure),
        }
    }

    async fn refresh(&self, session: &Session) -> Result<Session, Failure> {
        sleep(Duration::from_millis(session.hold(clock::now()))).await;
        let form = form(&[
            ("grant_type", "refresh_token"),
            ("client_id", CLIENT),
            ("refresh_token", &session.refresh_token),
        ]);
        let mut in_doubt = session.in_doubt(clock::now());
        let mut trouble = Failure::Unavailable("the session can't be refreshed now".to_owned());
        for attempt in 1..=ATTEMPTS {
            let sent_at = clock::now();
            self.sessions.save(&Session { attempted_at: sent_at.millis(), ..session.clone() })?;
            let wait = match self.open("/token", FORM, form.clone()).await {
                Ok(reply) if reply.status == 200 => return self.keep(session, &reply, in_doubt).await,
                Ok(reply) if reply.json()["error"] == "invalid_grant" => {
                    self.sessions.forget(&self.issuer)?;
                    return Err(Failure::NotSignedIn(format!(
                        "the session at {} has ended: leasehold login {}",
                        self.issuer, self.issuer
                    )));
                }
                Ok(reply) if is_passing(reply.status) => {
                    // A gateway that gave up has not stopped the function behind it.
                    in_doubt = Some(sent_at).filter(|_| reply.status != 429).or(in_doubt);
                    trouble = Failure::of_reply(&reply);
                    reply.retry_after()
                }
                Ok(reply) => return Err(Failure::of_reply(&reply)),
                Err(error) => {
                    in_doubt = Some(sent_at);
                    trouble = error.into();
                    None
                }
            };
            if attempt < ATTEMPTS {
                sleep(wait.unwrap_or_else(|| backoff(attempt))).await;
            }
        }
        Err(trouble)
    }

    /// Saves what a refresh gave, before anything else is done with it.
    async fn keep(
        &self,
        session: &Session,
        reply: &Reply,
        in_doubt: Option<Timestamp>,
    ) -> Result<Session, Failure> {
        let mut next = Session::of(self.issuer.as_str(), &session.username, tokens(reply)?, clock::now());
        next.hold_until = in_doubt.map_or(0, |sent_at| sent_at.millis() + LATE_MILLIS);
        self.sessions.save(&next)?;
        if in_doubt.is_none() {
            // The previous token is spent from here on. An attempt still under way with it would end the session, so
            // this is left out when there may be one; and that it arrives is only better than that it does not.
            let body = json!({ "client_id": CLIENT, "refresh_token": next.refresh_token });
            drop(self.open("/confirm", "application/json", body.to_string()).await);
        }
        Ok(next)
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

fn form(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn tokens(reply: &Reply) -> Result<Tokens, Failure> {
    serde_json::from_slice(&reply.body)
        .map_err(|_| Failure::Other("the service answered no tokens".to_owned()))
}

/// Whether the same call may work later.
const fn is_passing(status: u16) -> bool {
    matches!(status, 429 | 500..=599)
}

/// 0.5 s, doubled each time, and up to half as much again by chance.
fn backoff(attempt: u32) -> Duration {
    let millis = 500_u64 << attempt.saturating_sub(1).min(6);
    let [chance] = leasehold::secret::random::<1>();
    Duration::from_millis(millis + millis * u64::from(chance) / 512)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_cursors_are_one_segment_of_a_url() {
        assert_eq!(segment("usr_1-a.b~c"), "usr_1-a.b~c");
        assert_eq!(segment("../x?y=ä&z"), "..%2Fx%3Fy%3D%C3%A4%26z");
        let call = Call::get("users", &[("username", "a+b@c".to_owned()), ("limit", "1".to_owned())]);
        assert_eq!(call.path, "users?username=a%2Bb%40c&limit=1");
    }

    #[test]
    fn waits_grow_and_are_spread() {
        for (attempt, low) in [(1, 500), (2, 1000), (3, 2000), (4, 4000)] {
            let wait = u64::try_from(backoff(attempt).as_millis()).unwrap();
            assert!((low..low * 3 / 2).contains(&wait), "{attempt}: {wait}");
        }
    }

    #[test]
    fn only_what_was_made_to_be_repeated_is() {
        assert!(Call::get("keys", &[]).repeatable && Call::delete("sessions".into()).repeatable);
        assert!(!Call::step("keys/k/promote".into(), &json!({})).repeatable);
        let made = Call::create("users".into(), &json!({}));
        assert!(
            made.repeatable
                && made.headers.iter().any(|(name, value)| *name == "idempotency-key" && value.len() == 32)
        );
    }
}
