//! Signatures: made here, checked with `aws-lc-rs`.

use aws_lc_rs::{
    digest::{self, SHA256, SHA384, SHA512},
    signature::{self, UnparsedPublicKey, VerificationAlgorithm},
};
use aws_sdk_kms::{
    primitives::Blob,
    types::{KeySpec, MessageType, SigningAlgorithmSpec},
};

use crate::{create, outcome, start};

const MESSAGE: &[u8] = b"header.payload";

#[tokio::test]
async fn signatures_verify_under_the_published_key() {
    let (_kms, client) = start(None).await;
    // Page: API_Sign, "SigningAlgorithm"; key lengths: API_GetPublicKey (SubjectPublicKeyInfo, RFC 5280).
    let rows: [(&str, usize, &str, &digest::Algorithm, &dyn VerificationAlgorithm); 10] = [
        ("RSA_2048", 294, "RSASSA_PKCS1_V1_5_SHA_256", &SHA256, &signature::RSA_PKCS1_2048_8192_SHA256),
        ("RSA_2048", 294, "RSASSA_PKCS1_V1_5_SHA_384", &SHA384, &signature::RSA_PKCS1_2048_8192_SHA384),
        ("RSA_2048", 294, "RSASSA_PKCS1_V1_5_SHA_512", &SHA512, &signature::RSA_PKCS1_2048_8192_SHA512),
        ("RSA_2048", 294, "RSASSA_PSS_SHA_256", &SHA256, &signature::RSA_PSS_2048_8192_SHA256),
        ("RSA_2048", 294, "RSASSA_PSS_SHA_384", &SHA384, &signature::RSA_PSS_2048_8192_SHA384),
        ("RSA_2048", 294, "RSASSA_PSS_SHA_512", &SHA512, &signature::RSA_PSS_2048_8192_SHA512),
        ("RSA_3072", 422, "RSASSA_PKCS1_V1_5_SHA_256", &SHA256, &signature::RSA_PKCS1_2048_8192_SHA256),
        ("RSA_4096", 550, "RSASSA_PKCS1_V1_5_SHA_256", &SHA256, &signature::RSA_PKCS1_2048_8192_SHA256),
        ("ECC_NIST_P256", 91, "ECDSA_SHA_256", &SHA256, &signature::ECDSA_P256_SHA256_ASN1),
        ("ECC_NIST_EDWARDS25519", 44, "ED25519_SHA_512", &SHA512, &signature::ED25519),
    ];
    for (spec, length, name, hash, verification) in rows {
        let key = create(&client, spec.into()).await;
        let public = client.get_public_key().key_id(&key).send().await.expect("a public key");
        let der = public.public_key.expect("a public key").into_inner();
        assert_eq!(der.len(), length, "{spec}");
        let algorithm = SigningAlgorithmSpec::from(name);
        assert!(public.signing_algorithms.expect("algorithms").contains(&algorithm), "{spec} {name}");
        // `aws-lc-rs` reads SubjectPublicKeyInfo except for Ed25519, whose 32 bytes end it (RFC 8410 §4).
        let public = if name.starts_with("ED25519") { &der[12..] } else { &der };

        let digest = digest::digest(hash, MESSAGE);
        for (message_type, message) in [(MessageType::Raw, MESSAGE), (MessageType::Digest, digest.as_ref())] {
            if name.starts_with("ED25519") && message_type == MessageType::Digest {
                continue;
            }
            let request =
                client.sign().key_id(&key).message(Blob::new(message)).message_type(message_type.clone());
            let signed = request.signing_algorithm(algorithm.clone()).send().await.expect("signed");
            assert_eq!(signed.key_id.as_ref(), Some(&key), "the ARN (API_Sign)");
            let signature = signed.signature.expect("a signature");
            UnparsedPublicKey::new(verification, public)
                .verify(MESSAGE, signature.as_ref())
                .unwrap_or_else(|_| panic!("{spec} {name} {message_type}"));

            let verify =
                client.verify().key_id(&key).message(Blob::new(message)).message_type(message_type.clone());
            let verified = verify.signing_algorithm(algorithm.clone()).signature(signature).send().await;
            assert!(verified.expect("verified").signature_valid, "{spec} {name} {message_type} (API_Verify)");
        }
    }
}

