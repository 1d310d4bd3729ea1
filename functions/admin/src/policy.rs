//! The policy of the tenant: every lifetime, window and limit, with its bounds.

use http::StatusCode;
use http::header::ETAG;
use leasehold::audit::Action;
use leasehold::http::Reply;
use leasehold::policy::{Bounds, Policy};
use leasehold::store::{Commit, Wanted};
use leasehold::tenant::Tenant;
use serde_json::{Map, Value, json};

use crate::caller::Caller;
use crate::problem::Problem;
use crate::{ATTEMPTS, etag, input};

/// `GET /policy`.
pub fn show(caller: &Caller<'_>) -> Reply {
    reply(&caller.tenant)
}

/// `PATCH /policy`. A change counts from the next login and refresh on; windows of a rotation that has been stay as they
/// were.
pub async fn update(caller: &Caller<'_>) -> Result<Reply, Problem> {
    let change: Map<String, Value> = input::json(caller.call)?;
    if !change.keys().all(|name| Policy::MEMBERS.contains(&name.as_str())) {
        return Err(Problem::invalid("The policy has no such member."));
    }
    for _ in 0..ATTEMPTS {
        let entered = caller.app.store.enter(&caller.tenant.id, Wanted::default()).await?;
        let before = entered.ok_or_else(|| Problem::not_found("tenant"))?.tenant;
        etag::require(caller.call, &tag(&before))?;
        let policy = apply(&before.policy, &change)?;
        policy.check()?;
        policy.check_within(&caller.app.config.margins)?;
        let cost = caller.app.config.hashing.cost.asked_by(&policy);
        cost.check().map_err(|_| {
            Problem::invalid_member(
                "argon2_memory_kib",
                "With the passes, it is more work than a hash may cost.",
            )
        })?;
        if policy.custody != before.policy.custody && !before.allowed_custody.contains(&policy.custody) {
            return Err(Problem::custody_not_allowed());
        }
        let after = Tenant { policy, ..before.next() };
        let names: Vec<&String> = change.keys().collect();
        let event = caller.event(Action::PolicyUpdate).with("changed", json!(names));
        if caller.store.writes().tenant(&before, &after).audit(&event).commit().await? == Commit::Done {
            return Ok(reply(&after));
        }
    }
    Err(Problem::contended())
}

/// The policy with some members changed; `null` takes a member back to its default.
fn apply(before: &Policy, change: &Map<String, Value>) -> Result<Policy, Problem> {
    let malformed = || Problem::invalid("A member of the policy is of another type.");
    let Ok(Value::Object(mut members)) = serde_json::to_value(before) else { return Err(malformed()) };
    for (name, value) in change {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    serde_json::from_value(Value::Object(members)).map_err(|_| malformed())
}

fn reply(tenant: &Tenant) -> Reply {
    let bounds: Map<String, Value> = Policy::BOUNDS.iter().map(bound).collect();
    let mut policy = json!(tenant.policy);
    if let Some(members) = policy.as_object_mut() {
        // What a newer release keeps is not this one's to show.
        members.retain(|name, _| Policy::MEMBERS.contains(&name.as_str()));
    }
    let answer = json!({ "policy": policy, "bounds": bounds, "allowed_custody": tenant.allowed_custody });
    Reply::json(StatusCode::OK, &answer).header(ETAG, tag(tenant))
}

fn bound(Bounds { name, default, low, high }: &Bounds) -> (String, Value) {
    ((*name).to_owned(), json!({ "default": default, "low": low, "high": high }))
}

fn tag(tenant: &Tenant) -> String {
    etag::of(&tenant.id, "policy", "", tenant.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_leaves_the_rest_and_null_goes_back_to_the_default() {
        let before = Policy { idle_seconds: 60, code_seconds: 100, ..Policy::default() };
        let change = json!({"idle_seconds": null, "retry_window_seconds": 5});
        let after = apply(&before, change.as_object().unwrap()).unwrap();
        assert_eq!(after, Policy { code_seconds: 100, retry_window_seconds: 5, ..Policy::default() });
    }

    #[test]
    fn values_of_other_types_are_refused() {
        for change in [
            json!({"idle_seconds": "60"}),
            json!({"idle_seconds": -1}),
            json!({"spare_key": 1}),
            json!({"algorithm": "none"}),
            json!({"custody": "file"}),
            json!({"allowed_scopes": "read"}),
        ] {
            assert!(apply(&Policy::default(), change.as_object().unwrap()).is_err(), "{change}");
        }
    }
}
