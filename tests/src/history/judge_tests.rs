//! The judge is judged: honest histories pass, and each planted fault is found and named.

use super::*;

const RULES: Rules = Rules {
    retry_window: 60,
    late_window: 604_800,
    late_limit: 3,
    after_trouble: 1_000,
    after_nothing: 5_000,
};

/// Writes a history line by line; each line begins when the one before has ended.
#[derive(Default)]
struct Script {
    operations: Vec<Operation>,
    micros: u64,
    simulated: i64,
}

impl Script {
    fn then(mut self, asked: Asked, came: Came) -> Self {
        let micros = (self.micros, self.micros + 100);
        self.micros += 10_000;
        let simulated = (self.simulated, self.simulated);
        self.operations.push(Operation { who: "phone", asked, came, micros, simulated });
        self
    }

    fn refresh(self, presented: u32, came: Came) -> Self {
        self.then(Asked::Refresh(presented), came)
    }

    /// Lets the last operation overlap with what comes next.
    fn overlapping(mut self) -> Self {
        let last = self.operations.last_mut().expect("an operation to stretch");
        last.micros.1 += 15_000;
        self
    }

    /// The next operation follows at once, before what was lost has run out.
    fn at_once(mut self) -> Self {
        self.micros -= 9_800;
        self
    }

    fn wait(mut self, seconds: i64) -> Self {
        self.simulated += seconds;
        self
    }

    fn verdict(&self) -> Verdict {
        judge(&self.operations, RULES)
    }
}

fn token(generation: u32) -> Came {
    Came::Token(generation, format!("token-{generation}"))
}

const LEGAL: Verdict = Verdict::Legal { alive: true };

fn illegal(fault: Fault, at: usize) -> Verdict {
    Verdict::Illegal { fault, at }
}

#[test]
fn honest_histories_are_legal() {
    let plain = Script::default().refresh(0, token(1)).refresh(1, token(2)).refresh(2, token(3));
    assert_eq!(plain.verdict(), LEGAL);
    let lost = Script::default().refresh(0, Came::Nothing).refresh(0, token(1)).refresh(1, Came::Trouble);
    assert_eq!(lost.refresh(1, token(2)).verdict(), LEGAL);
    let late =
        Script::default().refresh(0, Came::Nothing).wait(86_400).refresh(0, token(1)).refresh(1, token(2));
    assert_eq!(late.verdict(), LEGAL);
    let race = Script::default().refresh(0, token(1)).overlapping().refresh(0, token(1)).refresh(1, token(2));
    assert_eq!(race.verdict(), LEGAL);
    let confirmed =
        Script::default().refresh(0, token(1)).then(Asked::Confirm(1), Came::Done).refresh(1, token(2));
    assert_eq!(confirmed.verdict(), LEGAL);
}

#[test]
fn an_end_is_legal_and_final() {
    let ended = Script::default().refresh(0, token(1)).then(Asked::End, Came::Done).refresh(1, Came::Refused);
    assert_eq!(ended.verdict(), Verdict::Legal { alive: false });
    let racing = Script::default().then(Asked::End, Came::Done).overlapping().refresh(0, token(1));
    assert_eq!(racing.refresh(1, Came::Refused).verdict(), Verdict::Legal { alive: false });
    let lost_end = Script::default().then(Asked::End, Came::Nothing).refresh(0, Came::Refused);
    assert_eq!(lost_end.verdict(), Verdict::Legal { alive: false });
    let lost_end_that_never_was = Script::default().then(Asked::End, Came::Nothing).refresh(0, token(1));
    assert_eq!(lost_end_that_never_was.verdict(), LEGAL);
}

#[test]
fn a_spent_token_ends_the_family_legally() {
    let reuse = Script::default().refresh(0, token(1)).refresh(1, token(2)).refresh(0, Came::Refused);
    assert_eq!(reuse.refresh(2, Came::Refused).verdict(), Verdict::Legal { alive: false });
}

