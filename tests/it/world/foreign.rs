//! The cells of the tenancy matrix that nobody writes down. From a call that works they are made: every credential of the
//! other tenant in each place where a credential stands or could stand, and beside it every way to name that tenant.

use leasehold_tests::http::{Call, encode};
use leasehold_tests::tenant::{BACKEND, Session};
use serde_json::json;

use super::World;

/// Something that the other tenant made and takes.
pub struct Credential {
    what: &'static str,
    text: String,
}

/// A call that has to be refused.
pub struct Cell {
    what: String,
    call: Call,
}

/// Whether the other tenant is named beside its credential.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// In every way there is.
    EveryWay,
    /// Not at all.
    Not,
}

/// Members of bodies in which credentials stand.
const MEMBERS: [&str; 5] = ["password", "refresh_token", "token", "client_secret", "code"];

/// The user whose one-time code is tried.
const NEWCOMER: &str = "nora";

impl World {
    /// One credential of every kind, each of them good over there.
    pub async fn credentials_there(&self) -> Vec<Credential> {
        let openid = self.there.login_for("openid read").await;
        let admin = &self.theirs_administered;
        let made = admin.admin.post("/users", &json!({"username": NEWCOMER})).await.expect(201);
        let credential = |what, text: &str| Credential { what, text: text.to_owned() };
        vec![
            credential("access token", &self.theirs.access),
            credential("refresh token", &self.theirs.refresh),
            credential("ID token", openid.body["id_token"].as_str().expect("an ID token")),
            credential("access token for openid", &openid.access),
            credential("confidential client's access token", &self.backend_there.access),
            credential("confidential client's refresh token", &self.backend_there.refresh),
            credential("client secret", &self.there.secret),
            credential("admin's access token", &admin.admin.token),
            credential("admin's refresh token", &admin.admin.session.refresh),
            credential("one-time code", &made.string("code")),
            credential("password", "lagoon-Hammer 8 violet"),
            credential("cursor", &admin.cursor),
        ]
    }

    /// The cells of a route, made from its control.
    pub fn cells(&self, control: &Call, theirs: &[Credential], naming: Naming) -> Vec<Cell> {
        let mut cells = Vec::new();
        for Credential { what, text } in theirs {
            for (place, call) in places(control, text) {
                if naming == Naming::EveryWay {
                    for (how, call) in self.namings(&call) {
                        let what = format!("their {what} {place}, naming them {how}");
                        cells.push(Cell { what, call });
                    }
                }
                cells.push(Cell { what: format!("their {what} {place}"), call });
            }
        }
        cells
    }

    /// Every way to say "I mean them" in a call that goes here.
    fn namings(&self, call: &Call) -> Vec<(&'static str, Call)> {
        let (here, there) = (&self.here.name, &self.there.name);
        let url = call.url().to_owned();
        let path = url.strip_prefix(&self.base).unwrap_or_default().to_owned();
        let mark = if url.contains('?') { '&' } else { '?' };
        let moved = |to: String| call.clone().at(url.replacen(here.as_str(), &to, 1));
        let mut namings = vec![
            ("in x-tenant", call.clone().header("x-tenant", there)),
            ("in x-original-url", call.clone().header("x-original-url", path.replacen(here, there, 1))),
            ("in x-forwarded-host", call.clone().header("x-forwarded-host", format!("{there}.example"))),
            ("in host", call.clone().header("host", format!("{there}.example"))),
            ("in a cookie", call.clone().header("cookie", format!("tenant={there}"))),
            ("in the query", call.clone().at(format!("{url}{mark}tenant={there}"))),
            ("on the way", moved(format!("{there}/../{here}"))),
            ("on the way, encoded", moved(format!("{there}%2F..%2F{here}"))),
            ("after a NUL", moved(format!("{here}%00{there}"))),
        ];
        if !call.members().is_empty() {
            namings.push(("in the body", call.clone().with_member("tenant", there)));
            let issuer = &self.there.issuer;
            namings.push(("as issuer in the body", call.clone().with_member("issuer", issuer)));
        }
        namings
    }

    /// Whatever was tried, over there everything is as good as before. Uses their one-time code up.
    pub async fn unharmed(&self, theirs: &[Credential]) {
        let there = &self.there;
        there.rotate(&self.theirs.refresh).await;
        there.sessions(&self.theirs.access).await.expect(200);
        there.login_as("theo", "lagoon-Hammer 8 violet").await.expect(200);
        let backend = Call::post(there.url("/token"))
            .basic(BACKEND, &there.secret)
            .form(&[("grant_type", "refresh_token"), ("refresh_token", &self.backend_there.refresh)]);
        Session::from_reply(&backend.send(&there.http).await.expect(200));
        let admin = &self.theirs_administered;
        admin.admin.get(&format!("/users?limit=1&cursor={}", admin.cursor)).await.expect(200);
        let code = &theirs.iter().find(|one| one.what == "one-time code").expect("a code").text;
        there.set_password(NEWCOMER, code, "harvest-Pillow 4 amber").await.expect(204);
    }
}

/// Each place of a call in which a credential stands or could stand, with another one there.
fn places(control: &Call, text: &str) -> Vec<(String, Call)> {
    let bare = || control.clone().without("authorization");
    let mut places = Vec::new();
    let mut place = |place: &str, call: Call| places.push((place.to_owned(), call));
    match control.line("authorization") {
        Some(line) if line.starts_with("Bearer ") => {
            place("as bearer", bare().bearer(text));
            place("as Basic", bare().basic(BACKEND, text));
            let mark = if control.url().contains('?') { '&' } else { '?' };
            place("in the query", bare().at(format!("{}{mark}access_token={}", control.url(), encode(text))));
            place("in a cookie", bare().header("cookie", format!("access_token={}", encode(text))));
        }
        Some(_) => place("as the client's secret", bare().basic(BACKEND, text)),
        None => {}
    }
    for (name, _) in control.members() {
        if MEMBERS.contains(&name.as_str()) {
            place(&format!("as {name}"), control.clone().with_member(&name, text));
        }
    }
    places
}

impl Cell {
    /// Sends the call, which has to be refused, or answered as for any token that nobody knows.
    pub async fn must_be_refused(self, world: &World, route: &str) {
        let reply = self.call.send(&world.here.http).await;
        let refused = matches!(reply.status, 400 | 401 | 403 | 404);
        let unknown = match route.rsplit('/').next() {
            Some("introspect") => reply.status == 200 && reply.json() == json!({"active": false}),
            Some("explain") => reply.status == 200 && reply.json()["good"] == false,
            Some("revoke") => reply.status == 200 && reply.body.is_empty(),
            Some("confirm") => reply.status == 204,
            _ => false,
        };
        assert!(refused || unknown, "{route} with {}: {reply}", self.what);
        assert!(
            !reply.text().contains(&world.there.name),
            "{route} with {} speaks of them: {reply}",
            self.what
        );
    }
}
