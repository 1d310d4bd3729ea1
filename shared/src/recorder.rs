//! Counts decisions in memory and brings them to the table and to CloudWatch: with a request, at most every few seconds
//! and beside the request's own work; and when the process is told to end.
//!
//! A function that is shut down in order loses nothing; one that is killed loses at most what it counted since the last
//! flush. Counts that can't be written are kept for the next time. It must never make a request wait longer than its own
//! work takes by more than two seconds, and never let one fail.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;

use crate::clock::Timestamp;
use crate::health::emf::{self, Subject};
use crate::health::versions::Versions;
use crate::health::{Counts, Decision, Tally, TenantCounts};
use crate::id::{TenantId, UserId};
use crate::policy::Policy;
use crate::store::{Store, StoreError, TenantStore, Wanted};
use crate::telemetry::chain;

/// How long a flush may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many tenants are flushed at once.
const AT_ONCE: usize = 8;

/// How often learning is tried again because another process was first.
const LEARNING_ATTEMPTS: usize = 5;

/// How many logins with their versions are kept between two flushes.
const MOST_LOGINS: usize = 200;

/// The counts of this process. Clones share them.
#[derive(Clone, Debug)]
pub struct Recorder {
    state: Arc<Mutex<State>>,
    stage: String,
    interval_seconds: u64,
    retention_seconds: u64,
}

#[derive(Debug, Default)]
struct State {
    tally: Tally,
    logins: Vec<(TenantId, String, UserId)>,
    flushed_at: Option<Timestamp>,
}

/// What one tenant's flush could not write.
type Left = (TenantId, TenantCounts);

/// The versions of a tenant that have a row of their own.
type Labels = (TenantId, BTreeSet<String>);

impl Recorder {
    /// A recorder that flushes at most every so many seconds, and whose counts are kept for so many.
    pub fn new(stage: String, interval_seconds: u64, retention_seconds: u64) -> Self {
        Self { state: Arc::default(), stage, interval_seconds, retention_seconds }
    }

    /// Counts a decision about a tenant that exists.
    pub fn count(&self, tenant: &TenantId, version: Option<&str>, decision: Decision, now: Timestamp) {
        self.with(|state| state.tally.count(tenant, version, decision, now));
    }

    /// Notes that a user has signed in with a version.
    pub fn learn(&self, tenant: &TenantId, version: &str, user: UserId) {
        self.with(|state| {
            if state.logins.len() < MOST_LOGINS {
                state.logins.push((tenant.clone(), version.to_owned(), user));
            }
        });
    }

    /// Flushes what was counted, if the last time is long enough ago.
    pub async fn flush_if_due(&self, store: &Store, now: Timestamp) {
        let due = self.with(|state| {
            let next = state.flushed_at.map(|at| at.plus_seconds(self.interval_seconds));
            // The first request of a process has counted nothing yet: the interval begins with it.
            let due = next.is_some_and(|next| next <= now);
            if due || state.flushed_at.is_none() {
                state.flushed_at = Some(now);
            }
            due
        });
        if due {
            self.flush(store, now).await;
        }
    }

    /// Flushes what was counted.
    pub async fn flush(&self, store: &Store, now: Timestamp) {
        let (mut counted, logins) =
            self.with(|state| (state.tally.take(), std::mem::take(&mut state.logins)));
        for (tenant, _, _) in &logins {
            counted.entry(tenant.clone()).or_default();
        }
        let tenants: Vec<Left> = counted.into_iter().collect();
        let began = tokio::time::Instant::now();
        let mut labels = BTreeMap::new();
        for part in tenants.chunks(AT_ONCE) {
            if began.elapsed() >= PATIENCE {
                self.put_back(part.to_vec());
                continue;
            }
            let flushes = part.iter().map(|(tenant, counts)| {
                let heard: Vec<(&str, UserId)> = logins
                    .iter()
                    .filter(|(of, _, _)| of == tenant)
                    .map(|(_, version, user)| (version.as_str(), *user))
                    .collect();
                self.flush_tenant(store, tenant, counts, heard, now)
            });
            match tokio::time::timeout(PATIENCE, join_all(flushes)).await {
                Ok(flushed) => {
                    let (left, kept): (Vec<_>, Vec<_>) = flushed.into_iter().unzip();
                    labels.extend(kept.into_iter().flatten());
                    self.put_back(left.into_iter().flatten().collect());
                }
                // What had landed by then is counted twice: better than lost, and rare.
                Err(_elapsed) => self.put_back(part.to_vec()),
            }
        }
        self.with(|state| state.tally.keep_rows_for(labels));
    }

