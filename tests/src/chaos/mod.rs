//! Simulated phones through simulated days, while AWS fails, functions die and thieves are at work.
//!
//! The clock moves from outside, three hours at a time by default. In each *round* every phone refreshes once, as
//! `wire.md` asks clients to, and suffers what phones suffer: answers get lost, callers hang up, the app dies before it
//! has saved, sleeps for hours with a request unanswered. Calls to AWS fail by seeded dice, function processes are killed
//! at any moment. Everything is written down, and [`crate::history::judge`] decides family by family.
//!
//! One seed fixes what every phone and thief does in its n-th attempt, and the fate of the n-th call to AWS. It does not
//! fix how the operating system orders what happens at once; no seed can, so a run is repeated in kind, not to the letter.

mod faults;
mod phone;
mod report;
mod thief;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::dice::Dice;
use crate::history::{Asked, Begun, Came, History, Operation, Rules};
use crate::http::Http;
use crate::process;
use crate::proxy::Proxy;
use crate::stack::{Setup, Stack};
use crate::tenant::{PASSWORD, Tenant};

pub use report::Report;

use phone::Phone;
use thief::Thief;

/// What a run is to be.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How many phones.
    pub phones: usize,
    /// Through how many simulated days.
    pub days: usize,
    /// How often a phone refreshes in a day.
    pub per_day: usize,
    /// How many of a thousand calls to AWS fail in some way.
    pub faults: u32,
    /// Fixes what is left to chance.
    pub seed: u64,
}

/// How many requests the phones have under way at once.
const AT_ONCE: usize = 16;
/// The greatest time of one request in the functions of the run, in seconds. The phones keep the "10 s rule" with it.
const DEADLINE: u64 = 2;
/// How long after it was sent an attempt without an answer may still be at work: queue, deadline, a slow write.
const AFTER_NOTHING: Duration = Duration::from_secs(5);
/// How long after a 5xx a write of it may still land: the longest delay of the proxy, and some.
const AFTER_TROUBLE: Duration = Duration::from_millis(1500);
/// The default policy, by which the history is judged.
const LATE_LIMIT: u32 = 3;

/// What all phones share.
struct Street {
    stack: Stack,
    clock: Clock,
    proxy: Proxy,
    history: History,
    line: Semaphore,
    counts: Counts,
    /// When the login began that opened a family, and whose family it is.
    logins: Mutex<BTreeMap<String, (Begun, String)>>,
    /// Sign-outs of whole users: whose, which family stayed, and the operation.
    sign_outs: Mutex<Vec<(String, String, Operation)>>,
}

/// What happened, in numbers.
#[derive(Default)]
struct Counts {
    refreshed: AtomicUsize,
    attempts: AtomicUsize,
    trouble: AtomicUsize,
    hung_up: AtomicUsize,
    replies_lost: AtomicUsize,
    died: AtomicUsize,
    late: AtomicUsize,
    confirmed: AtomicUsize,
    signed_out: AtomicUsize,
    signed_out_others: AtomicUsize,
    logins: AtomicUsize,
    verified: AtomicUsize,
    wrongly_denied: AtomicUsize,
    odd: Mutex<Vec<String>>,
    kills: AtomicUsize,
}

impl Counts {
    fn one(count: &AtomicUsize) {
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn odd(&self, what: String) {
        self.odd.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }
}

/// Runs it, and judges. `progress` is told now and then how far it is.
pub async fn run(settings: Settings, progress: impl Fn(&str)) -> Report {
    let began = Instant::now();
    let street = Arc::new(Street::open());
    let tenants = [Tenant::create(&street.stack).await, Tenant::create(&street.stack).await];
    let mut phones = Vec::with_capacity(settings.phones);
    for number in 0..settings.phones {
        let tenant = tenants[number % 2].clone();
        // Every fifth phone shares its user with the one two before it, which is of the same tenant.
        let user = if number % 5 == 4 { format!("user{}", number - 2) } else { format!("user{number}") };
        if number % 5 != 4 {
            tenant.add_user(&street.stack, &user, PASSWORD).await;
        }
        let shared = number % 5 == 4 || number % 5 == 2 && number + 2 < settings.phones;
        phones.push(Phone::new(number, tenant, user, shared, Dice::new(settings.seed, number as u64)));
    }
    for phone in &mut phones {
        phone.sign_in(&street).await;
    }
    let mut thieves = Thief::gang(settings, &phones);
    street.proxy.forget();
    faults::inject(&street.proxy, settings);
    let stop = Arc::new(AtomicBool::new(false));
    let killer = tokio::spawn(kill(Arc::clone(&street), Arc::clone(&stop), settings.seed));
    let rounds = settings.days * settings.per_day;
    let step = Duration::from_secs(86_400 / u64::try_from(settings.per_day).unwrap_or(8));
    let aside = Duration::from_mins(2);
    for round in 0..rounds {
        phones = together(phones, &street, |mut phone, street| async move {
            phone.live(&street).await;
            phone
        })
        .await;
        // Past the retry window, while the phones rest.
        street.clock.advance(aside);
        for thief in &mut thieves {
            thief.look(round, &phones);
        }
        thieves = together(thieves, &street, |mut thief, street| async move {
            thief.act(round, &street).await;
            thief
        })
        .await;
        street.clock.advance(step.saturating_sub(aside));
        if (round + 1) % (rounds / 20).max(1) == 0 {
            let refreshed = street.counts.refreshed.load(Ordering::Relaxed);
            progress(&format!(
                "chaos: round {}/{rounds}, {refreshed} refreshes, {:.0?}",
                round + 1,
                began.elapsed()
            ));
        }
    }
    stop.store(true, Ordering::Relaxed);
    killer.await.expect("the killer ends");
    street.proxy.heal();
    // What everybody holds at the end is good, or was ended.
    phones = together(phones, &street, |mut phone, street| async move {
        phone.last_word(&street).await;
        phone
    })
    .await;
    tokio::time::sleep(AFTER_TROUBLE).await;
    report::write(settings, &street, &phones, &thieves, began.elapsed())
}

async fn together<T, F>(things: Vec<T>, street: &Arc<Street>, work: impl Fn(T, Arc<Street>) -> F) -> Vec<T>
where
    T: Numbered + Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut set = JoinSet::new();
    for thing in things {
        set.spawn(work(thing, Arc::clone(street)));
    }
    let mut done = set.join_all().await;
    done.sort_by_key(Numbered::number);
    done
}