#[tokio::test]
async fn ecdsa_signatures_are_der() {
    let (_kms, client) = start(None).await;
    let key = create(&client, KeySpec::EccNistP256).await;
    let signed = client.sign().key_id(&key).message(Blob::new(MESSAGE));
    let signed = signed.signing_algorithm(SigningAlgorithmSpec::EcdsaSha256).send().await.expect("signed");
    let signature = signed.signature.expect("a signature").into_inner();
    assert_eq!(signature[0], 0x30, "a SEQUENCE (API_Sign, \"Signature\": DER as in RFC 3279 §2.2.3)");
    assert_eq!(usize::from(signature[1]) + 2, signature.len());
}

#[tokio::test]
async fn sign_refuses_what_kms_refuses() {
    let (_kms, client) = start(None).await;
    let rsa = create(&client, KeySpec::Rsa2048).await;
    let p256 = create(&client, KeySpec::EccNistP256).await;
    let ed25519 = create(&client, KeySpec::EccNistEdwards25519).await;
    let symmetric = create(&client, KeySpec::SymmetricDefault).await;
    let (pkcs1, ecdsa, edwards) = ("RSASSA_PKCS1_V1_5_SHA_256", "ECDSA_SHA_256", "ED25519_SHA_512");
    let rows = [
        ("RAW up to 4096 bytes", "API_Sign", &rsa, pkcs1, Some("RAW"), 4096, "ok"),
        ("RAW is the default", "API_Sign", &p256, ecdsa, None, 4096, "ok"),
        ("Ed25519 up to 4096 bytes", "API_Sign", &ed25519, edwards, Some("RAW"), 4096, "ok"),
        ("a digest of the right length", "API_Sign", &rsa, pkcs1, Some("DIGEST"), 32, "ok"),
        ("a longer hash, a longer digest", "API_Sign", &rsa, "RSASSA_PSS_SHA_512", Some("DIGEST"), 64, "ok"),
        ("RAW over 4096 bytes", "API_Sign", &rsa, pkcs1, Some("RAW"), 4097, "ValidationException"),
        ("RAW over 4096 bytes", "API_Sign", &p256, ecdsa, Some("RAW"), 4097, "ValidationException"),
        ("Ed25519 over 4096 bytes", "API_Sign", &ed25519, edwards, Some("RAW"), 4097, "ValidationException"),
        ("an empty message", "API_Sign", &rsa, pkcs1, Some("RAW"), 0, "ValidationException"),
        ("a digest too short", "API_Sign", &rsa, pkcs1, Some("DIGEST"), 31, "ValidationException"),
        ("a digest too long", "API_Sign", &p256, ecdsa, Some("DIGEST"), 33, "ValidationException"),
        (
            "the digest of another hash",
            "API_Sign",
            &rsa,
            "RSASSA_PSS_SHA_512",
            Some("DIGEST"),
            32,
            "ValidationException",
        ),
        ("Ed25519 signs messages", "API_Sign", &ed25519, edwards, Some("DIGEST"), 64, "ValidationException"),
        ("mu is for ML-DSA", "API_Sign", &p256, ecdsa, Some("EXTERNAL_MU"), 64, "ValidationException"),
        ("no such message type", "API_Sign", &p256, ecdsa, Some("digest"), 32, "ValidationException"),
        ("no such algorithm", "API_Sign", &p256, "ES256", Some("RAW"), 32, "ValidationException"),
        ("RSA key, ECDSA", "API_Sign", &rsa, ecdsa, Some("RAW"), 32, "InvalidKeyUsageException"),
        ("P-256 key, RSA", "API_Sign", &p256, pkcs1, Some("RAW"), 32, "InvalidKeyUsageException"),
        (
            "P-256 key, P-384's hash",
            "API_Sign",
            &p256,
            "ECDSA_SHA_384",
            Some("RAW"),
            32,
            "InvalidKeyUsageException",
        ),
        ("P-256 key, Ed25519", "API_Sign", &p256, edwards, Some("RAW"), 32, "InvalidKeyUsageException"),
        ("Ed25519 key, ECDSA", "API_Sign", &ed25519, ecdsa, Some("RAW"), 32, "InvalidKeyUsageException"),
        ("an encryption key", "API_Sign", &symmetric, pkcs1, Some("RAW"), 32, "InvalidKeyUsageException"),
        (
            "ours alone: KMS has it",
            "API_Sign",
            &ed25519,
            "ED25519_PH_SHA_512",
            Some("DIGEST"),
            64,
            "UnsupportedOperationException",
        ),
    ];
    for (why, page, key, algorithm, message_type, length, expected) in rows {
        let request = client
            .sign()
            .key_id(key)
            .message(Blob::new(vec![7; length]))
            .set_message_type(message_type.map(MessageType::from))
            .signing_algorithm(algorithm.into());
        assert_eq!(
            outcome(request.send().await),
            expected,
            "{why} ({page}): {algorithm} {message_type:?} {length}"
        );
    }
    let absent = client.sign().key_id("00000000-0000-4000-8000-000000000000").message(Blob::new("m"));
    assert_eq!(outcome(absent.signing_algorithm(ecdsa.into()).send().await), "NotFoundException", "API_Sign");
    let public = client.get_public_key().key_id(&symmetric).send().await;
    assert_eq!(outcome(public), "UnsupportedOperationException", "no public half (API_GetPublicKey)");
}

