//! The key ring under every interleaving: admins, the schedule and signers at once, each on the ring as it read it; crashes
//! between KMS and table; functions whose clocks are apart.
//!
//! The steps are `leasehold::keys` itself. Modelled is their order of work in `leasehold::steps` (read, make or change in
//! KMS, write on condition of the tenant's version, take away in KMS) and KMS as far as it matters: a key signs or does not.

use std::hash::{Hash, Hasher};

use leasehold::clock::Timestamp;
use leasehold::id::Kid;
use leasehold::keys::{Algorithm, Custody, Due, Key, KeyKind, KeyRing, KeyState, Margins, PublicKey, Switch};
use leasehold::policy::Policy;
use stateright::{Model, Property};

const KIND: KeyKind = KeyKind { algorithm: Algorithm::EdDsa, custody: Custody::Kms };
/// How long a key is published before it signs, in the seconds of the model.
const PROPAGATION: u64 = 2;
const MARGINS: Margins = Margins {
    request_deadline_seconds: 1,
    max_access_token_seconds: 2,
    fallback_seconds: 0,
    leeway_seconds: 0,
    destroy_after_seconds: 2,
};
/// When the tenant's first key was made; long enough ago for clocks that are behind.
const START: u64 = 10;

/// At most one key signs.
pub const ONE_SIGNS: &str = "at most one key signs";
/// No token is signed by a key that nobody can look up.
pub const PUBLISHED: &str = "no token is signed by an unpublished key";
/// Every token that lives can be verified.
pub const VERIFIABLE: &str = "every token that lives can be verified";
/// No key signs before it was published long enough, but for the exceptions.
pub const PROPAGATED: &str = "no key signs unseen";
/// The key that signs is able to.
pub const ABLE: &str = "the key that signs is able to";

/// The bounds of a search.
#[derive(Clone, Copy)]
pub struct Keys {
    /// How many keys there are at most.
    pub keys: u8,
    /// How many seconds pass at most.
    pub seconds: u64,
    /// How many admins, schedules and signers act in all.
    pub jobs: u8,
    /// How many are at work at once.
    pub at_once: usize,
    /// By how many seconds clocks may be off.
    pub off: &'static [i64],
    /// Whether a key that was put away by mistake is enabled again, as production does.
    pub amends: bool,
}

/// What somebody is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Job {
    /// A function signs a token.
    Sign,
    /// An admin rotates.
    Rotate {
        /// Whether without waiting.
        forced: bool,
    },
    /// An admin lets an earlier key sign again.
    RollBack(u8),
    /// An admin declares a key compromised.
    Compromise(u8),
    /// The schedule carries out what is due.
    Schedule,
}

/// What a job does next.
#[derive(Clone, Debug, PartialEq)]
enum Next {
    Read,
    /// Sign with this key.
    Sign(u8),
    /// Enable a key in KMS, then decide.
    Enable(u8),
    /// Write this ring, if the version is still this one.
    Write {
        version: u32,
        ring: KeyRing,
        then: Then,
    },
    /// Disable a key in KMS, then write that down.
    Disable(u8),
    /// Read again, and write down that the key is disabled.
    NoteDisabled(u8),
    /// Take a key away in KMS, then out of the ring.
    Bury {
        version: u32,
        key: u8,
    },
}

impl Next {
    /// Whether a crash now leaves a key put away in KMS that the ring may think able.
    fn tears(&self) -> bool {
        matches!(self, Self::NoteDisabled(_) | Self::Write { then: Then::LookAgain(_), .. })
    }
}

/// What follows a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Then {
    Nothing,
    Disable(u8),
    /// Nothing, and if another write was first a look at what it left.
    LookAgain(u8),
}

