//! Every scenario searched to its end, and every broken rule found out.
//!
//! The bounds here are those of every day. `MODEL_GENERATIONS` and `MODEL_CALLS` widen them: each generation more
//! multiplies the states by about six, each call more by about forty.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Instant;

use leasehold::policy::Policy;
use leasehold_model::promises::{
    CAN_GO_ON, LOCK_STEP_ENDS, NOT_SIGNED_OUT, ONE_LINEAGE, OUTSIDERS, REVOKED_IS_REVOKED, Reach,
    SPENT_IS_SPENT,
};
use leasehold_model::rules::{self, Answering, Condition, Epochs, Revocation};
use leasehold_model::{Rules, Scenario};
use stateright::{Checker as _, Model as _};

/// Seconds past the retry window, and past the late window.
const LATE: i64 = 120;
const TOO_LATE: i64 = 700_000;

fn policy(late_retry_limit: u32) -> Policy {
    Policy { late_retry_limit, ..Policy::default() }
}

/// A bound, at least as wide as it is every day.
#[expect(clippy::disallowed_methods, reason = "the one place where the model reads the environment")]
fn at_least(variable: &str, everyday: usize) -> usize {
    let wished = std::env::var(variable).ok().and_then(|text| text.parse().ok());
    everyday.max(wished.unwrap_or(everyday))
}

fn honest(late_retry_limit: u32) -> Scenario {
    Scenario::honest(&policy(late_retry_limit))
}

/// Searches a scenario to its end: every promise holds in every state, and everything was reached that must be.
fn holds(name: &str, scenario: Scenario) {
    let generations = at_least("MODEL_GENERATIONS", scenario.generations as usize);
    let scenario = Scenario {
        generations: u32::try_from(generations).expect("a small number"),
        calls: at_least("MODEL_CALLS", scenario.calls),
        ..scenario
    };
    let bounds = format!(
        "{} generations, {} calls at once, {} moves of the clock, {} clocks off",
        scenario.generations, scenario.calls, scenario.wait_budget, scenario.skews
    );
    let begin = Instant::now();
    let search = scenario.checker().spawn_bfs().join();
    search.assert_properties();
    report(&format!(
        "model: {name}: {} states, {} transitions, {} deep ({bounds}), {:.1?}",
        search.unique_state_count(),
        search.state_count(),
        search.max_depth(),
        begin.elapsed()
    ));
}

/// Searches a scenario under a broken rule until it has found out that this promise does not hold; `steps` at most, so
/// that a person can read them.
fn found_out(
    name: &str,
    promise: &'static str,
    steps: usize,
    scenario: Scenario,
    broken: impl FnOnce(&mut Rules),
) {
    let scenario = scenario.under(broken);
    // Deeper step by step, so that the shortest example is the one that is found.
    let found = (1..=steps).find_map(|depth| {
        let search = scenario.clone().checker().target_max_depth(depth + 2).spawn_bfs().join();
        search.discovery(promise)
    });
    assert!(found.is_some(), "{name}: nothing found within {steps} steps");
    let path = found.map(stateright::Path::into_vec).unwrap_or_default();
    let mut story = format!("model: {name}: \"{promise}\" fails after {} steps", path.len() - 1);
    for (world, action) in &path {
        let action = action.as_ref().map(|action| format!("{action:?}")).unwrap_or_default();
        write!(story, "\n  {world:?}\n    {action}").expect("a String takes everything");
    }
    report(&story);
}

/// Shown also when the test passes.
fn report(text: &str) {
    // Nobody may be listening, and then there is nobody to tell.
    drop(writeln!(std::io::stderr(), "{text}"));
}

#[test]
fn an_honest_client_keeps_its_session_whatever_crashes_and_is_lost() {
    let reach = &[Reach::LastGeneration, Reach::Overtaken, Reach::FoundOwn];
    holds(
        "lost replies, crashes, three at once",
        Scenario { calls: 3, generations: 2, must_reach: reach, ..honest(3) },
    );
}

#[test]
fn a_client_that_does_not_wait_for_a_slow_function_keeps_its_session() {
    holds(
        "an impatient client",
        Scenario {
            impatient: true,
            confirms: true,
            generations: 2,
            must_reach: &[Reach::Slow, Reach::Overtaken],
            ..honest(3)
        },
    );
}

#[test]
fn a_client_that_confirms_keeps_its_session_and_spends_the_token_before() {
    holds(
        "confirmations",
        Scenario {
            confirms: true,
            must_reach: &[Reach::LastGeneration, Reach::Spent, Reach::Overtaken],
            ..honest(3)
        },
    );
}

#[test]
fn a_client_that_comes_back_late_keeps_its_session_within_the_limit() {
    holds(
        "late retries",
        Scenario {
            waits: &[30, LATE, TOO_LATE],
            wait_budget: 2,
            generations: 2,
            must_reach: &[Reach::Late, Reach::Reuse],
            ..honest(1)
        },
    );
}

#[test]
fn a_clock_that_jumps_costs_no_session() {
    holds(
        "jumps of five minutes",
        Scenario {
            jumps: &[300, -300],
            wait_budget: 2,
            generations: 2,
            must_reach: &[Reach::Late],
            ..honest(2)
        },
    );
}

#[test]
fn functions_two_minutes_apart_cost_no_session() {
    holds(
        "clocks apart",
        Scenario {
            skew_seconds: &[120, -120],
            skews: 2,
            generations: 2,
            must_reach: &[Reach::Late],
            ..honest(2)
        },
    );
}

