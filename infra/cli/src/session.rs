//! Sessions of signed-in admins: a file each in the user's config folder, readable by nobody else.
//!
//! Refresh tokens are used once, so two processes must never refresh one session at once, and a new token must be on the
//! disk before it is used. Whoever reads, refreshes and writes a session holds its lock.

use std::fs::File;
use std::path::PathBuf;

use leasehold::clock::Timestamp;
use leasehold::secret::random_hex;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::files;
use crate::issuer::Issuer;

/// How long an answer may still come after its request was sent (the 10 s rule of the wire contract).
pub const LATE_MILLIS: u64 = 10_000;

/// What is kept of a sign-in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Whose tokens these are.
    pub issuer: String,
    /// Who signed in.
    pub username: String,
    /// The session at the service.
    pub sid: String,
    /// What the session may do.
    #[serde(default)]
    pub scope: String,
    /// For the admin routes.
    pub access_token: String,
    /// For the next refresh.
    pub refresh_token: String,
    /// When the answer came, in milliseconds by this machine's clock.
    pub received_at: u64,
    /// Seconds from then after which to refresh.
    pub refresh_after: u64,
    /// Seconds from then for which the access token lives.
    pub expires_in: u64,
    /// When the session ends in any case, in epoch seconds.
    pub ends_at: u64,
    /// Until then, in milliseconds, the refresh token may not be presented: an older attempt may still be under way.
    #[serde(default)]
    pub hold_until: u64,
    /// When the refresh token was last presented, in milliseconds; 0 for never. Written before it is, so that whoever
    /// comes after a crash knows of an attempt without an answer.
    #[serde(default)]
    pub attempted_at: u64,
}

/// The members of a token response that are kept.
#[derive(Deserialize)]
pub struct Tokens {
    access_token: String,
    refresh_token: String,
    sid: String,
    #[serde(default)]
    scope: String,
    refresh_after: u64,
    expires_in: u64,
    session_expires_at: u64,
}

impl Session {
    /// The session that a token response opens or goes on with.
    pub fn of(issuer: &str, username: &str, tokens: Tokens, now: Timestamp) -> Self {
        let Tokens { access_token, refresh_token, sid, scope, refresh_after, expires_in, session_expires_at } =
            tokens;
        Self {
            issuer: issuer.to_owned(),
            username: username.to_owned(),
            sid,
            scope,
            access_token,
            refresh_token,
            received_at: now.millis(),
            refresh_after,
            expires_in,
            ends_at: session_expires_at,
            hold_until: 0,
            attempted_at: 0,
        }
    }

    /// Whether the access token is to be used as it is. A clock that went backwards makes it old.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        self.age(now).is_some_and(|age| age < self.refresh_after * 1000)
    }

    /// Whether the access token lives, for when it can't be refreshed.
    pub fn is_usable(&self, now: Timestamp) -> bool {
        self.age(now).is_some_and(|age| age + 5000 < self.expires_in * 1000)
    }

    /// How long to wait before the refresh token may be presented, in milliseconds.
    pub fn hold(&self, now: Timestamp) -> u64 {
        self.hold_until.saturating_sub(now.millis()).min(LATE_MILLIS)
    }

    /// The last attempt to refresh, if it may still be under way.
    pub fn in_doubt(&self, now: Timestamp) -> Option<Timestamp> {
        let attempt = Timestamp::from_millis(self.attempted_at);
        Some(attempt).filter(|_| now.millis().abs_diff(self.attempted_at) < LATE_MILLIS)
    }

    fn age(&self, now: Timestamp) -> Option<u64> {
        now.millis().checked_sub(self.received_at)
    }
}

/// The folder of sessions.
pub struct Sessions {
    folder: PathBuf,
}

impl Sessions {
    /// The sessions in a config folder, which is made if need be.
    pub fn open(config: PathBuf) -> Result<Self, Failure> {
        files::make_folder(&config.join("sessions"))?;
        Ok(Self { folder: config })
    }

    /// The session of an issuer, if there is one.
    pub fn find(&self, issuer: &Issuer) -> Result<Option<Session>, Failure> {
        let path = self.path(issuer.as_str());
        let Some(text) = files::read(&path)? else { return Ok(None) };
        let session = serde_json::from_slice(&text);
        session.map(Some).map_err(|error| Failure::Other(format!("{} is damaged: {error}", path.display())))
    }

