//! A phone: it refreshes as `wire.md` asks clients to, and suffers what phones suffer.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::{AFTER_NOTHING, Answer, Counts, Held, LATE_LIMIT, Street, Visit, credentials};
use crate::dice::Dice;
use crate::history::{Asked, Came};
use crate::http::{Call, Http};
use crate::tenant::{APP, Tenant};

/// How long a phone waits for an answer that it means to wait for.
const PATIENCE: Duration = Duration::from_secs(30);

/// One phone.
pub struct Phone {
    pub number: usize,
    pub tenant: Tenant,
    user: String,
    /// Whether another phone has the same user.
    shared: bool,
    http: Http,
    dice: Dice,
    /// What it has saved.
    pub saved: Option<Held>,
    /// The access token that came last.
    access: String,
    /// Whether a token of this session was stolen.
    pub robbed: bool,
    /// Refusals that nobody had caused.
    pub lost: usize,
    /// Late retries since a generation passed with one attempt: more than the limit and the promise ends.
    late_run: u32,
    /// Whether it went to sleep over this token.
    slept: bool,
    /// Attempts made with the token that is saved.
    attempts: u32,
    /// When no attempt of its can be under way any more.
    quiet_at: Instant,
}

/// What becomes of an attempt, on the phone's side.
enum Fate {
    Arrives,
    HangsUp(Duration),
    Lost,
    Dies,
}

impl Phone {
    pub fn new(number: usize, tenant: Tenant, user: String, shared: bool, dice: Dice) -> Self {
        Self {
            number,
            tenant,
            user,
            shared,
            http: Http::new(),
            dice,
            saved: None,
            access: String::new(),
            robbed: false,
            lost: 0,
            late_run: 0,
            slept: false,
            attempts: 0,
            quiet_at: Instant::now(),
        }
    }

    /// Signs in, until it works.
    pub async fn sign_in(&mut self, street: &Street) {
        loop {
            let call = Call::post(self.tenant.url("/login")).json(&credentials(&self.user, self.number));
            let permit = street.line.acquire().await;
            let begun = street.begin();
            let answer = call.try_send(&self.http).await;
            drop(permit);
            if let Ok(reply) = answer {
                if reply.status == 200 {
                    let held = Held::of(&reply.string("refresh_token"));
                    self.access = reply.string("access_token");
                    let mut logins = street.logins.lock().unwrap_or_else(PoisonError::into_inner);
                    logins.insert(held.family.clone(), (begun, self.person()));
                    Counts::one(&street.counts.logins);
                    self.saved = Some(held);
                    (self.robbed, self.slept, self.attempts, self.late_run) = (false, false, 0, 0);
                    return;
                }
                if reply.status < 500 {
                    street.counts.odd(format!("login: {reply}"));
                }
            }
            self.pause().await;
        }
    }

    /// One round: a refresh, and now and then what people do.
    pub async fn live(&mut self, street: &Street) {
        if self.saved.is_none() {
            self.sign_in(street).await;
        }
        if !self.refresh(street).await {
            return;
        }
        if self.dice.in_thousand(150) {
            self.confirm(street).await;
        }
        if self.dice.in_thousand(100) && !self.shared {
            self.look_around(street).await;
        }
        if self.shared && self.dice.in_thousand(4) {
            self.sign_others_out(street).await;
        }
        if self.dice.in_thousand(4) {
            self.sign_out(street).await;
        }
    }

    /// What is held at the end is good or was refused with a reason; the judge says which.
    pub async fn last_word(&mut self, street: &Street) {
        let Some(held) = self.saved.clone() else { return };
        self.until_quiet().await;
        self.present(street, &held, PATIENCE).await;
    }

    async fn present(&self, street: &Street, held: &Held, patience: Duration) -> Answer {
        street.refresh("phone", Visit { tenant: &self.tenant, http: &self.http, token: held, patience }).await
    }

    /// Whose phone it is, across tenants.
    fn person(&self) -> String {
        format!("{}/{}", self.tenant.name, self.user)
    }

    /// Refreshes until it works; false when the phone sleeps over it or has lost its session.
    async fn refresh(&mut self, street: &Street) -> bool {
        let Some(held) = self.saved.clone() else { return false };
        if self.attempts == 0 {
            // The token is new: an older attempt must not be under way.
            self.until_quiet().await;
        }
        loop {
            let fate = self.fate();
            let patience = if let Fate::HangsUp(after) = fate { after } else { PATIENCE };
            let sent = Instant::now();
            self.attempts += 1;
            let Answer { came, access } = self.present(street, &held, patience).await;
            match (came, fate) {
                (Came::Token(_, text), Fate::Arrives | Fate::HangsUp(_)) => {
                    self.access = access;
                    self.keep(street, Held::of(&text));
                    return true;
                }
                (Came::Token(..), Fate::Lost) => Counts::one(&street.counts.replies_lost),
                (Came::Token(..), Fate::Dies) => Counts::one(&street.counts.died),
                (Came::Refused, _) => {
                    self.lost += 1;
                    self.saved = None;
                    return false;
                }
                (Came::Nothing, _) => {
                    Counts::one(&street.counts.hung_up);
                    self.quiet_at = self.quiet_at.max(sent + AFTER_NOTHING);
                }
                (Came::Trouble | Came::Done, _) => {}
            }
            // Asleep with the answer lost: but not more often in a row than the late limit bears.
            if self.late_run < LATE_LIMIT && self.dice.in_thousand(60) {
                self.late_run += u32::from(!self.slept);
                self.slept = true;
                return false;
            }
            self.pause().await;
        }
    }

