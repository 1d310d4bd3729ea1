//! What a restart keeps, and what a damaged file does.

use std::{fs, os::unix::fs::PermissionsExt};

use aws_sdk_kms::{
    primitives::Blob,
    types::{KeySpec, KeyState, SigningAlgorithmSpec, Tag},
};
use leasehold_local::kms::{Kms, KmsError};
use tokio::net::TcpListener;

use crate::{ACCOUNT, REGION, create, fresh_path, outcome, start};

#[tokio::test]
async fn a_restart_keeps_keys_states_tags_and_ciphertexts() {
    let file = fresh_path("keys.json");
    let (kms, client) = start(Some(file.clone())).await;
    let mut before = Vec::new();
    for spec in ["RSA_2048", "RSA_3072", "ECC_NIST_P256", "ECC_NIST_EDWARDS25519"] {
        let key = create(&client, spec.into()).await;
        let public = client.get_public_key().key_id(&key).send().await.expect("a public key").public_key;
        before.push((key, public));
    }
    let symmetric = create(&client, KeySpec::SymmetricDefault).await;
    let sealed = client.encrypt().key_id(&symmetric).plaintext(Blob::new("secret")).send().await;
    let sealed = sealed.expect("sealed").ciphertext_blob.expect("a ciphertext");
    let tag = Tag::builder().tag_key("tenant").tag_value("acme").build().expect("a tag");
    client.tag_resource().key_id(&symmetric).tags(tag.clone()).send().await.expect("tagged");
    let disabled = create(&client, KeySpec::EccNistP256).await;
    client.disable_key().key_id(&disabled).send().await.expect("disabled");
    let leaving = create(&client, KeySpec::EccNistP256).await;
    client.schedule_key_deletion().key_id(&leaving).send().await.expect("scheduled");
    kms.shutdown().await;
    let mode = fs::metadata(&file).expect("the key file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "private keys are their owner's");

    let (_kms, client) = start(Some(file)).await;
    for (key, public) in before {
        let after = client.get_public_key().key_id(&key).send().await.expect("a public key").public_key;
        assert_eq!(after, public);
    }
    let opened = client.decrypt().ciphertext_blob(sealed).send().await.expect("opened");
    assert_eq!(opened.plaintext, Some(Blob::new("secret")));
    let tags = client.list_resource_tags().key_id(&symmetric).send().await.expect("tags").tags;
    assert_eq!(tags, Some(vec![tag]));
    for (key, state) in [(disabled, KeyState::Disabled), (leaving, KeyState::PendingDeletion)] {
        let described = client.describe_key().key_id(&key).send().await.expect("described");
        assert_eq!(described.key_metadata.expect("metadata").key_state, Some(state));
    }
}

#[tokio::test]
async fn a_key_is_gone_when_its_deletion_date_comes() {
    let file = fresh_path("keys.json");
    let (kms, client) = start(Some(file.clone())).await;
    let leaving = create(&client, KeySpec::EccNistP256).await;
    let staying = create(&client, KeySpec::EccNistP256).await;
    let scheduled = client.schedule_key_deletion().key_id(&leaving).send().await.expect("scheduled");
    kms.shutdown().await;
    let date = scheduled.deletion_date.expect("a date").secs().to_string();
    let text = fs::read_to_string(&file).expect("the key file");
    assert!(text.contains(&date));
    fs::write(&file, text.replace(&date, "1000000000")).expect("written");

    let (_kms, client) = start(Some(file.clone())).await;
    // API_ScheduleKeyDeletion: after the waiting period the key and its metadata are gone.
    assert_eq!(outcome(client.describe_key().key_id(&leaving).send().await), "NotFoundException");
    assert_eq!(outcome(client.cancel_key_deletion().key_id(&leaving).send().await), "NotFoundException");
    assert_eq!(client.list_keys().send().await.expect("keys").keys.unwrap_or_default().len(), 1);
    client.disable_key().key_id(&staying).send().await.expect("disabled");
    assert!(
        !fs::read_to_string(&file).expect("the key file").contains("1000000000"),
        "its material is gone too"
    );
}

#[tokio::test]
async fn a_damaged_key_file_stops_the_start_and_stays() {
    let good = fresh_path("keys.json");
    let (kms, client) = start(Some(good.clone())).await;
    create(&client, KeySpec::EccNistP256).await;
    kms.shutdown().await;
    let good = fs::read_to_string(good).expect("the key file");
    let rows = [
        ("an empty file", String::new()),
        ("half a file", good[..good.len() / 2].to_owned()),
        ("another program's file", "{\"keys\":[]}".to_owned()),
        ("a later version", good.replace("\"version\": 1", "\"version\": 2")),
        ("material of another spec", good.replace("ECC_NIST_P256", "RSA_2048")),
    ];
    for (why, text) in rows {
        let file = fresh_path("keys.json");
        fs::write(&file, &text).expect("written");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let started = Kms::start(listener, Some(file.clone()), REGION, ACCOUNT).await;
        assert!(matches!(started.err(), Some(KmsError::Damaged { .. })), "{why}");
        assert_eq!(fs::read_to_string(&file).expect("the file"), text, "{why}: it is left as it was");
    }
}

#[tokio::test]
async fn a_change_that_cannot_be_kept_is_not_made() {
    let file = fresh_path("keys.json");
    let (_kms, client) = start(Some(file.clone())).await;
    let key = create(&client, KeySpec::EccNistP256).await;
    // A folder in the place of the new file: no write can succeed.
    fs::create_dir(file.with_file_name("keys.json.new")).expect("a folder");
    assert_eq!(outcome(client.disable_key().key_id(&key).send().await), "KMSInternalException");
    let sign = client.sign().key_id(&key).message(Blob::new("m"));
    let signed = sign.signing_algorithm(SigningAlgorithmSpec::EcdsaSha256).send().await;
    assert_eq!(outcome(signed), "ok", "still enabled");
    fs::remove_dir(file.with_file_name("keys.json.new")).expect("removed");
    assert_eq!(outcome(client.disable_key().key_id(&key).send().await), "ok");
}

#[tokio::test]
async fn thirty_keys_made_at_once_are_all_kept() {
    let file = fresh_path("keys.json");
    let (kms, client) = start(Some(file.clone())).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..30 {
        let client = client.clone();
        tasks.spawn(async move { create(&client, KeySpec::EccNistP256).await });
    }
    let mut made = tasks.join_all().await;
    kms.shutdown().await;
    let (_kms, client) = start(Some(file)).await;
    let listed = client.list_keys().send().await.expect("keys").keys.unwrap_or_default();
    let mut kept: Vec<_> = listed.into_iter().filter_map(|key| key.key_arn).collect();
    made.sort();
    kept.sort();
    assert_eq!(kept, made);
}