#[derive(Clone, Debug, PartialEq)]
struct Work {
    job: Job,
    now: u64,
    began: u64,
    next: Next,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum InKms {
    Enabled,
    Disabled,
    Gone,
}

/// A state of the search.
#[derive(Clone, PartialEq)]
pub struct Tenant {
    now: u64,
    ring: KeyRing,
    version: u32,
    kms: Vec<InKms>,
    work: Vec<Work>,
    jobs: u8,
    /// When each key signed last.
    signed: Vec<Option<u64>>,
    /// Keys that an audited exception lets sign unseen.
    excepted: Vec<bool>,
    /// Keys whose tokens are denied, whatever the ring still knows of them.
    compromised: Vec<bool>,
    /// Whether the schedule died in the middle of putting a key away.
    torn: bool,
    signed_unpublished: bool,
    signed_unseen: bool,
}

/// What happens next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody begins, by a clock that is off by so much.
    Begin(Job, i64),
    /// Work goes a step on.
    Step(usize),
    /// The function dies.
    Crash(usize),
    /// A second passes.
    Wait,
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn kid(number: u8) -> Kid {
    format!("{}{}", "A".repeat(42), char::from(b'a' + number)).parse().expect("43 characters")
}

fn number(kid: &Kid) -> u8 {
    kid.as_str().as_bytes()[42] - b'a'
}

fn made(number: u8, now: u64) -> Key {
    let public = PublicKey::Ed25519 { x: String::new() };
    Key::made(KIND, kid(number), public, String::new(), at(now))
}

impl Hash for Tenant {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Self { now, ring, version, kms, work, jobs, signed, excepted, compromised, torn, .. } = self;
        (now, version, kms, jobs, signed, excepted, compromised, torn).hash(hasher);
        (self.signed_unpublished, self.signed_unseen).hash(hasher);
        hash_ring(ring, hasher);
        for Work { job, now, began, next } in work {
            (job, now, began).hash(hasher);
            match next {
                Next::Read => 0_u8.hash(hasher),
                Next::Sign(key) => (1_u8, key).hash(hasher),
                Next::Enable(key) => (2_u8, key).hash(hasher),
                Next::Write { version, ring, then } => {
                    (3_u8, version, then).hash(hasher);
                    hash_ring(ring, hasher);
                }
                Next::Disable(key) => (4_u8, key).hash(hasher),
                Next::NoteDisabled(key) => (5_u8, key).hash(hasher),
                Next::Bury { version, key } => (6_u8, version, key).hash(hasher),
            }
        }
    }
}

fn hash_ring<H: Hasher>(ring: &KeyRing, hasher: &mut H) {
    for key in ring.iter() {
        (number(&key.kid), key.published_at, key.active_from, key.superseded_at, key.retire_at).hash(hasher);
        (key.compromised_at, key.disabled_at, key.destroying_at, key.retained).hash(hasher);
    }
}

impl std::fmt::Debug for Tenant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "+{} s", self.now - START)?;
        for key in self.ring.iter() {
            let number = number(&key.kid);
            write!(f, "; key {number} {:?} {:?}", key.state(at(self.now)), self.kms[usize::from(number)])?;
        }
        self.work
            .iter()
            .try_for_each(|work| write!(f, "; {:?} {:?}", work.job, std::mem::discriminant(&work.next)))
    }
}

impl Keys {
    /// A key stays published for as much longer as clocks may be off.
    fn margins(&self) -> Margins {
        let off = self.off.iter().map(|off| off.unsigned_abs()).max().unwrap_or(0);
        Margins { leeway_seconds: off, ..MARGINS }
    }

    fn policy() -> Policy {
        Policy { algorithm: KIND.algorithm, custody: KIND.custody, ..Policy::default() }
    }

    fn new_key(&self, tenant: &mut Tenant, now: u64) -> Option<Key> {
        let next = u8::try_from(tenant.kms.len()).ok().filter(|next| *next < self.keys)?;
        tenant.kms.push(InKms::Enabled);
        tenant.signed.push(None);
        tenant.excepted.push(false);
        tenant.compromised.push(false);
        Some(made(next, now))
    }