    fn put_back(&self, left: Vec<Left>) {
        self.with(|state| {
            for (tenant, counts) in left {
                state.tally.put_back(&tenant, counts);
            }
        });
    }

    /// Writes what was counted of one tenant. What could not be written comes back, and which versions have a row.
    async fn flush_tenant(
        &self,
        store: &Store,
        tenant: &TenantId,
        counts: &TenantCounts,
        heard: Vec<(&str, UserId)>,
        now: Timestamp,
    ) -> (Option<Left>, Option<Labels>) {
        let wanted = Wanted { versions: true, ..Wanted::default() };
        let entered = match store.enter(tenant, wanted).await {
            Ok(Some(entered)) => entered,
            // Nobody's counts are kept nowhere.
            Ok(None) => return (None, None),
            Err(error) => {
                tracing::warn!(%tenant, cause = chain(&error), "counts wait for the next flush");
                return (Some((tenant.clone(), counts.clone())), None);
            }
        };
        let versions = entered.versions.unwrap_or_default();
        let versions = learn(store, &entered.store, versions, &heard, now).await;
        let mut rows: BTreeMap<(u64, &str), Counts> = BTreeMap::new();
        for ((hour, version), counts) in counts {
            let row = rows.entry((*hour, versions.label(version, &entered.tenant.policy))).or_default();
            for (decision, count) in counts {
                *row.entry(*decision).or_default() += count;
            }
        }
        let expires_at = now.plus_seconds(self.retention_seconds);
        let writes = rows.iter().map(async |((hour, version), counts)| {
            let written = entered.store.add_counts(*hour, version, counts, expires_at).await;
            match written {
                Ok(()) => {
                    self.tell(tenant, &entered.tenant.policy, version, counts, now);
                    None
                }
                Err(error) => {
                    tracing::warn!(%tenant, cause = chain(&error), "counts wait for the next flush");
                    Some(((*hour, (*version).to_owned()), counts.clone()))
                }
            }
        });
        let left: TenantCounts = join_all(writes).await.into_iter().flatten().collect();
        let left = (!left.is_empty()).then(|| (tenant.clone(), left));
        (left, Some((tenant.clone(), versions.labels(&entered.tenant.policy))))
    }

    fn tell(&self, tenant: &TenantId, policy: &Policy, version: &str, counts: &Counts, now: Timestamp) {
        let pinned = policy.pinned_versions.contains(version);
        let subject = Subject { stage: &self.stage, tenant, version, pinned };
        if let Some(line) = emf::line(subject, counts, now) {
            // A log that can't be written has nobody who could be told.
            let _unheard = writeln!(std::io::stdout().lock(), "{line}");
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Learns the versions that users have signed in with, and gives the list as it is then. Trouble with that is forgotten:
/// the next login teaches the same.
async fn learn(
    store: &Store,
    scope: &TenantStore,
    mut versions: Versions,
    heard: &[(&str, UserId)],
    now: Timestamp,
) -> Versions {
    for _ in 0..LEARNING_ATTEMPTS {
        let learnt = heard.iter().fold(versions.clone(), |known, (version, user)| {
            known.learn(version, *user, now).unwrap_or(known)
        });
        if learnt == versions {
            return versions;
        }
        match scope.commit_versions(&versions, &learnt).await {
            Ok(true) => return learnt,
            // Another process learnt something first: learn on top of that.
            Ok(false) => {}
            Err(error) => {
                note(&error);
                return versions;
            }
        }
        let wanted = Wanted { versions: true, ..Wanted::default() };
        match store.enter(scope.tenant(), wanted).await {
            Ok(entered) => versions = entered.and_then(|entered| entered.versions).unwrap_or_default(),
            Err(error) => {
                note(&error);
                return versions;
            }
        }
    }
    versions
}

fn note(error: &StoreError) {
    tracing::warn!(cause = chain(error), "client versions could not be learnt");
}
