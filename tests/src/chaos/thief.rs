//! A thief: once, he copies what a phone has saved; then he uses it, in his own way.

use std::time::Duration;

use super::{Answer, Held, Settings, Street, Visit};
use crate::dice::Dice;
use crate::history::Came;
use crate::http::Http;
use crate::tenant::Tenant;

use super::phone::Phone;

/// How he goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manner {
    /// He follows in lock step, after each of the phone's refreshes, outside the retry window.
    Follows,
    /// He waits some rounds and presents what he has.
    Hoards,
}

/// One thief, and whom he robs.
pub struct Thief {
    pub number: usize,
    pub manner: Manner,
    victim: usize,
    strikes_at: usize,
    patience: usize,
    loot: Option<(Tenant, Held)>,
    http: Http,
    /// In how many rounds he got a token.
    pub fed: usize,
    /// Whether he was refused, which is the end of him.
    pub out: bool,
    /// Which family he robbed.
    pub family: Option<String>,
}

impl Thief {
    /// One for every tenth phone, of both manners by turns.
    pub fn gang(settings: Settings, phones: &[Phone]) -> Vec<Self> {
        let mut dice = Dice::new(settings.seed, 2_000_000);
        let rounds = settings.days * settings.per_day;
        // Not those who share their user: their session may be ended from elsewhere.
        let victims = (0..phones.len()).filter(|number| number % 10 == 3);
        victims
            .enumerate()
            .map(|(number, victim)| Self {
                number,
                manner: if number % 2 == 0 { Manner::Follows } else { Manner::Hoards },
                victim,
                strikes_at: 1 + dice.below((rounds * 2 / 3).max(1)),
                patience: 2 + dice.below(4),
                loot: None,
                http: Http::new(),
                fed: 0,
                out: false,
                family: None,
            })
            .collect()
    }

    /// Copies what the phone has saved, when his time has come.
    pub fn look(&mut self, round: usize, phones: &[Phone]) {
        if round >= self.strikes_at && self.loot.is_none() && !self.out {
            let victim = &phones[self.victim];
            self.loot = victim.saved.clone().map(|held| (victim.tenant.clone(), held));
            self.family = self.loot.as_ref().map(|(_, held)| held.family.clone());
        }
    }

    /// Uses it.
    pub async fn act(&mut self, round: usize, street: &Street) {
        let Some((tenant, held)) = self.loot.clone() else { return };
        let waits = self.manner == Manner::Hoards && round < self.strikes_at + self.patience;
        if self.out || waits {
            return;
        }
        loop {
            let patience = Duration::from_secs(30);
            let visit = Visit { tenant: &tenant, http: &self.http, token: &held, patience };
            let Answer { came, .. } = street.refresh("thief", visit).await;
            match came {
                Came::Token(_, text) => {
                    self.fed += 1;
                    self.loot = Some((tenant, Held::of(&text)));
                    return;
                }
                Came::Refused => {
                    self.out = true;
                    return;
                }
                Came::Trouble | Came::Nothing | Came::Done => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}