    /// Keeps a session, for good before this returns.
    pub fn save(&self, session: &Session) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(session).map_err(|error| Failure::Other(error.to_string()))?;
        files::replace(&self.path(&session.issuer), &text)
    }

    /// Forgets a session.
    pub fn forget(&self, issuer: &Issuer) -> Result<(), Failure> {
        files::remove(&self.path(issuer.as_str()))
    }

    /// Takes the lock of a session. Whoever refreshes holds it.
    pub fn lock(&self, issuer: &Issuer) -> Result<File, Failure> {
        files::lock(&files::beside(&self.path(issuer.as_str()), ".lock"))
    }

    /// All sessions, by issuer.
    pub fn all(&self) -> Result<Vec<Session>, Failure> {
        let folder = self.folder.join("sessions");
        let entries = std::fs::read_dir(&folder).map_err(|error| files::failed("read", &folder, &error))?;
        let mut all = Vec::new();
        for entry in entries.flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let text = files::read(&path)?;
            // A damaged one is for the command that wants it to complain of.
            all.extend(text.and_then(|text| serde_json::from_slice::<Session>(&text).ok()));
        }
        all.sort_by(|left, right| left.issuer.cmp(&right.issuer));
        Ok(all)
    }

    /// The issuer of the last sign-in.
    pub fn current(&self) -> Result<Option<Issuer>, Failure> {
        let text = files::read(&self.folder.join("current"))?;
        Ok(text.and_then(|text| String::from_utf8_lossy(&text).trim().parse().ok()))
    }

    /// Makes an issuer the current one.
    pub fn set_current(&self, issuer: &Issuer) -> Result<(), Failure> {
        files::replace(&self.folder.join("current"), issuer.as_str().as_bytes())
    }

    /// The text by which this machine is known at logins: drawn once and kept.
    pub fn device(&self) -> Result<String, Failure> {
        let path = self.folder.join("device");
        if let Some(text) = files::read(&path)? {
            let text = String::from_utf8_lossy(&text).trim().to_owned();
            if !text.is_empty() {
                return Ok(text);
            }
        }
        let drawn = format!("cli-{}", random_hex::<16>());
        files::replace(&path, drawn.as_bytes())?;
        Ok(drawn)
    }

    /// A readable file name that no two issuers share: what is no letter, digit, dot or dash becomes `_` and its code.
    fn path(&self, issuer: &str) -> PathBuf {
        let name = issuer.bytes().fold(String::new(), |name, byte| match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' => name + &char::from(byte).to_string(),
            _ => name + &format!("_{byte:02x}"),
        });
        self.folder.join("sessions").join(format!("{name}.json"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn session(issuer: &str) -> Session {
        Session {
            issuer: issuer.to_owned(),
            username: "admin".to_owned(),
            sid: "sid".to_owned(),
            scope: "admin:keys".to_owned(),
            access_token: "ey".to_owned(),
            refresh_token: "lhr_".to_owned(),
            received_at: 1_000_000,
            refresh_after: 600,
            expires_in: 900,
            ends_at: 2_000_000,
            hold_until: 0,
            attempted_at: 0,
        }
    }

    fn folder(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("leasehold-cli-{name}-{}", std::process::id()))
    }

    #[test]
    fn a_session_is_its_owners_alone_and_comes_back() {
        let folder = folder("sessions");
        let sessions = Sessions::open(folder.clone()).unwrap();
        let issuer: Issuer = "https://auth.example/t/acme".parse().unwrap();
        assert!(sessions.find(&issuer).unwrap().is_none() && sessions.current().unwrap().is_none());
        let kept = session(issuer.as_str());
        sessions.save(&kept).unwrap();
        sessions.set_current(&issuer).unwrap();
        assert!(sessions.find(&issuer).unwrap() == Some(kept.clone()));
        assert_eq!(sessions.current().unwrap(), Some(issuer.clone()));
        assert!(sessions.all().unwrap() == [kept]);
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        let device = sessions.device().unwrap();
        assert_eq!(sessions.device().unwrap(), device, "drawn once");
        for path in [sessions.path(issuer.as_str()), folder.join("device"), folder.join("current")] {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
        sessions.forget(&issuer).unwrap();
        sessions.forget(&issuer).unwrap();
        assert!(sessions.find(&issuer).unwrap().is_none());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn no_two_issuers_share_a_file() {
        let sessions = Sessions { folder: PathBuf::new() };
        let names = ["https://a/t/b", "https://a/t_2fb", "https://a/T/b", "https://a_/t/b"]
            .map(|issuer| sessions.path(issuer));
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "{names:?}");
    }

    #[test]
    fn a_token_is_used_until_it_is_time_to_refresh() {
        let session = session("https://a/t/b");
        let at = |seconds: u64| Timestamp::from_millis(1_000_000 + seconds * 1000);
        for (seconds, fresh, usable) in
            [(0, true, true), (599, true, true), (600, false, true), (894, false, true), (895, false, false)]
        {
            assert_eq!(
                (session.is_fresh(at(seconds)), session.is_usable(at(seconds))),
                (fresh, usable),
                "{seconds}"
            );
        }
        assert!(!session.is_fresh(Timestamp::from_millis(999_999)), "the clock went backwards");
    }

    #[test]
    fn a_token_that_came_out_of_a_retry_is_held() {
        let held = Session { hold_until: 1_010_000, ..session("https://a/t/b") };
        assert_eq!(held.hold(Timestamp::from_millis(1_004_000)), 6000);
        assert_eq!(held.hold(Timestamp::from_millis(1_010_000)), 0);
        assert_eq!(held.hold(Timestamp::from_millis(1)), LATE_MILLIS, "never longer, whatever the clock did");
        let attempted = Session { attempted_at: 1_010_000, ..session("https://a/t/b") };
        for (at, in_doubt) in [(1_010_000, true), (1_019_999, true), (1_020_000, false), (1_005_000, true)] {
            assert_eq!(attempted.in_doubt(Timestamp::from_millis(at)).is_some(), in_doubt, "{at}");
        }
        assert!(
            session("https://a/t/b").in_doubt(Timestamp::from_millis(1_010_000)).is_none(),
            "never attempted"
        );
    }
}
