//! Symmetric encryption, and the data key pairs that rest on it.

use std::collections::HashMap;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        self, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
        UnparsedPublicKey,
    },
};
use aws_sdk_kms::{
    Client,
    primitives::Blob,
    types::{DataKeyPairSpec, EncryptionAlgorithmSpec, KeySpec},
};

use crate::{create, outcome, start};

type Context = HashMap<String, String>;

fn context(pairs: &[(&str, &str)]) -> Context {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

async fn encrypt(client: &Client, key: &str, pairs: &[(&str, &str)]) -> Vec<u8> {
    let encrypt = client
        .encrypt()
        .key_id(key)
        .plaintext(Blob::new("secret"))
        .set_encryption_context(Some(context(pairs)));
    encrypt.send().await.expect("encrypted").ciphertext_blob.expect("a ciphertext").into_inner()
}

#[tokio::test]
async fn a_ciphertext_opens_only_with_its_context() {
    const REFUSED: &str = "InvalidCiphertextException";
    let (_kms, client) = start(None).await;
    let key = create(&client, KeySpec::SymmetricDefault).await;
    let pairs = [("tenant", "acme"), ("kid", "k1")];
    let bound = encrypt(&client, &key, &pairs).await;
    let bare = encrypt(&client, &key, &[]).await;
    // Page: API_Decrypt, "EncryptionContext".
    let rows = [
        ("the same pairs", &bound, Some(context(&pairs)), "ok"),
        ("the same pairs in another order", &bound, Some(context(&[pairs[1], pairs[0]])), "ok"),
        ("none, none asked", &bare, None, "ok"),
        ("none is the empty one", &bare, Some(context(&[])), "ok"),
        ("none", &bound, None, REFUSED),
        ("a pair too few", &bound, Some(context(&pairs[..1])), REFUSED),
        ("another tenant", &bound, Some(context(&[("tenant", "globex"), pairs[1]])), REFUSED),
        ("case matters", &bound, Some(context(&[("Tenant", "acme"), pairs[1]])), REFUSED),
        ("borders between parts matter", &bound, Some(context(&[("tenantacme", ""), pairs[1]])), REFUSED),
        ("one that was never bound", &bare, Some(context(&pairs)), REFUSED),
    ];
    for (why, blob, context, expected) in rows {
        let decrypt =
            client.decrypt().ciphertext_blob(Blob::new(blob.clone())).set_encryption_context(context);
        let decrypted = decrypt.send().await;
        if let Ok(opened) = &decrypted {
            assert_eq!(opened.plaintext, Some(Blob::new("secret")), "{why} (API_Decrypt)");
            assert_eq!(opened.key_id.as_ref(), Some(&key), "{why}: the ARN (API_Decrypt)");
        }
        assert_eq!(outcome(decrypted), expected, "{why} (API_Decrypt)");
    }
}

#[tokio::test]
async fn a_ciphertext_opens_only_whole_and_under_its_key() {
    const REFUSED: &str = "InvalidCiphertextException";
    let (_kms, client) = start(None).await;
    let key = create(&client, KeySpec::SymmetricDefault).await;
    let other = create(&client, KeySpec::SymmetricDefault).await;
    let signing = create(&client, KeySpec::EccNistP256).await;
    let absent = "00000000-0000-4000-8000-000000000000".to_owned();
    let blob = encrypt(&client, &key, &[]).await;
    let changed = |at: usize| {
        let mut blob = blob.clone();
        blob[at] ^= 1;
        blob
    };
    // As if the header said that the other key had made it.
    let mut relabelled = blob.clone();
    relabelled[1..17].copy_from_slice(&encrypt(&client, &other, &[]).await[1..17]);
    // Page: API_Decrypt.
    let rows = [
        ("it knows its key", None, blob.clone(), "ok"),
        ("its key named", Some(&key), blob.clone(), "ok"),
        ("another key named", Some(&other), blob.clone(), "IncorrectKeyException"),
        ("a signing key named", Some(&signing), blob.clone(), "InvalidKeyUsageException"),
        ("an absent key named", Some(&absent), blob.clone(), "NotFoundException"),
        ("a changed last byte", None, changed(blob.len() - 1), REFUSED),
        ("a changed nonce", None, changed(20), REFUSED),
        ("a changed version", None, changed(0), REFUSED),
        ("relabelled", None, relabelled, REFUSED),
        ("noise", None, vec![9; 64], REFUSED),
        ("made by a key that is not here", None, changed(3), "AccessDeniedException"),
        ("cut to its header", None, blob[..17].to_vec(), REFUSED),
        ("nothing", None, Vec::new(), "ValidationException"),
        ("too long", None, vec![1; 6145], "ValidationException"),
    ];
    for (why, key_id, blob, expected) in rows {
        let decrypt = client.decrypt().set_key_id(key_id.cloned()).ciphertext_blob(Blob::new(blob));
        assert_eq!(outcome(decrypt.send().await), expected, "{why} (API_Decrypt)");
    }
}

#[tokio::test]
async fn encrypt_accepts_and_refuses_like_kms() {
    let (_kms, client) = start(None).await;
    let key = create(&client, KeySpec::SymmetricDefault).await;
    let signing = create(&client, KeySpec::Rsa2048).await;
    let rows = [
        ("up to 4096 bytes", "API_Encrypt", &key, 4096, None, "ok"),
        ("the algorithm by name", "API_Encrypt", &key, 1, Some("SYMMETRIC_DEFAULT"), "ok"),
        ("over 4096 bytes", "API_Encrypt", &key, 4097, None, "ValidationException"),
        ("nothing", "API_Encrypt", &key, 0, None, "ValidationException"),
        ("no such algorithm", "API_Encrypt", &key, 1, Some("AES"), "ValidationException"),
        (
            "an algorithm of RSA keys",
            "API_Encrypt",
            &key,
            1,
            Some("RSAES_OAEP_SHA_256"),
            "InvalidKeyUsageException",
        ),
        ("a signing key", "API_Encrypt", &signing, 1, None, "InvalidKeyUsageException"),
    ];
    for (why, page, key, length, algorithm, expected) in rows {
        let encrypt = client
            .encrypt()
            .key_id(key)
            .plaintext(Blob::new(vec![7; length]))
            .set_encryption_algorithm(algorithm.map(EncryptionAlgorithmSpec::from));
        assert_eq!(outcome(encrypt.send().await), expected, "{why} ({page})");
    }
    assert_ne!(
        encrypt(&client, &key, &[]).await,
        encrypt(&client, &key, &[]).await,
        "no two ciphertexts are alike"
    );
}

#[tokio::test]
async fn a_data_key_pair_comes_back_whole_and_signs() {
    let (_kms, client) = start(None).await;
    let key = create(&client, KeySpec::SymmetricDefault).await;
    let pairs = [("tenant", "acme")];
    for (spec, page) in [
        ("RSA_2048", "API_GenerateDataKeyPairWithoutPlaintext"),
        ("ECC_NIST_P256", "API_GenerateDataKeyPairWithoutPlaintext"),
        ("ECC_NIST_EDWARDS25519", "API_GenerateDataKeyPairWithoutPlaintext"),
    ] {
        let generated = client
            .generate_data_key_pair_without_plaintext()
            .key_id(&key)
            .key_pair_spec(spec.into())
            .set_encryption_context(Some(context(&pairs)))
            .send()
            .await
            .expect("a pair");
        assert_eq!(generated.key_id.as_ref(), Some(&key), "{spec} ({page}): the ARN");
        let blob = generated.private_key_ciphertext_blob.expect("a private key");
        let foreign = client
            .decrypt()
            .ciphertext_blob(blob.clone())
            .set_encryption_context(Some(context(&[("tenant", "globex")])));
        assert_eq!(outcome(foreign.send().await), "InvalidCiphertextException", "{spec} (API_Decrypt)");
        let opened =
            client.decrypt().ciphertext_blob(blob).set_encryption_context(Some(context(&pairs))).send().await;
        let private = opened.expect("opened").plaintext.expect("PKCS#8").into_inner();
        let public = generated.public_key.expect("a public key").into_inner();
        sign_and_verify(spec, &private, &public);
    }
}

fn sign_and_verify(spec: &str, private: &[u8], public: &[u8]) {
    let message = b"header.payload";
    let random = SystemRandom::new();
    let verified = match spec {
        "RSA_2048" => {
            let pair = RsaKeyPair::from_pkcs8(private).expect("PKCS#8");
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).expect("signed");
            UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, public).verify(message, &signature)
        }
        "ECC_NIST_P256" => {
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, private).expect("PKCS#8");
            let made = pair.sign(&random, message).expect("signed");
            UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, public).verify(message, made.as_ref())
        }
        _ => {
            let made = Ed25519KeyPair::from_pkcs8(private).expect("PKCS#8").sign(message);
            UnparsedPublicKey::new(&signature::ED25519, &public[12..]).verify(message, made.as_ref())
        }
    };
    assert!(verified.is_ok(), "{spec}: the two halves belong together");
}

