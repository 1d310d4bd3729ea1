//! The keys, their states, and the file that keeps them over a restart.
//!
//! A change is written and synced before anybody can see it, so nothing that was answered is lost with a crash. It
//! must never replace a key file it could not read, and never holds its lock while a key is generated or used.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    KmsError,
    key::{KeySpec, Material},
    refusal::Refusal,
    wire::Blob,
};
use crate::clock;

const FILE_VERSION: u32 = 1;

/// Where the ARNs of this KMS say it is.
#[derive(Clone, Debug)]
pub(super) struct Realm {
    pub(super) region: String,
    pub(super) account: String,
}

/// A key's state, with what each carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum KeyState {
    Enabled,
    Disabled,
    PendingDeletion { deletion_date: u64 },
}

/// One key. Its material is shared, so a change of state copies a pointer.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) id: Uuid,
    pub(super) arn: String,
    pub(super) spec: KeySpec,
    pub(super) created: u64,
    pub(super) description: String,
    pub(super) state: KeyState,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) material: Arc<Material>,
}

pub(super) type Keys = BTreeMap<Uuid, Arc<Key>>;

impl Key {
    /// Refuses any use of the key unless it is enabled.
    pub(super) fn require_enabled(&self) -> Result<(), Refusal> {
        match self.state {
            KeyState::Enabled => Ok(()),
            KeyState::Disabled => Err(Refusal::Disabled { arn: self.arn.clone() }),
            KeyState::PendingDeletion { .. } => self.require_kept(),
        }
    }

    /// Refuses a change to a key that is on its way out.
    pub(super) fn require_kept(&self) -> Result<(), Refusal> {
        match self.state {
            KeyState::Enabled | KeyState::Disabled => Ok(()),
            KeyState::PendingDeletion { .. } => {
                Err(Refusal::InvalidState(format!("{} is pending deletion.", self.arn)))
            }
        }
    }

    fn is_gone(&self, now: u64) -> bool {
        matches!(self.state, KeyState::PendingDeletion { deletion_date } if deletion_date <= now)
    }
}

/// All keys of one embedded KMS.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) realm: Realm,
    file: Option<PathBuf>,
    keys: RwLock<Arc<Keys>>,
    /// Held from reading the keys to publishing the changed ones: two changes at once would lose one.
    writing: Mutex<()>,
}

impl Store {
    pub(super) fn open(file: Option<PathBuf>, realm: Realm) -> Result<Self, KmsError> {
        let keys = match &file {
            Some(path) => load(path, &realm)?,
            None => Keys::new(),
        };
        Ok(Self { realm, file, keys: RwLock::new(Arc::new(keys)), writing: Mutex::new(()) })
    }

    /// Every key that still exists.
    pub(super) fn all(&self) -> Keys {
        let now = now();
        let keys = self.snapshot();
        keys.iter().filter(|(_, key)| !key.is_gone(now)).map(|(id, key)| (*id, Arc::clone(key))).collect()
    }

    /// The key that a `KeyId` names, by id or ARN.
    pub(super) fn load_key(&self, key_id: &str) -> Result<Arc<Key>, Refusal> {
        let id = self.parse_key_id(key_id)?;
        self.find_key(id)
            .ok_or_else(|| Refusal::NotFound(format!("Key '{}' does not exist", self.realm.key_arn(id))))
    }

    pub(super) fn find_key(&self, id: Uuid) -> Option<Arc<Key>> {
        self.snapshot().get(&id).filter(|key| !key.is_gone(now())).cloned()
    }