    fn keep(&mut self, street: &Street, next: Held) {
        Counts::one(&street.counts.refreshed);
        if self.slept {
            Counts::one(&street.counts.late);
        } else if self.attempts == 1 {
            self.late_run = 0;
        }
        self.saved = Some(next);
        (self.slept, self.attempts) = (false, 0);
    }

    fn fate(&mut self) -> Fate {
        match self.dice.below(1000) {
            0..50 => Fate::Lost,
            50..80 => Fate::Dies,
            80..85 => Fate::HangsUp(Duration::from_millis(1 + self.dice.throw() % 40)),
            _ => Fate::Arrives,
        }
    }

    async fn confirm(&mut self, street: &Street) {
        let Some(held) = self.saved.clone() else { return };
        self.until_quiet().await;
        let call = Call::post(self.tenant.url("/confirm"))
            .json(&serde_json::json!({"client_id": APP, "refresh_token": held.text}));
        let permit = street.line.acquire().await;
        let begun = street.begin();
        let answer = call.try_send(&self.http).await;
        drop(permit);
        let came = match answer.map(|reply| reply.status) {
            Ok(204) => {
                Counts::one(&street.counts.confirmed);
                Came::Done
            }
            Ok(500..) => Came::Trouble,
            other => {
                street.counts.odd(format!("confirm: {other:?}"));
                Came::Trouble
            }
        };
        let operation = street.ended(begun, "phone", Asked::Confirm(held.generation), came);
        street.history.note(&held.family, operation);
    }

    /// Uses the access token that a refresh has just brought.
    async fn look_around(&mut self, street: &Street) {
        for _ in 0..50 {
            let seen =
                Call::get(self.tenant.url("/sessions")).bearer(&self.access).try_send(&self.http).await;
            match seen.map(|reply| reply.status) {
                Ok(200) => return Counts::one(&street.counts.verified),
                Ok(401) if !self.robbed => {
                    Counts::one(&street.counts.wrongly_denied);
                    return;
                }
                Ok(401) => return,
                _ => self.pause().await,
            }
        }
    }

    /// Signs out, until it is answered; then shows that the token is dead, and signs in again in the next round.
    async fn sign_out(&mut self, street: &Street) {
        let Some(held) = self.saved.take() else { return };
        loop {
            let call =
                Call::post(self.tenant.url("/revoke")).form(&[("client_id", APP), ("token", &held.text)]);
            let permit = street.line.acquire().await;
            let begun = street.begin();
            let answer = call.try_send(&self.http).await;
            drop(permit);
            let came = match answer.map(|reply| reply.status) {
                Ok(200) => Came::Done,
                Ok(500..) => Came::Trouble,
                Ok(status) => {
                    street.counts.odd(format!("revoke: {status}"));
                    Came::Trouble
                }
                Err(_) => Came::Nothing,
            };
            street.history.note(&held.family, street.ended(begun, "phone", Asked::End, came.clone()));
            if came == Came::Done {
                break;
            }
            self.pause().await;
        }
        Counts::one(&street.counts.signed_out);
        for _ in 0..2 {
            self.present(street, &held, PATIENCE).await;
        }
    }

    /// Signs every other session of the user out; this one stays.
    async fn sign_others_out(&mut self, street: &Street) {
        let Some(held) = self.saved.clone() else { return };
        let permit = street.line.acquire().await;
        let begun = street.begin();
        let call = Call::delete(self.tenant.url("/sessions?except=current")).bearer(&self.access);
        let answer = call.try_send(&self.http).await;
        drop(permit);
        let came = match answer.map(|reply| reply.status) {
            Ok(204) => Came::Done,
            // The access token was of an older epoch: the other phone was quicker.
            Ok(401) => return,
            Ok(500..) => Came::Trouble,
            other => {
                street.counts.odd(format!("sign-out of others: {other:?}"));
                Came::Trouble
            }
        };
        Counts::one(&street.counts.signed_out_others);
        // It is an operation on every other family of the user: the judge is given it with each.
        let operation = street.ended(begun, "phone", Asked::End, came);
        let mut sign_outs = street.sign_outs.lock().unwrap_or_else(PoisonError::into_inner);
        sign_outs.push((self.person(), held.family, operation));
    }

    async fn until_quiet(&self) {
        tokio::time::sleep_until(self.quiet_at.into()).await;
    }

    async fn pause(&mut self) {
        tokio::time::sleep(Duration::from_millis(20 + self.dice.throw() % 60)).await;
    }
}
