//! What a run came to: the judge's word on every family, and the numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::phone::Phone;
use super::thief::{Manner, Thief};
use super::{LATE_LIMIT, Settings, Street, rules};
use crate::history::{Came, Fault, Operation, Verdict, judge};

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    settings: Settings,
    took: Duration,
    lines: Vec<(&'static str, usize)>,
    faults: BTreeMap<String, usize>,
    /// Everything that breaks a promise, with the history that shows it.
    pub broken: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { phones, days, per_day, faults, seed } = self.settings;
        writeln!(
            f,
            "chaos: {phones} phones, {days} days of {per_day} refreshes, {:.1} % faults, seed {seed}, {:.0?}",
            f64::from(faults) / 10.0,
            self.took
        )?;
        for (name, count) in &self.lines {
            writeln!(f, "  {count:>8} {name}")?;
        }
        let faults: Vec<String> = self.faults.iter().map(|(name, count)| format!("{name} {count}")).collect();
        writeln!(f, "  faults: {}", faults.join(", "))?;
        for broken in &self.broken {
            writeln!(f, "  BROKEN: {broken}")?;
        }
        Ok(())
    }
}

/// Judges every family and adds up.
pub(super) fn write(
    settings: Settings,
    street: &Street,
    phones: &[Phone],
    thieves: &[Thief],
    took: Duration,
) -> Report {
    let robbed: BTreeSet<&str> = thieves.iter().filter_map(|thief| thief.family.as_deref()).collect();
    let families = with_sign_outs(street);
    let mut broken = Vec::new();
    let (mut forked, mut resurrected, mut lost, mut ended) = (0, 0, 0, 0);
    for (family, operations) in &families {
        match judge(operations, rules()) {
            Verdict::Legal { alive } => ended += usize::from(!alive),
            Verdict::Illegal { fault, at } => {
                match fault {
                    Fault::Forked => forked += 1,
                    Fault::Resurrected => resurrected += 1,
                    Fault::Lost | Fault::Unexplained => lost += 1,
                }
                broken.push(format!("{family}: {fault:?} at {at}\n{}", story(operations, at)));
            }
        }
    }
    let refused = |operation: &&Operation| operation.who == "phone" && operation.came == Came::Refused;
    let asked_to_end = |operations: &[Operation]| {
        operations.iter().any(|operation| operation.asked == crate::history::Asked::End)
    };
    let unasked = families
        .iter()
        .filter(|(family, operations)| !robbed.contains(family.as_str()) && !asked_to_end(operations))
        .filter(|(_, operations)| operations.iter().any(|operation| refused(&operation)))
        .count();
    if unasked > 0 {
        broken.push(format!("{unasked} sessions were lost"));
    }
    let count = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    let counts = &street.counts;
    if count(&counts.wrongly_denied) > 0 {
        broken.push(format!("{} good access tokens were refused", count(&counts.wrongly_denied)));
    }
    broken.extend(counts.odd.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned());
    let followers = || thieves.iter().filter(|thief| thief.manner == Manner::Follows);
    let longest = followers().map(|thief| thief.fed).max().unwrap_or_default();
    // One rotation of the token he stole, and then as many late replays in a row as the limit allows, his or the phone's.
    if longest > LATE_LIMIT as usize + 1 {
        broken.push(format!("a follower got a token in {longest} rounds"));
    }
    if street.stack.logs().contains("panicked") {
        broken.push("a function panicked".to_owned());
    }
    let (calls, faults) = street.proxy.fates();
    let lines = vec![
        ("families judged", families.len()),
        ("operations judged", families.values().map(Vec::len).sum()),
        ("refreshes that phones kept", count(&counts.refreshed)),
        ("attempts to refresh", count(&counts.attempts)),
        ("answers of 5xx", count(&counts.trouble)),
        ("attempts without an answer", count(&counts.hung_up)),
        ("replies lost", count(&counts.replies_lost)),
        ("apps killed before they saved", count(&counts.died)),
        ("sessions resumed late", count(&counts.late)),
        ("confirmations", count(&counts.confirmed)),
        ("sign-outs", count(&counts.signed_out)),
        ("sign-outs of other phones", count(&counts.signed_out_others)),
        ("access tokens used", count(&counts.verified)),
        ("logins", count(&counts.logins)),
        ("function processes killed at random", count(&counts.kills)),
        ("calls to AWS", calls),
        ("families ended, for cause", ended),
        ("thieves", thieves.len()),
        ("thieves who were out at the end", thieves.iter().filter(|thief| thief.out).count()),
        ("rounds that the longest follower lived", longest),
        ("phones refused, with and without cause", phones.iter().map(|phone| phone.lost).sum()),
        ("SESSIONS LOST", unasked + lost),
        ("FORKED FAMILIES", forked),
        ("TOKENS AFTER THE END", resurrected),
    ];
    Report { settings, took, lines, faults, broken }
}

/// The histories, with the sign-outs of whole users written into each family that they ended.
fn with_sign_outs(street: &Street) -> BTreeMap<String, Vec<Operation>> {
    let logins = street.logins.lock().unwrap_or_else(PoisonError::into_inner);
    let sign_outs = street.sign_outs.lock().unwrap_or_else(PoisonError::into_inner);
    let mut families = street.history.families();
    for (family, operations) in &mut families {
        let Some((login, person)) = logins.get(family) else { continue };
        for (whose, kept, operation) in sign_outs.iter() {
            let (began, answered) = operation.micros;
            if whose != person || kept == family || login.micros > answered {
                continue;
            }
            let mut operation = operation.clone();
            if login.micros > began {
                // The login may have read the epoch before it was raised, or after.
                operation.came = Came::Trouble;
            }
            operations.push(operation);
        }
        operations.sort_by_key(|operation| operation.micros.0);
    }
    families
}

/// The operations around the one that nothing explains.
fn story(operations: &[Operation], at: usize) -> String {
    let from = at.saturating_sub(12);
    let around = operations.iter().enumerate().skip(from).take(18);
    let lines: Vec<String> =
        around.map(|(at, operation)| format!("    {at} {}", operation.describe())).collect();
    lines.join("\n")
}