    pub(super) fn insert(&self, key: Key) -> Result<Arc<Key>, Refusal> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.commit(key)
    }

    /// Replaces a key by what `change` makes of it.
    pub(super) fn update(
        &self,
        key_id: &str,
        change: impl FnOnce(&mut Key) -> Result<(), Refusal>,
    ) -> Result<Arc<Key>, Refusal> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = Key::clone(&*self.load_key(key_id)?);
        change(&mut key)?;
        self.commit(key)
    }

    /// The caller holds `writing`.
    fn commit(&self, key: Key) -> Result<Arc<Key>, Refusal> {
        let key = Arc::new(key);
        let mut keys = self.all();
        keys.insert(key.id, Arc::clone(&key));
        if let Some(path) = &self.file {
            save(path, &keys).map_err(|error| Refusal::Internal(format!("the key file: {error}")))?;
        }
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(key)
    }

    fn snapshot(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn parse_key_id(&self, key_id: &str) -> Result<Uuid, Refusal> {
        if key_id.is_empty() {
            return Err(Refusal::constraint("keyId", "have length greater than or equal to 1"));
        }
        let arn_prefix = format!("arn:aws:kms:{}:{}:", self.realm.region, self.realm.account);
        let resource = key_id.strip_prefix(&arn_prefix);
        if resource.is_none() && key_id.starts_with("arn:") {
            return Err(Refusal::NotFound(format!("Invalid arn {key_id}")));
        }
        if let Some(alias) = resource.unwrap_or(key_id).strip_prefix("alias/") {
            return Err(Refusal::NotFound(format!("Alias {arn_prefix}alias/{alias} is not found.")));
        }
        let id = match resource {
            Some(resource) => resource.strip_prefix("key/"),
            None => Some(key_id),
        };
        id.and_then(parse_uuid).ok_or_else(|| Refusal::NotFound(format!("Invalid keyId '{key_id}'")))
    }
}

impl Realm {
    pub(super) fn key_arn(&self, id: Uuid) -> String {
        format!("arn:aws:kms:{}:{}:key/{id}", self.region, self.account)
    }
}

/// Only the hyphenated lower-case form names a key; the `uuid` crate would read four others.
pub(super) fn parse_uuid(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|id| id.to_string() == text)
}

/// Seconds since the epoch.
pub(super) fn now() -> u64 {
    clock::now().as_secs()
}

#[derive(Serialize, Deserialize)]
struct KeyFile {
    version: u32,
    keys: Vec<KeyEntry>,
}

#[derive(Serialize, Deserialize)]
struct KeyEntry {
    id: Uuid,
    spec: KeySpec,
    created: u64,
    description: String,
    state: KeyState,
    tags: BTreeMap<String, String>,
    material: Blob,
}

fn load(path: &Path, realm: &Realm) -> Result<Keys, KmsError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Keys::new()),
        Err(source) => return Err(KmsError::Read { path: path.to_owned(), source }),
    };
    let damaged = |detail: String| KmsError::Damaged { path: path.to_owned(), detail };
    // serde_json's message may quote the text it stopped at: only the place is told.
    let file: KeyFile = serde_json::from_slice(&text)
        .map_err(|error| damaged(format!("line {}, column {}", error.line(), error.column())))?;
    if file.version != FILE_VERSION {
        return Err(damaged(format!("version {} instead of {FILE_VERSION}", file.version)));
    }
    let keys = file.keys.into_iter().map(|entry| {
        let material = Material::load(entry.spec, &entry.material.0)
            .ok_or_else(|| damaged(format!("the material of key {}", entry.id)))?;
        let key = Key {
            id: entry.id,
            arn: realm.key_arn(entry.id),
            spec: entry.spec,
            created: entry.created,
            description: entry.description,
            state: entry.state,
            tags: entry.tags,
            material: Arc::new(material),
        };
        Ok((key.id, Arc::new(key)))
    });
    keys.collect()
}

fn save(path: &Path, keys: &Keys) -> io::Result<()> {
    let entries = keys.values().map(|key| {
        let material =
            key.material.to_private_bytes().map_err(|_| io::Error::other("a key cannot be encoded"))?;
        Ok(KeyEntry {
            id: key.id,
            spec: key.spec,
            created: key.created,
            description: key.description.clone(),
            state: key.state,
            tags: key.tags.clone(),
            material: Blob(material),
        })
    });
    let file = KeyFile { version: FILE_VERSION, keys: entries.collect::<io::Result<_>>()? };
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    // A leftover of a crash may have any mode; a new file has ours from its first byte on.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut handle = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    handle.write_all(&serde_json::to_vec_pretty(&file)?)?;
    handle.sync_all()?;
    fs::rename(&temporary, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