#[tokio::test]
async fn verify_refuses_every_signature_but_the_right_one() {
    let (_kms, client) = start(None).await;
    let rsa = create(&client, KeySpec::Rsa2048).await;
    let other = create(&client, KeySpec::Rsa2048).await;
    let (pkcs1, pss) = ("RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PSS_SHA_256");
    let sign = client.sign().key_id(&rsa).message(Blob::new(MESSAGE)).signing_algorithm(pkcs1.into());
    let good = sign.send().await.expect("signed").signature.expect("a signature").into_inner();
    let mut flipped = good.clone();
    flipped[100] ^= 1;
    let cut = good[..good.len() - 1].to_vec();

    let rows = [
        ("the right one", "API_Verify", &rsa, pkcs1, MESSAGE, good.clone(), "ok"),
        ("a flipped bit", "API_Verify", &rsa, pkcs1, MESSAGE, flipped, "KMSInvalidSignatureException"),
        ("cut short", "API_Verify", &rsa, pkcs1, MESSAGE, cut, "KMSInvalidSignatureException"),
        (
            "another message",
            "API_Verify",
            &rsa,
            pkcs1,
            b"other".as_slice(),
            good.clone(),
            "KMSInvalidSignatureException",
        ),
        ("another key", "API_Verify", &other, pkcs1, MESSAGE, good.clone(), "KMSInvalidSignatureException"),
        ("another padding", "API_Verify", &rsa, pss, MESSAGE, good.clone(), "KMSInvalidSignatureException"),
        (
            "an algorithm of other keys",
            "API_Verify",
            &rsa,
            "ECDSA_SHA_256",
            MESSAGE,
            good,
            "InvalidKeyUsageException",
        ),
        ("no signature", "API_Verify", &rsa, pkcs1, MESSAGE, Vec::new(), "ValidationException"),
        ("too long", "API_Verify", &rsa, pkcs1, MESSAGE, vec![1; 6145], "ValidationException"),
    ];
    for (why, page, key, algorithm, message, signature, expected) in rows {
        let verify = client
            .verify()
            .key_id(key)
            .message(Blob::new(message))
            .signature(Blob::new(signature))
            .signing_algorithm(algorithm.into());
        assert_eq!(outcome(verify.send().await), expected, "{why} ({page})");
    }
}