#[test]
fn a_thief_gets_no_lineage_of_his_own_and_is_out_within_the_limit() {
    holds(
        "a thief in lock step, one call at a time",
        Scenario {
            thief: true,
            waits: &[LATE],
            wait_budget: 4,
            calls: 1,
            generations: 4,
            faults: 0,
            must_reach: &[Reach::Late, Reach::Reuse],
            ..honest(2)
        },
    );
    holds(
        "a thief in and out of step, two calls at once",
        Scenario {
            thief: true,
            waits: &[LATE],
            wait_budget: 1,
            generations: 2,
            faults: 0,
            must_reach: &[Reach::Late, Reach::Reuse, Reach::Slow],
            ..honest(1)
        },
    );
}

#[test]
fn a_thief_is_out_of_what_was_confirmed() {
    holds(
        "a thief and confirmations",
        Scenario {
            thief: true,
            confirms: true,
            generations: 2,
            faults: 0,
            must_reach: &[Reach::Spent, Reach::Reuse],
            ..honest(1)
        },
    );
}

#[test]
fn what_was_revoked_stays_so() {
    holds(
        "revocation",
        Scenario { revokes: true, must_reach: &[Reach::Ended, Reach::Overtaken], ..honest(3) },
    );
}

#[test]
fn a_sign_out_of_all_others_keeps_this_session_though_reads_fall_apart() {
    holds(
        "sign-out of all others",
        Scenario {
            signs_out: Some(true),
            split_reads: true,
            generations: 2,
            must_reach: &[Reach::EpochsDiffer, Reach::Overtaken],
            ..honest(3)
        },
    );
}

#[test]
fn a_sign_out_everywhere_ends_what_is_under_way() {
    holds(
        "sign-out everywhere",
        Scenario {
            signs_out: Some(false),
            split_reads: true,
            generations: 2,
            must_reach: &[Reach::EpochsDiffer, Reach::Ended],
            ..honest(3)
        },
    );
}

#[test]
fn broken_writing_without_a_condition_forks_the_family() {
    found_out("no condition", ONE_LINEAGE, 6, honest(3), |rules| rules.condition = Condition::Nothing);
}

#[test]
fn broken_a_successor_for_every_retry_forks_the_family() {
    found_out("retries rotate", ONE_LINEAGE, 7, honest(3), |rules| rules.replay = rules::retries_rotate);
}

#[test]
fn broken_answering_before_the_write_loses_the_session() {
    found_out("answered before the write", CAN_GO_ON, 2, honest(3), |rules| rules.answer = Answering::Hoped);
}

#[test]
fn broken_calling_a_slow_duplicate_theft_signs_out_an_honest_client() {
    let scenario = Scenario { impatient: true, generations: 2, must_reach: &[], ..honest(3) };
    found_out("slow duplicates are theft", NOT_SIGNED_OUT, 14, scenario, |rules| {
        rules.present_again = rules::slow_duplicates_are_theft;
    });
}

#[test]
fn broken_replaying_nothing_loses_the_session_with_the_reply() {
    found_out("nothing is replayed", NOT_SIGNED_OUT, 7, honest(3), |rules| {
        rules.present = rules::nothing_is_replayed;
    });
}

#[test]
fn broken_counting_no_late_retries_lets_a_follower_stay() {
    let scenario =
        Scenario { thief: true, waits: &[LATE], wait_budget: 3, calls: 1, must_reach: &[], ..honest(1) };
    found_out("late retries are not counted", LOCK_STEP_ENDS, 24, scenario.clone(), |rules| {
        rules.present = rules::late_retries_are_not_counted;
    });
    found_out("rotations forget late retries", LOCK_STEP_ENDS, 24, scenario, |rules| {
        rules.rotate = rules::rotations_forget_late_retries;
    });
}

#[test]
fn broken_ignoring_a_confirmation_revives_what_was_spent() {
    let scenario = Scenario { confirms: true, generations: 1, thief: true, must_reach: &[], ..honest(3) };
    found_out("confirmed tokens are replayed", SPENT_IS_SPENT, 12, scenario, |rules| {
        rules.present = rules::confirmed_tokens_are_replayed;
    });
}

#[test]
fn broken_a_revocation_that_a_refresh_can_overwrite_revives_the_family() {
    let scenario = Scenario { revokes: true, generations: 2, must_reach: &[], ..honest(3) };
    found_out("revocation leaves the version", REVOKED_IS_REVOKED, 10, scenario.clone(), |rules| {
        rules.revocation = Revocation::Unversioned;
    });
    found_out("the status is not looked at", REVOKED_IS_REVOKED, 8, scenario, |rules| {
        rules.present = rules::revoked_families_rotate;
    });
}

#[test]
fn broken_believing_epochs_at_once_signs_out_who_was_to_stay() {
    let scenario =
        Scenario { signs_out: Some(true), split_reads: true, generations: 2, must_reach: &[], ..honest(3) };
    found_out("epochs believed at once", NOT_SIGNED_OUT, 7, scenario.clone(), |rules| {
        rules.epochs = Epochs::AtOnce;
    });
    found_out("the kept family keeps its epoch", CAN_GO_ON, 4, scenario, |rules| {
        rules.restamp = rules::a_kept_family_keeps_its_epoch;
    });
}

#[test]
fn broken_taking_a_proof_for_a_secret_lets_an_outsider_end_the_family() {
    found_out("proofs are enough", OUTSIDERS, 1, honest(3), |rules| rules.present = rules::proofs_are_enough);
}

#[test]
fn broken_refusing_a_spent_token_and_no_more_lets_the_thief_stay() {
    let scenario = Scenario { thief: true, faults: 0, must_reach: &[Reach::Reuse], ..honest(1) };
    let search =
        scenario.under(|rules| rules.present = rules::reuse_is_only_refused).checker().spawn_bfs().join();
    assert!(search.discovery("reached: reuse").is_none(), "no family ends");
}