    /// What a job makes of the ring that it reads; `None` when there is nothing to do.
    fn decide(&self, tenant: &mut Tenant, work: &Work) -> Option<Next> {
        let (ring, version, now) = (tenant.ring.clone(), tenant.version, at(work.now));
        let write = |ring, then| Some(Next::Write { version, ring, then });
        match work.job {
            Job::Sign => {
                let key = ring.signer(now)?;
                // By the true time: a clock that is behind may take the next key for the one of now.
                let seen = key.published_at.plus_seconds(PROPAGATION) <= at(tenant.now);
                let number = number(&key.kid);
                tenant.signed_unseen |= !seen && !tenant.excepted[usize::from(number)] && self.off.is_empty();
                Some(Next::Sign(number))
            }
            Job::Rotate { forced } => {
                let switch = if forced { Switch::Forced } else { Switch::Published(PROPAGATION) };
                let idle = ring.active(now).is_none();
                let key = if ring.needs_key(KIND, now).ok()? {
                    Some(self.new_key(tenant, work.now)?)
                } else {
                    None
                };
                let (ring, kid) = ring.rotate(KIND, key, switch, &self.margins(), now).ok()?;
                tenant.excepted[usize::from(number(&kid))] |= forced || idle;
                write(ring, Then::Nothing)
            }
            Job::RollBack(key) => {
                let idle = ring.active(now).is_none();
                let ring = ring.roll_back(&kid(key), PROPAGATION, &self.margins(), now).ok()?;
                tenant.excepted[usize::from(key)] |= idle;
                write(ring, Then::Nothing)
            }
            Job::Compromise(key) => {
                let made = match ring.needs_replacement(&kid(key), now) {
                    Some(None) => self.new_key(tenant, work.now),
                    Some(Some(_)) | None => None,
                };
                let (ring, replacement) = ring.compromise(&kid(key), made, &self.margins(), now).ok()?;
                if let Some(replacement) = replacement {
                    tenant.excepted[usize::from(number(&replacement))] = true;
                }
                if ring == tenant.ring { Some(Next::Disable(key)) } else { write(ring, Then::Disable(key)) }
            }
            Job::Schedule => match ring.due(Some(&Self::policy()), &self.margins(), now)? {
                Due::Replace(_) => {
                    let key = self.new_key(tenant, work.now)?;
                    let (ring, kid) =
                        ring.rotate(KIND, Some(key), Switch::Forced, &self.margins(), now).ok()?;
                    tenant.excepted[usize::from(number(&kid))] = true;
                    write(ring, Then::Nothing)
                }
                Due::Spare(_) => {
                    let key = self.new_key(tenant, work.now)?;
                    write(ring.with_spare(key).ok()?, Then::Nothing)
                }
                Due::Disable(kid) => Some(Next::Disable(number(&kid))),
                Due::Destroy(kid) => write(ring.with_end(&kid, now), Then::Nothing),
                Due::Withdraw(kid) => write(ring.with_withdrawn(&kid, now), Then::Nothing),
                Due::Bury(kid) => Some(Next::Bury { version, key: number(&kid) }),
            },
        }
    }

    /// One step of the work at this place; it leaves when it is done.
    fn step(&self, tenant: &mut Tenant, place: usize) {
        let mut work = tenant.work.remove(place);
        let next = match work.next.clone() {
            Next::Read => match work.job {
                Job::RollBack(key)
                    if tenant.ring.find(&kid(key)).is_some_and(|key| key.disabled_at.is_some()) =>
                {
                    Some(Next::Enable(key))
                }
                _ => self.decide(tenant, &work),
            },
            Next::Sign(key) => {
                if tenant.kms[usize::from(key)] == InKms::Enabled {
                    // A token's life counts from the time by which its request is decided.
                    let signed = &mut tenant.signed[usize::from(key)];
                    *signed = (*signed).max(Some(work.now));
                    let known =
                        tenant.ring.find(&kid(key)).is_some_and(|key| key.is_published(at(tenant.now)));
                    let published = known || tenant.compromised[usize::from(key)];
                    tenant.signed_unpublished |= !published;
                }
                None
            }
            Next::Enable(key) => {
                if tenant.kms[usize::from(key)] == InKms::Disabled {
                    tenant.kms[usize::from(key)] = InKms::Enabled;
                }
                self.decide(tenant, &work)
            }
            Next::Write { version, ring, then } => {
                if version == tenant.version {
                    for key in ring.iter().filter(|key| key.compromised_at.is_some()) {
                        tenant.compromised[usize::from(number(&key.kid))] = true;
                    }
                    tenant.ring = ring;
                    tenant.version += 1;
                    match then {
                        Then::Nothing | Then::LookAgain(_) => None,
                        Then::Disable(key) => Some(Next::Disable(key)),
                    }
                } else if let Then::LookAgain(key) = then {
                    Some(Next::NoteDisabled(key))
                } else {
                    // Somebody else was first: decide again.
                    self.decide(tenant, &work)
                }
            }
            Next::Disable(key) => {
                if tenant.kms[usize::from(key)] == InKms::Enabled {
                    tenant.kms[usize::from(key)] = InKms::Disabled;
                }
                Some(Next::NoteDisabled(key))
            }
            Next::NoteDisabled(key) => self.note_disabled(tenant, &work, key),
            Next::Bury { version, key } => {
                tenant.kms[usize::from(key)] = InKms::Gone;
                let ring = tenant.ring.without(&kid(key));
                if version == tenant.version {
                    tenant.ring = ring;
                    tenant.version += 1;
                }
                None
            }
        };
        // The schedule goes on until nothing is due.
        let again = (work.job == Job::Schedule && !matches!(work.next, Next::Read)).then_some(Next::Read);
        if let Some(next) = next.or(again) {
            work.next = next;
            tenant.work.insert(place, work);
        }
    }

