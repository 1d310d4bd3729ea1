//! Operations on keys as things: their making, state, tags and lists.
//!
//! None of them may use a key's material.

use std::{
    collections::BTreeMap,
    ops::{Bound, RangeInclusive},
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    key::{KeySpec, Material},
    refusal::Refusal,
    store::{Key, KeyState, Realm, Store, now, parse_uuid},
    wire::required,
};

const DAY: u64 = 24 * 60 * 60;
const TAGS_PER_KEY: usize = 50;

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    tag_key: String,
    tag_value: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateKey {
    key_spec: Option<String>,
    key_usage: Option<String>,
    description: Option<String>,
    tags: Option<Vec<Tag>>,
    origin: Option<String>,
    multi_region: Option<bool>,
    custom_key_store_id: Option<String>,
}

pub(super) fn create_key(store: &Store, input: CreateKey) -> Result<Value, Refusal> {
    if input.origin.is_some_and(|origin| origin != "AWS_KMS")
        || input.multi_region == Some(true)
        || input.custom_key_store_id.is_some()
    {
        return Err(Refusal::Unsupported(
            "The embedded KMS makes single-Region keys of its own only.".to_owned(),
        ));
    }
    let spec = KeySpec::parse(input.key_spec.as_deref().unwrap_or("SYMMETRIC_DEFAULT"), "keySpec")?;
    check_usage(spec, input.key_usage.as_deref())?;
    let description = input.description.unwrap_or_default();
    if description.len() > 8192 {
        return Err(Refusal::constraint("description", "have length less than or equal to 8192"));
    }
    let mut tags = BTreeMap::new();
    add_tags(&mut tags, input.tags.unwrap_or_default())?;

    let material = Material::generate(spec).map_err(|_| Refusal::Internal("key generation".to_owned()))?;
    let id = Uuid::new_v4();
    let key = store.insert(Key {
        id,
        arn: store.realm.key_arn(id),
        spec,
        created: now(),
        description,
        state: KeyState::Enabled,
        tags,
        material: Arc::new(material),
    })?;
    Ok(json!({ "KeyMetadata": metadata(&key, &store.realm) }))
}

/// Makes the symmetric key of this id unless it is there.
pub(super) fn ensure_symmetric_key(store: &Store, id: Uuid, description: &str) -> Result<(), Refusal> {
    if store.find_key(id).is_some() {
        return Ok(());
    }
    let failed = |_| Refusal::Internal("key generation".to_owned());
    store.insert(Key {
        id,
        arn: store.realm.key_arn(id),
        spec: KeySpec::Symmetric,
        created: now(),
        description: description.to_owned(),
        state: KeyState::Enabled,
        tags: BTreeMap::new(),
        material: Arc::new(Material::generate(KeySpec::Symmetric).map_err(failed)?),
    })?;
    Ok(())
}

fn check_usage(spec: KeySpec, usage: Option<&str>) -> Result<(), Refusal> {
    match usage {
        Some(usage) if usage == spec.usage() => Ok(()),
        None if spec == KeySpec::Symmetric => Ok(()),
        None => Err(Refusal::Validation(
            "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."
                .to_owned(),
        )),
        Some("ENCRYPT_DECRYPT") if spec != KeySpec::P256 && spec != KeySpec::Ed25519 => {
            Err(Refusal::Unsupported("RSA encryption is not part of the embedded KMS.".to_owned()))
        }
        Some("KEY_AGREEMENT") if spec == KeySpec::P256 => {
            Err(Refusal::Unsupported("Key agreement is not part of the embedded KMS.".to_owned()))
        }
        Some(
            usage @ ("SIGN_VERIFY"
            | "ENCRYPT_DECRYPT"
            | "GENERATE_VERIFY_MAC"
            | "KEY_AGREEMENT"
            | "ENCAPSULATE_DECAPSULATE"),
        ) => Err(Refusal::Validation(format!(
            "KeyUsage {usage} is not compatible with KeySpec {}",
            spec.name()
        ))),
        Some(_) => Err(Refusal::constraint(
            "keyUsage",
            "satisfy enum value set: [SIGN_VERIFY, ENCRYPT_DECRYPT, GENERATE_VERIFY_MAC, KEY_AGREEMENT]",
        )),
    }
}

