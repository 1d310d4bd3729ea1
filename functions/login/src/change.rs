//! A user's change of password, or the setting of one with a one-time code: the same check as a login, then one
//! transaction that sets the new hash, raises the user's epoch (which ends every session, RFC 9700 §4.14.2 and ASVS
//! 7.4.3), tells verifiers and writes the audit log.

use http::StatusCode;
use leasehold::audit::{Action, Actor, AuditEvent};
use leasehold::http::{Call, Code, Refusal, Reply};
use leasehold::revocation::Revocation;
use leasehold::store::{Commit, StoreError};
use leasehold::telemetry::Note;
use leasehold::user::User;

use crate::Login;
use crate::check::{Checked, check};
use crate::request::{PasswordRequest, Proof};

/// How often the change is tried on a user whom others keep changing.
const TRIES: u32 = 3;

/// `POST /t/{tenant}/password`.
///
/// # Errors
/// Those of [`check`]; `invalid_request` with the reason when the new password may not be set.
pub async fn change_password(login: &Login, call: &Call, note: &mut Note) -> Result<Reply, Refusal> {
    let PasswordRequest { claimed, new_password } = PasswordRequest::read(call)?;
    let checked = Box::pin(check(login, &claimed, call, note)).await?;
    let Checked { store, tenant, user, counters, .. } = &checked;
    let hashed = async {
        let policy = login.app.config.passwords;
        policy
            .check(new_password.expose(), &user.login, &tenant.id)
            .map_err(|weak| Refusal::invalid_request(weak.text()))?;
        Ok::<_, Refusal>(login.hasher.hash(new_password.clone(), login.cost(&tenant.policy)).await?)
    };
    let (hashed, ()) = tokio::join!(hashed, counters.take_back(store));
    commit(&checked, &claimed.proof, &hashed?, call).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

/// Writes the change on condition that the user is as it was checked. Another write in between is looked at: the change
/// is tried again on a user who may still sign in with the password that was shown, and on nobody else.
async fn commit(checked: &Checked, proof: &Proof, hash: &str, call: &Call) -> Result<(), Refusal> {
    let mut before = checked.user.clone();
    for _ in 0..TRIES {
        let after = changed(&before, hash);
        let revocation = Revocation::User { sub: after.id, epoch: after.epoch };
        let writes = checked.store.writes().user(&before, &after).revocation(&revocation);
        match writes.audit(&event(&after, proof, call)).commit().await? {
            Commit::Done => return Ok(()),
            Commit::Lost(_) => {}
        }
        let found = checked.store.find_user(before.id).await?;
        before = still_the_same(&checked.user, proof, found)?;
    }
    Err(StoreError::Contended.into())
}

fn changed(before: &User, hash: &str) -> User {
    User {
        password: Some(hash.to_owned()),
        // A code is good once; one that was not used has nothing left to be for.
        code: None,
        epoch: before.epoch.saturating_add(1),
        version: before.version + 1,
        ..before.clone()
    }
}

fn event(user: &User, proof: &Proof, call: &Call) -> AuditEvent {
    AuditEvent::new(call.now, Actor::User(user.id), Action::UserPassword)
        .on(&user.id)
        .from(call.source.as_deref())
        .with("with_code", matches!(proof, Proof::Code(_)))
}

/// The user as found again, if the check still holds. Under another hash it can't be told whether it does (it may be the
/// same password, hashed anew by a login): the client is asked to try again, and that is checked from the start.
fn still_the_same(checked: &User, proof: &Proof, found: Option<User>) -> Result<User, Refusal> {
    let spent = |user: &User| matches!(proof, Proof::Code(_)) && user.code != checked.code;
    match found {
        Some(user) if spent(&user) => Err(Refusal::new(Code::InvalidCredentials, "wrong_code")),
        Some(user) if !user.is_active() => Err(Refusal::new(Code::InvalidCredentials, "user_disabled")),
        Some(user) if user.password == checked.password => Ok(user),
        Some(_) => Err(StoreError::Contended.into()),
        None => Err(Refusal::new(Code::InvalidCredentials, "unknown_user")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold::clock::Timestamp;
    use leasehold::user::{Profile, UserStatus};
    use std::collections::BTreeSet;

    fn user() -> User {
        let roles = BTreeSet::from(["user".to_owned()]);
        let profile = Profile { roles, ..Profile::default() };
        let user = User::new("ada".parse().unwrap(), profile, Timestamp::from_seconds(1));
        User { password: Some("$old".to_owned()), epoch: 7, version: 4, ..user }
    }

    #[test]
    fn a_change_ends_every_session_and_changes_nothing_else() {
        let before = user();
        let after = changed(&before, "$new");
        assert_eq!(after.password.as_deref(), Some("$new"));
        assert_eq!((after.epoch, after.version), (8, 5));
        let rest = User { password: before.password.clone(), epoch: 7, version: 4, ..after };
        assert_eq!(rest, before);
    }

    #[test]
    fn a_change_is_tried_again_only_where_the_shown_password_still_counts() {
        let checked = user();
        let renamed = User { roles: BTreeSet::new(), version: 5, ..checked.clone() };
        let rehashed = User { password: Some("$anew".to_owned()), ..checked.clone() };
        let disabled = User { status: UserStatus::Disabled, ..checked.clone() };
        let password = Proof::Password(leasehold::secret::Secret::new("old".to_owned()));
        let code = |found| still_the_same(&checked, &password, found).map_err(|refusal| refusal.code);
        assert_eq!(code(Some(renamed.clone())), Ok(renamed), "something else changed");
        assert_eq!(code(Some(rehashed)), Err(Code::TemporarilyUnavailable), "the hash changed");
        assert_eq!(code(Some(disabled)), Err(Code::InvalidCredentials), "disabled meanwhile");
        assert_eq!(code(None), Err(Code::InvalidCredentials), "gone meanwhile");
        let (text, kept) = leasehold::user::OneTimeCode::draw(60, Timestamp::from_seconds(1));
        let invited = User { code: Some(kept), password: None, ..checked.clone() };
        let again = |found| {
            still_the_same(&invited, &Proof::Code(text.clone()), found).map_err(|refusal| refusal.code)
        };
        assert_eq!(again(Some(invited.clone())), Ok(invited.clone()), "the code still stands");
        let spent = User { code: None, ..invited.clone() };
        assert_eq!(again(Some(spent)), Err(Code::InvalidCredentials), "used by another request");
    }
}