#[test]
fn a_planted_fork_is_found() {
    let other = Came::Token(1, "another".to_owned());
    let forked = Script::default().refresh(0, token(1)).overlapping().refresh(0, other);
    assert_eq!(forked.verdict(), illegal(Fault::Forked, 1));
    // Two lineages whose tokens never meet in one generation: generation 1 is rotated twice.
    let twice =
        Script::default().refresh(0, token(1)).refresh(1, token(2)).refresh(2, token(3)).refresh(1, token(2));
    assert_eq!(twice.verdict(), illegal(Fault::Unexplained, 3));
}

#[test]
fn a_planted_resurrection_is_found() {
    let revived = Script::default().refresh(0, token(1)).then(Asked::End, Came::Done).refresh(1, token(2));
    assert_eq!(revived.verdict(), illegal(Fault::Resurrected, 2));
    let after_reuse = Script::default().refresh(0, token(1)).refresh(1, token(2)).refresh(0, Came::Refused);
    assert_eq!(after_reuse.refresh(2, token(3)).verdict(), illegal(Fault::Resurrected, 3));
}

#[test]
fn a_planted_loss_is_found() {
    let lost = Script::default().refresh(0, token(1)).refresh(1, Came::Refused);
    assert_eq!(lost.verdict(), illegal(Fault::Lost, 1));
    let lost_after_silence = Script::default().refresh(0, Came::Nothing).refresh(0, Came::Refused);
    assert_eq!(lost_after_silence.verdict(), illegal(Fault::Lost, 1));
    let lost_in_a_race = Script::default().refresh(0, token(1)).overlapping().refresh(0, Came::Refused);
    assert_eq!(lost_in_a_race.verdict(), illegal(Fault::Lost, 1));
    let lost_late = Script::default().refresh(0, token(1)).wait(600_000).refresh(0, Came::Refused);
    assert_eq!(lost_late.verdict(), illegal(Fault::Lost, 1));
}

#[test]
fn a_skipped_generation_is_found() {
    let skipped = Script::default().refresh(0, token(2));
    assert_eq!(skipped.verdict(), illegal(Fault::Unexplained, 0));
    let backwards = Script::default().refresh(0, token(1)).refresh(1, token(1));
    assert_eq!(backwards.verdict(), illegal(Fault::Unexplained, 1));
}

#[test]
fn what_was_lost_may_take_effect_for_a_while_and_then_no_more() {
    let slow = Script::default().refresh(0, Came::Nothing).at_once().refresh(0, token(1)).at_once();
    assert_eq!(slow.refresh(1, token(2)).verdict(), LEGAL);
    // The lost one presented generation 0; long after it ran out, the family ends as by a spent token: nothing explains it.
    let lost = Script::default().refresh(0, Came::Nothing).refresh(0, token(1)).refresh(1, token(2));
    assert_eq!(lost.refresh(2, Came::Refused).verdict(), illegal(Fault::Lost, 3));
}

#[test]
fn late_replays_within_the_limit_are_legal_and_one_more_is_not() {
    let follow = |generations: u32| {
        (0..generations).fold(Script::default(), |script, generation| {
            let script = script.refresh(generation, token(generation + 1)).wait(3600);
            script.refresh(generation, token(generation + 1))
        })
    };
    assert_eq!(follow(3).verdict(), LEGAL);
    assert_eq!(follow(4).verdict(), illegal(Fault::Unexplained, 7));
    let out = follow(3).refresh(3, token(4)).wait(3600).refresh(3, Came::Refused);
    assert_eq!(out.verdict(), Verdict::Legal { alive: false });
}

#[test]
fn a_token_past_its_window_or_confirmed_is_no_longer_given() {
    let late = Script::default().refresh(0, token(1)).wait(604_801).refresh(0, token(1));
    assert_eq!(late.verdict(), illegal(Fault::Unexplained, 1));
    let confirmed =
        Script::default().refresh(0, token(1)).then(Asked::Confirm(1), Came::Done).refresh(0, token(1));
    assert_eq!(confirmed.verdict(), illegal(Fault::Unexplained, 2));
}