fn metadata(key: &Key, realm: &Realm) -> Value {
    let (enabled, state) = match key.state {
        KeyState::Enabled => (true, "Enabled"),
        KeyState::Disabled => (false, "Disabled"),
        KeyState::PendingDeletion { .. } => (false, "PendingDeletion"),
    };
    let mut metadata = json!({
        "AWSAccountId": realm.account,
        "KeyId": key.id,
        "Arn": key.arn,
        "CreationDate": key.created,
        "Enabled": enabled,
        "Description": key.description,
        "KeyUsage": key.spec.usage(),
        "KeyState": state,
        "Origin": "AWS_KMS",
        "KeyManager": "CUSTOMER",
        "CustomerMasterKeySpec": key.spec.name(),
        "KeySpec": key.spec.name(),
        "MultiRegion": false,
    });
    match key.spec {
        KeySpec::Symmetric => metadata["EncryptionAlgorithms"] = json!([key.spec.name()]),
        _ => metadata["SigningAlgorithms"] = json!(key.spec.signing_algorithms()),
    }
    if let KeyState::PendingDeletion { deletion_date } = key.state {
        metadata["DeletionDate"] = json!(deletion_date);
    }
    metadata
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct KeyRequest {
    key_id: Option<String>,
}

impl KeyRequest {
    fn key_id(self) -> Result<String, Refusal> {
        required(self.key_id, "keyId")
    }
}

pub(super) fn describe_key(store: &Store, input: KeyRequest) -> Result<Value, Refusal> {
    let key = store.load_key(&input.key_id()?)?;
    Ok(json!({ "KeyMetadata": metadata(&key, &store.realm) }))
}

pub(super) fn enable_key(store: &Store, input: KeyRequest) -> Result<Value, Refusal> {
    set_state(store, &input.key_id()?, KeyState::Enabled)
}

pub(super) fn disable_key(store: &Store, input: KeyRequest) -> Result<Value, Refusal> {
    set_state(store, &input.key_id()?, KeyState::Disabled)
}

fn set_state(store: &Store, key_id: &str, state: KeyState) -> Result<Value, Refusal> {
    store.update(key_id, |key| {
        key.require_kept()?;
        key.state = state;
        Ok(())
    })?;
    Ok(Value::Null)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ScheduleKeyDeletion {
    key_id: Option<String>,
    pending_window_in_days: Option<i64>,
}

pub(super) fn schedule_key_deletion(store: &Store, input: ScheduleKeyDeletion) -> Result<Value, Refusal> {
    let key_id = required(input.key_id, "keyId")?;
    let days = within(input.pending_window_in_days, 30, 7..=30, "pendingWindowInDays")?;
    let deletion_date = now() + days * DAY;
    let key = store.update(&key_id, |key| {
        key.require_kept()?;
        key.state = KeyState::PendingDeletion { deletion_date };
        Ok(())
    })?;
    Ok(json!({
        "KeyId": key.arn,
        "DeletionDate": deletion_date,
        "KeyState": "PendingDeletion",
        "PendingWindowInDays": days,
    }))
}

pub(super) fn cancel_key_deletion(store: &Store, input: KeyRequest) -> Result<Value, Refusal> {
    let key = store.update(&input.key_id()?, |key| match key.state {
        KeyState::PendingDeletion { .. } => {
            key.state = KeyState::Disabled;
            Ok(())
        }
        KeyState::Enabled | KeyState::Disabled => {
            Err(Refusal::InvalidState(format!("{} is not pending deletion.", key.arn)))
        }
    })?;
    Ok(json!({ "KeyId": key.arn }))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListKeys {
    limit: Option<i64>,
    marker: Option<String>,
}

pub(super) fn list_keys(store: &Store, input: ListKeys) -> Result<Value, Refusal> {
    let limit = within(input.limit, 100, 1..=1000, "limit")?;
    let after = match read_marker(input.marker)? {
        Some(last) => Some(parse_uuid(&last).ok_or(Refusal::InvalidMarker)?),
        None => None,
    };
    let keys = store.all();
    let (page, next) = page(&keys, after, limit);
    let entries: Vec<_> = page.iter().map(|(id, key)| json!({ "KeyId": id, "KeyArn": key.arn })).collect();
    Ok(with_marker(json!({ "Keys": entries }), next.map(Uuid::to_string)))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListResourceTags {
    key_id: Option<String>,
    limit: Option<i64>,
    marker: Option<String>,
}

pub(super) fn list_resource_tags(store: &Store, input: ListResourceTags) -> Result<Value, Refusal> {
    let limit = within(input.limit, 50, 1..=50, "limit")?;
    let after = read_marker(input.marker)?;
    let key = store.load_key(&required(input.key_id, "keyId")?)?;
    let (page, next) = page(&key.tags, after, limit);
    let tags: Vec<_> =
        page.iter().map(|(name, value)| json!({ "TagKey": name, "TagValue": value })).collect();
    Ok(with_marker(json!({ "Tags": tags }), next.cloned()))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TagResource {
    key_id: Option<String>,
    tags: Option<Vec<Tag>>,
}

pub(super) fn tag_resource(store: &Store, input: TagResource) -> Result<Value, Refusal> {
    let new = required(input.tags, "tags")?;
    store.update(&required(input.key_id, "keyId")?, |key| {
        key.require_kept()?;
        add_tags(&mut key.tags, new)
    })?;
    Ok(Value::Null)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UntagResource {
    key_id: Option<String>,
    tag_keys: Option<Vec<String>>,
}

pub(super) fn untag_resource(store: &Store, input: UntagResource) -> Result<Value, Refusal> {
    let leaving = required(input.tag_keys, "tagKeys")?;
    store.update(&required(input.key_id, "keyId")?, |key| {
        key.require_kept()?;
        key.tags.retain(|name, _| !leaving.contains(name));
        Ok(())
    })?;
    Ok(Value::Null)
}

fn add_tags(tags: &mut BTreeMap<String, String>, new: Vec<Tag>) -> Result<(), Refusal> {
    let mut seen: Vec<String> = Vec::with_capacity(new.len());
    for Tag { tag_key, tag_value } in new {
        if !(1..=128).contains(&tag_key.chars().count()) {
            return Err(Refusal::constraint("tagKey", "have length between 1 and 128"));
        }
        if tag_value.chars().count() > 256 {
            return Err(Refusal::constraint("tagValue", "have length less than or equal to 256"));
        }
        if tag_key.to_ascii_lowercase().starts_with("aws:") {
            return Err(Refusal::Tag(
                "aws: prefixed tag key names are not allowed for external use.".to_owned(),
            ));
        }
        if seen.contains(&tag_key) {
            return Err(Refusal::Tag("Duplicate tag keys".to_owned()));
        }
        seen.push(tag_key.clone());
        tags.insert(tag_key, tag_value);
    }
    if tags.len() > TAGS_PER_KEY {
        return Err(Refusal::Tag("Too many tags".to_owned()));
    }
    Ok(())
}

fn within(
    value: Option<i64>,
    default: u64,
    range: RangeInclusive<u64>,
    member: &str,
) -> Result<u64, Refusal> {
    let Some(value) = value else { return Ok(default) };
    match u64::try_from(value) {
        Ok(value) if range.contains(&value) => Ok(value),
        Ok(value) if value > *range.end() => {
            Err(Refusal::constraint(member, &format!("have value less than or equal to {}", range.end())))
        }
        _ => Err(Refusal::constraint(
            member,
            &format!("have value greater than or equal to {}", range.start()),
        )),
    }
}

/// At most `limit` entries after `after`, and where to go on if there are more.
fn page<K: Ord, V>(entries: &BTreeMap<K, V>, after: Option<K>, limit: u64) -> (Vec<(&K, &V)>, Option<&K>) {
    let start = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut rest = entries.range((start, Bound::Unbounded));
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    let next = if rest.next().is_some() { page.last().map(|(key, _)| *key) } else { None };
    (page, next)
}

fn read_marker(marker: Option<String>) -> Result<Option<String>, Refusal> {
    let Some(marker) = marker else { return Ok(None) };
    let bytes = URL_SAFE_NO_PAD.decode(marker).map_err(|_| Refusal::InvalidMarker)?;
    String::from_utf8(bytes).map(Some).map_err(|_| Refusal::InvalidMarker)
}

fn with_marker(mut output: Value, next: Option<String>) -> Value {
    output["Truncated"] = json!(next.is_some());
    if let Some(next) = next {
        output["NextMarker"] = json!(URL_SAFE_NO_PAD.encode(next));
    }
    output
}