trait Numbered {
    fn number(&self) -> usize;
}

impl Numbered for Phone {
    fn number(&self) -> usize {
        self.number
    }
}

impl Numbered for Thief {
    fn number(&self) -> usize {
        self.number
    }
}

/// Kills function processes, one at a time, at moments of its own.
async fn kill(street: Arc<Street>, stop: Arc<AtomicBool>, seed: u64) {
    let mut dice = Dice::new(seed, u64::MAX);
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(400 + dice.throw() % 800)).await;
        let function = *dice.one_of(&["refresh", "refresh", "refresh", "login", "revoke"]);
        let throw = dice.throw();
        let street = Arc::clone(&street);
        let killed = tokio::task::spawn_blocking(move || {
            let pids = street.stack.instances_of(function);
            let chosen = usize::try_from(throw % 1024).unwrap_or_default().checked_rem(pids.len())?;
            process::kill_now(pids[chosen]);
            Counts::one(&street.counts.kills);
            Some(())
        });
        // None: there is none at this moment, since another was killed just now.
        drop(killed.await);
    }
}

impl Street {
    fn open() -> Self {
        let (clock, proxy) = (Clock::start(), Proxy::start());
        let stack = Setup::default()
            .instances(4)
            .clock(&clock)
            .through(&proxy)
            .function_env("REQUEST_DEADLINE_SECONDS", &DEADLINE.to_string())
            .start();
        Self {
            stack,
            clock,
            proxy,
            history: History::default(),
            line: Semaphore::new(AT_ONCE),
            counts: Counts::default(),
            logins: Mutex::default(),
            sign_outs: Mutex::default(),
        }
    }

    fn begin(&self) -> Begun {
        self.history.begin(self.clock.now() - 1)
    }

    fn ended(&self, begun: Begun, who: &'static str, asked: Asked, came: Came) -> Operation {
        // What is without an answer may begin at any later time.
        let simulated = if came == Came::Nothing { i64::MAX / 4 } else { self.clock.now() + 1 };
        self.history.ended(begun, simulated, who, (asked, came))
    }

    /// Presents a token and writes down what came.
    async fn refresh(&self, who: &'static str, visit: Visit<'_>) -> Answer {
        let Visit { tenant, http, token, patience } = visit;
        let permit = self.line.acquire().await;
        let begun = self.begin();
        let answer = tokio::time::timeout(patience, tenant.refresh_call(&token.text).try_send(http)).await;
        drop(permit);
        Counts::one(&self.counts.attempts);
        let mut access = String::new();
        let came = match answer {
            // The gateway outlives every function: an error is an answer that broke off.
            Err(_) | Ok(Err(_)) => Came::Nothing,
            Ok(Ok(reply)) => match (reply.status, reply.error().as_str()) {
                (200, _) => {
                    let held = Held::of(&reply.string("refresh_token"));
                    access = reply.string("access_token");
                    Came::Token(held.generation, held.text)
                }
                (400, "invalid_grant") => Came::Refused,
                (status, _) => {
                    if status < 500 {
                        self.counts.odd(format!("refresh: {reply}"));
                    }
                    Counts::one(&self.counts.trouble);
                    Came::Trouble
                }
            },
        };
        let operation = self.ended(begun, who, Asked::Refresh(token.generation), came.clone());
        self.history.note(&token.family, operation);
        Answer { came, access }
    }
}

/// Who presents which token where, and for how long they wait.
struct Visit<'a> {
    tenant: &'a Tenant,
    http: &'a Http,
    token: &'a Held,
    patience: Duration,
}

/// What came, and the access token with it.
struct Answer {
    came: Came,
    access: String,
}

/// A refresh token with what its text says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    family: String,
    generation: u32,
    text: String,
}

impl Held {
    fn of(text: &str) -> Self {
        let token = crate::token::RefreshToken::parse(text);
        Self { family: token.session(), generation: token.generation, text: text.to_owned() }
    }
}

const fn rules() -> Rules {
    Rules {
        retry_window: 60,
        late_window: 604_800,
        late_limit: LATE_LIMIT,
        after_trouble: micros(AFTER_TROUBLE),
        after_nothing: micros(AFTER_NOTHING),
    }
}

const fn micros(time: Duration) -> u64 {
    time.as_secs() * 1_000_000 + time.subsec_micros() as u64
}

/// The body of a login at the public client.
fn credentials(user: &str, device: usize) -> serde_json::Value {
    json!({"client_id": crate::tenant::APP, "username": user, "password": PASSWORD, "device": format!("phone-{device}")})
}
