//! Making keys, their states, and naming them.

use aws_sdk_kms::{
    Client,
    primitives::Blob,
    types::{KeySpec, KeyState, KeyUsageType, MessageType, SigningAlgorithmSpec},
};

use crate::{ACCOUNT, REGION, create, outcome, start};

#[tokio::test]
async fn create_key_accepts_and_refuses_like_kms() {
    let (_kms, client) = start(None).await;
    let rows = [
        ("nothing said is a symmetric key", "API_CreateKey", None, None, "ok"),
        ("symmetric keys encrypt", "API_CreateKey", Some("SYMMETRIC_DEFAULT"), Some("ENCRYPT_DECRYPT"), "ok"),
        ("RSA signs", "API_CreateKey", Some("RSA_2048"), Some("SIGN_VERIFY"), "ok"),
        ("RSA signs", "API_CreateKey", Some("RSA_3072"), Some("SIGN_VERIFY"), "ok"),
        ("RSA signs", "API_CreateKey", Some("RSA_4096"), Some("SIGN_VERIFY"), "ok"),
        ("P-256 signs", "API_CreateKey", Some("ECC_NIST_P256"), Some("SIGN_VERIFY"), "ok"),
        ("Ed25519 signs", "API_CreateKey", Some("ECC_NIST_EDWARDS25519"), Some("SIGN_VERIFY"), "ok"),
        ("an asymmetric key needs its usage", "API_CreateKey", Some("RSA_2048"), None, "ValidationException"),
        (
            "P-256 cannot encrypt",
            "API_CreateKey",
            Some("ECC_NIST_P256"),
            Some("ENCRYPT_DECRYPT"),
            "ValidationException",
        ),
        (
            "Ed25519 agrees on nothing",
            "API_CreateKey",
            Some("ECC_NIST_EDWARDS25519"),
            Some("KEY_AGREEMENT"),
            "ValidationException",
        ),
        (
            "symmetric keys cannot sign",
            "API_CreateKey",
            Some("SYMMETRIC_DEFAULT"),
            Some("SIGN_VERIFY"),
            "ValidationException",
        ),
        ("no such spec", "API_CreateKey", Some("RSA_1024"), Some("SIGN_VERIFY"), "ValidationException"),
        ("no such usage", "API_CreateKey", Some("RSA_2048"), Some("sign"), "ValidationException"),
        (
            "ours alone: KMS has it, we do not",
            "API_CreateKey",
            Some("ECC_NIST_P384"),
            Some("SIGN_VERIFY"),
            "UnsupportedOperationException",
        ),
        (
            "ours alone: KMS has it, we do not",
            "API_CreateKey",
            Some("RSA_2048"),
            Some("ENCRYPT_DECRYPT"),
            "UnsupportedOperationException",
        ),
        (
            "ours alone: KMS has it, we do not",
            "API_CreateKey",
            Some("ECC_NIST_P256"),
            Some("KEY_AGREEMENT"),
            "UnsupportedOperationException",
        ),
    ];
    for (why, page, spec, usage, expected) in rows {
        let created = client
            .create_key()
            .set_key_spec(spec.map(KeySpec::from))
            .set_key_usage(usage.map(KeyUsageType::from));
        assert_eq!(outcome(created.send().await), expected, "{why} ({page}): {spec:?} {usage:?}");
    }
}