#[tokio::test]
async fn generate_data_key_pair_shows_the_private_key_once_and_refuses_like_kms() {
    let (_kms, client) = start(None).await;
    let key = create(&client, KeySpec::SymmetricDefault).await;
    let signing = create(&client, KeySpec::EccNistP256).await;
    let generate = client.generate_data_key_pair().key_id(&key).key_pair_spec(DataKeyPairSpec::EccNistP256);
    let generated = generate.send().await.expect("a pair");
    let opened =
        client.decrypt().ciphertext_blob(generated.private_key_ciphertext_blob.expect("sealed")).send().await;
    assert_eq!(opened.expect("opened").plaintext, generated.private_key_plaintext, "API_GenerateDataKeyPair");

    let rows = [
        (
            "a signing key",
            "API_GenerateDataKeyPair",
            &signing,
            Some("ECC_NIST_P256"),
            "InvalidKeyUsageException",
        ),
        ("no such spec", "API_GenerateDataKeyPair", &key, Some("RSA_1024"), "ValidationException"),
        ("not a pair", "API_GenerateDataKeyPair", &key, Some("SYMMETRIC_DEFAULT"), "ValidationException"),
        ("no spec", "API_GenerateDataKeyPair", &key, None, "ValidationException"),
        (
            "ours alone: KMS has it",
            "API_GenerateDataKeyPair",
            &key,
            Some("ECC_NIST_P521"),
            "UnsupportedOperationException",
        ),
    ];
    for (why, page, key, spec, expected) in rows {
        let spec = spec.map(DataKeyPairSpec::from);
        let shown = client.generate_data_key_pair().key_id(key).set_key_pair_spec(spec.clone()).send().await;
        assert_eq!(outcome(shown), expected, "{why} ({page})");
        let hidden = client
            .generate_data_key_pair_without_plaintext()
            .key_id(key)
            .set_key_pair_spec(spec)
            .send()
            .await;
        assert_eq!(outcome(hidden), expected, "{why} ({page}, without plaintext)");
    }
}