    fn note_disabled(&self, tenant: &mut Tenant, work: &Work, key: u8) -> Option<Next> {
        let now = at(work.now);
        let found = tenant.ring.find(&kid(key))?;
        let ended = matches!(found.state(now), KeyState::Retired | KeyState::Compromised);
        if ended && found.disabled_at.is_none() {
            let ring = tenant.ring.with_disabled(&kid(key), now);
            return Some(Next::Write { version: tenant.version, ring, then: Then::LookAgain(key) });
        }
        // It was rolled back to while it was being put away.
        if !ended && self.amends && tenant.kms[usize::from(key)] == InKms::Disabled {
            tenant.kms[usize::from(key)] = InKms::Enabled;
        }
        None
    }
}

impl Model for Keys {
    type State = Tenant;
    type Action = Event;

    fn init_states(&self) -> Vec<Tenant> {
        vec![Tenant {
            now: START,
            ring: KeyRing::with_first_key(made(0, 0)),
            version: 1,
            kms: vec![InKms::Enabled],
            work: Vec::new(),
            jobs: self.jobs,
            signed: vec![None],
            excepted: vec![true],
            compromised: vec![false],
            torn: false,
            signed_unpublished: false,
            signed_unseen: false,
        }]
    }

    fn actions(&self, tenant: &Tenant, actions: &mut Vec<Event>) {
        if tenant.jobs > 0 && tenant.work.len() < self.at_once {
            let mut jobs =
                vec![Job::Sign, Job::Schedule, Job::Rotate { forced: false }, Job::Rotate { forced: true }];
            for key in 0..u8::try_from(tenant.kms.len()).unwrap_or(u8::MAX) {
                jobs.extend([Job::RollBack(key), Job::Compromise(key)]);
            }
            for off in std::iter::once(0).chain(self.off.iter().copied()) {
                actions.extend(jobs.iter().map(|job| Event::Begin(*job, off)));
            }
        }
        for place in 0..tenant.work.len() {
            actions.extend([Event::Step(place), Event::Crash(place)]);
        }
        if tenant.now < START + self.seconds {
            actions.push(Event::Wait);
        }
    }

    fn next_state(&self, last: &Tenant, event: Event) -> Option<Tenant> {
        let mut tenant = last.clone();
        match event {
            Event::Begin(job, off) => {
                tenant.jobs -= 1;
                let now = tenant.now.checked_add_signed(off)?;
                tenant.work.push(Work { job, now, began: tenant.now, next: Next::Read });
            }
            Event::Step(place) => self.step(&mut tenant, place),
            Event::Crash(place) => {
                let work = tenant.work.remove(place);
                tenant.torn |= work.next.tears();
            }
            Event::Wait => {
                tenant.now += 1;
                // A request is given up at the deadline.
                let deadline = MARGINS.request_deadline_seconds;
                let over = |work: &Work| work.began + deadline < last.now + 1;
                tenant.torn |= tenant.work.iter().any(|work| over(work) && work.next.tears());
                tenant.work.retain(|work| !over(work));
            }
        }
        Some(tenant)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_SIGNS, |_, tenant: &Tenant| {
                tenant.ring.iter().filter(|key| key.state(at(tenant.now)) == KeyState::Active).count() <= 1
            }),
            Property::always(PUBLISHED, |_, tenant: &Tenant| !tenant.signed_unpublished),
            Property::always(PROPAGATED, |_, tenant: &Tenant| !tenant.signed_unseen),
            Property::always(VERIFIABLE, |_, tenant: &Tenant| {
                (0_u8..).zip(&tenant.signed).all(|(key, signed)| {
                    let lives =
                        signed.is_some_and(|signed| signed + MARGINS.max_access_token_seconds > tenant.now);
                    let known =
                        tenant.ring.find(&kid(key)).is_some_and(|key| key.is_published(at(tenant.now)));
                    !lives || known || tenant.compromised[usize::from(key)]
                })
            }),
            Property::always(ABLE, |_, tenant: &Tenant| {
                let active = tenant.ring.active(at(tenant.now));
                // While somebody is at work it may be about to be put right. A schedule that dies in that very moment leaves
                // it to the signer's fallback and to a person.
                tenant.torn
                    || !tenant.work.is_empty()
                    || active.is_none_or(|key| tenant.kms[usize::from(number(&key.kid))] == InKms::Enabled)
            }),
            Property::sometimes("reached: a key is buried", |_, tenant: &Tenant| {
                tenant.kms.contains(&InKms::Gone)
            }),
        ]
    }
}