#[tokio::test]
async fn a_new_key_describes_itself_as_in_kms() {
    let (_kms, client) = start(None).await;
    let created = client
        .create_key()
        .key_spec(KeySpec::EccNistP256)
        .key_usage(KeyUsageType::SignVerify)
        .description("tenant acme")
        .send()
        .await
        .expect("made")
        .key_metadata
        .expect("metadata");
    // API_KeyMetadata
    assert!(created.enabled);
    assert_eq!(created.key_state, Some(KeyState::Enabled));
    assert_eq!(created.description.as_deref(), Some("tenant acme"));
    assert_eq!(
        created.arn.as_deref(),
        Some(format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/{}", created.key_id).as_str())
    );
    assert_eq!(created.signing_algorithms, Some(vec![SigningAlgorithmSpec::EcdsaSha256]));
    assert_eq!(created.encryption_algorithms, None);
    assert_eq!(created.deletion_date, None);
    assert!(created.creation_date.expect("a date").secs() > 1_700_000_000);
    let described = client.describe_key().key_id(&created.key_id).send().await.expect("described");
    assert_eq!(described.key_metadata, Some(created));
}

#[tokio::test]
async fn keys_are_named_by_id_or_arn_of_this_realm() {
    let (_kms, client) = start(None).await;
    let arn = create(&client, KeySpec::EccNistP256).await;
    let id = arn.rsplit('/').next().expect("an id").to_owned();
    let absent = "00000000-0000-4000-8000-000000000000";
    let rows = [
        ("the ARN", "API_DescribeKey", arn.clone(), "ok"),
        ("the id", "API_DescribeKey", id.clone(), "ok"),
        ("no such key", "API_DescribeKey", absent.to_owned(), "NotFoundException"),
        (
            "no such key",
            "API_DescribeKey",
            format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/{absent}"),
            "NotFoundException",
        ),
        ("another Region's key", "API_DescribeKey", arn.replace(REGION, "us-east-1"), "NotFoundException"),
        (
            "another account's key",
            "API_DescribeKey",
            arn.replace(ACCOUNT, "111122223333"),
            "NotFoundException",
        ),
        ("no alias", "API_DescribeKey", "alias/acme".to_owned(), "NotFoundException"),
        ("an ARN without its resource type", "API_DescribeKey", arn.replace("key/", ""), "NotFoundException"),
        ("ids are compared as text", "API_DescribeKey", id.to_uppercase(), "NotFoundException"),
        ("ids are compared as text", "API_DescribeKey", id.replace('-', ""), "NotFoundException"),
        ("not an id", "API_DescribeKey", "../keys".to_owned(), "NotFoundException"),
        ("empty", "API_DescribeKey", String::new(), "ValidationException"),
    ];
    for (why, page, name, expected) in rows {
        assert_eq!(
            outcome(client.describe_key().key_id(&name).send().await),
            expected,
            "{why} ({page}): {name:?}"
        );
    }
    assert_eq!(
        outcome(client.describe_key().send().await),
        "ValidationException",
        "absent (API_DescribeKey)"
    );
}

#[tokio::test]
async fn key_state_decides_what_a_key_does() {
    const DISABLED: &str = "DisabledException";
    const INVALID: &str = "KMSInvalidStateException";
    // Page: key-state. Columns: enabled, disabled, pending deletion.
    let rows = [
        ("Sign", ["ok", DISABLED, INVALID]),
        ("Verify", ["ok", DISABLED, INVALID]),
        ("GetPublicKey", ["ok", DISABLED, INVALID]),
        ("Encrypt", ["ok", DISABLED, INVALID]),
        ("Decrypt", ["ok", DISABLED, INVALID]),
        ("GenerateDataKeyPair", ["ok", DISABLED, INVALID]),
        ("DescribeKey", ["ok", "ok", "ok"]),
        ("ListResourceTags", ["ok", "ok", "ok"]),
        ("TagResource", ["ok", "ok", INVALID]),
        ("UntagResource", ["ok", "ok", INVALID]),
        ("EnableKey", ["ok", "ok", INVALID]),
        ("DisableKey", ["ok", "ok", INVALID]),
        ("ScheduleKeyDeletion", ["ok", "ok", INVALID]),
        ("CancelKeyDeletion", [INVALID, INVALID, "ok"]),
    ];
    let (_kms, client) = start(None).await;
    for (operation, expected) in rows {
        for (state, expected) in ["Enabled", "Disabled", "PendingDeletion"].into_iter().zip(expected) {
            let spec = match operation {
                "Encrypt" | "Decrypt" | "GenerateDataKeyPair" => KeySpec::SymmetricDefault,
                _ => KeySpec::EccNistP256,
            };
            let key = create(&client, spec).await;
            let prepared = prepare(&client, operation, &key).await;
            match state {
                "Disabled" => drop(client.disable_key().key_id(&key).send().await.expect("disabled")),
                "PendingDeletion" => {
                    client.schedule_key_deletion().key_id(&key).send().await.expect("scheduled");
                }
                _ => {}
            }
            let found = call(&client, operation, &key, prepared).await;
            assert_eq!(found, expected, "{operation} on a key that is {state} (key-state)");
        }
    }
}

/// Made while the key is still enabled: the signature to verify, the ciphertext to decrypt.
async fn prepare(client: &Client, operation: &str, key: &str) -> Blob {
    match operation {
        "Verify" => {
            let signed = client
                .sign()
                .key_id(key)
                .message(Blob::new("m"))
                .signing_algorithm(SigningAlgorithmSpec::EcdsaSha256)
                .send();
            signed.await.expect("signed").signature.expect("a signature")
        }
        "Decrypt" => {
            let encrypted = client.encrypt().key_id(key).plaintext(Blob::new("m")).send().await;
            encrypted.expect("encrypted").ciphertext_blob.expect("a ciphertext")
        }
        _ => Blob::new("m"),
    }
}

async fn call(client: &Client, operation: &str, key: &str, prepared: Blob) -> String {
    let message = Blob::new("m");
    match operation {
        "Sign" => {
            let algorithm = SigningAlgorithmSpec::EcdsaSha256;
            let sign = client.sign().key_id(key).message(message).message_type(MessageType::Raw);
            outcome(sign.signing_algorithm(algorithm).send().await)
        }
        "Verify" => {
            let algorithm = SigningAlgorithmSpec::EcdsaSha256;
            let verify = client.verify().key_id(key).message(message).signature(prepared);
            outcome(verify.signing_algorithm(algorithm).send().await)
        }
        "GetPublicKey" => outcome(client.get_public_key().key_id(key).send().await),
        "Encrypt" => outcome(client.encrypt().key_id(key).plaintext(message).send().await),
        "Decrypt" => outcome(client.decrypt().key_id(key).ciphertext_blob(prepared).send().await),
        "GenerateDataKeyPair" => {
            let generate = client.generate_data_key_pair().key_id(key).key_pair_spec("ECC_NIST_P256".into());
            outcome(generate.send().await)
        }
        "DescribeKey" => outcome(client.describe_key().key_id(key).send().await),
        "ListResourceTags" => outcome(client.list_resource_tags().key_id(key).send().await),
        "TagResource" => {
            let tag = aws_sdk_kms::types::Tag::builder().tag_key("k").tag_value("v").build().expect("a tag");
            outcome(client.tag_resource().key_id(key).tags(tag).send().await)
        }
        "UntagResource" => outcome(client.untag_resource().key_id(key).tag_keys("k").send().await),
        "EnableKey" => outcome(client.enable_key().key_id(key).send().await),
        "DisableKey" => outcome(client.disable_key().key_id(key).send().await),
        "ScheduleKeyDeletion" => outcome(client.schedule_key_deletion().key_id(key).send().await),
        "CancelKeyDeletion" => outcome(client.cancel_key_deletion().key_id(key).send().await),
        other => unreachable!("the table names no operation {other}"),
    }
}

#[tokio::test]
async fn deletion_waits_seven_to_thirty_days() {
    let (_kms, client) = start(None).await;
    let rows = [
        ("the default", "API_ScheduleKeyDeletion", None, Ok(30)),
        ("the least", "API_ScheduleKeyDeletion", Some(7), Ok(7)),
        ("the most", "API_ScheduleKeyDeletion", Some(30), Ok(30)),
        ("below the least", "API_ScheduleKeyDeletion", Some(6), Err("ValidationException")),
        ("above the most", "API_ScheduleKeyDeletion", Some(31), Err("ValidationException")),
        ("nonsense", "API_ScheduleKeyDeletion", Some(-7), Err("ValidationException")),
    ];
    for (why, page, days, expected) in rows {
        let key = create(&client, KeySpec::EccNistP256).await;
        let result =
            client.schedule_key_deletion().key_id(&key).set_pending_window_in_days(days).send().await;
        match expected {
            Err(code) => assert_eq!(outcome(result), code, "{why} ({page})"),
            Ok(days) => {
                let scheduled = result.expect(why);
                assert_eq!(scheduled.pending_window_in_days, Some(days), "{why} ({page})");
                assert_eq!(scheduled.key_state, Some(KeyState::PendingDeletion), "{why} ({page})");
                assert_eq!(scheduled.key_id.as_ref(), Some(&key), "{why} ({page}): the ARN");
                let metadata = client.describe_key().key_id(&key).send().await.expect("described");
                let metadata = metadata.key_metadata.expect("metadata");
                let waits = metadata.deletion_date.expect("a date").secs()
                    - metadata.creation_date.expect("a date").secs();
                assert!(
                    (0..60).contains(&(waits - i64::from(days) * 86_400)),
                    "{why} ({page}): waits {waits} s"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_cancelled_deletion_leaves_the_key_disabled() {
    let (_kms, client) = start(None).await;
    let key = create(&client, KeySpec::EccNistP256).await;
    client.schedule_key_deletion().key_id(&key).send().await.expect("scheduled");
    let cancelled = client.cancel_key_deletion().key_id(&key).send().await.expect("cancelled");
    assert_eq!(cancelled.key_id.as_ref(), Some(&key), "the ARN (API_CancelKeyDeletion)");
    let metadata =
        client.describe_key().key_id(&key).send().await.expect("described").key_metadata.expect("metadata");
    assert_eq!(metadata.key_state, Some(KeyState::Disabled), "API_CancelKeyDeletion");
    assert_eq!(metadata.deletion_date, None, "API_KeyMetadata");
    client.enable_key().key_id(&key).send().await.expect("enabled");
    assert_eq!(call(&client, "Sign", &key, Blob::new("")).await, "ok", "API_EnableKey");
}

#[tokio::test]
async fn list_keys_pages_through_every_key_once() {
    let (_kms, client) = start(None).await;
    let mut made = Vec::new();
    for _ in 0..7 {
        made.push(create(&client, KeySpec::EccNistEdwards25519).await);
    }
    let (mut listed, mut marker, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = client.list_keys().limit(3).set_marker(marker).send().await.expect("a page");
        pages += 1;
        listed.extend(page.keys.unwrap_or_default().into_iter().filter_map(|entry| entry.key_arn));
        assert_eq!(page.truncated, page.next_marker.is_some(), "API_ListKeys");
        marker = page.next_marker;
        if marker.is_none() {
            break;
        }
    }
    listed.sort();
    made.sort();
    assert_eq!((listed, pages), (made, 3));

    let rows = [
        ("below the least", "API_ListKeys", Some(0), None, "ValidationException"),
        ("above the most", "API_ListKeys", Some(1001), None, "ValidationException"),
        ("a marker of our own making", "API_ListKeys", None, Some("no marker"), "InvalidMarkerException"),
        ("a marker of another list", "API_ListKeys", None, Some("YWNtZQ"), "InvalidMarkerException"),
        ("the most", "API_ListKeys", Some(1000), None, "ok"),
    ];
    for (why, page, limit, marker, expected) in rows {
        let list = client.list_keys().set_limit(limit).set_marker(marker.map(str::to_owned));
        assert_eq!(outcome(list.send().await), expected, "{why} ({page})");
    }
}
