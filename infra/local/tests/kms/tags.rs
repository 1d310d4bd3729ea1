//! Tags: the rules for them, their pages, and changes that meet.

use std::collections::BTreeMap;

use aws_sdk_kms::{
    Client,
    types::{KeySpec, Tag},
};

use crate::{create, outcome, start};

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().tag_key(key).tag_value(value).build().expect("a tag")
}

async fn all_tags(client: &Client, key: &str) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::new();
    let mut marker = None;
    loop {
        let list = client.list_resource_tags().key_id(key).limit(7).set_marker(marker);
        let page = list.send().await.expect("a page");
        assert_eq!(page.truncated, page.next_marker.is_some(), "API_ListResourceTags");
        for tag in page.tags.unwrap_or_default() {
            assert!(tags.insert(tag.tag_key, tag.tag_value).is_none(), "a tag on two pages");
        }
        marker = page.next_marker;
        if marker.is_none() {
            return tags;
        }
    }
}

#[tokio::test]
async fn tags_are_added_replaced_and_removed() {
    let (_kms, client) = start(None).await;
    let created = client.create_key().tags(tag("stage", "dev")).tags(tag("tenant", "acme")).send().await;
    let key = created.expect("made").key_metadata.expect("metadata").key_id;
    let tagged = client.tag_resource().key_id(&key).tags(tag("tenant", "globex")).tags(tag("kid", "")).send();
    tagged.await.expect("tagged");
    let removed = client.untag_resource().key_id(&key).tag_keys("stage").tag_keys("never there").send();
    removed.await.expect("untagged");
    let expected = [("kid", ""), ("tenant", "globex")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(all_tags(&client, &key).await, expected.into(), "API_TagResource, API_UntagResource");
}

#[tokio::test]
async fn tags_are_refused_like_in_kms() {
    let (_kms, client) = start(None).await;
    let many = |count: usize| (0..count).map(|n| tag(&format!("t{n}"), "v")).collect::<Vec<_>>();
    let rows = [
        ("fifty", "API_CreateKey", many(50), "ok"),
        ("the longest", "API_Tag", vec![tag(&"k".repeat(128), &"v".repeat(256))], "ok"),
        ("a key too long", "API_Tag", vec![tag(&"k".repeat(129), "v")], "ValidationException"),
        ("a value too long", "API_Tag", vec![tag("k", &"v".repeat(257))], "ValidationException"),
        ("no key", "API_Tag", vec![tag("", "v")], "ValidationException"),
        ("a reserved prefix", "API_CreateKey", vec![tag("aws:stage", "v")], "TagException"),
        ("one key twice", "API_CreateKey", vec![tag("k", "v"), tag("k", "w")], "TagException"),
        ("fifty-one", "API_CreateKey", many(51), "TagException"),
    ];
    for (why, page, tags, expected) in rows {
        let key = create(&client, KeySpec::SymmetricDefault).await;
        let created = client.create_key().set_tags(Some(tags.clone())).send().await;
        assert_eq!(outcome(created), expected, "{why} ({page})");
        let tagged = client.tag_resource().key_id(&key).set_tags(Some(tags)).send().await;
        assert_eq!(outcome(tagged), expected, "{why} (API_TagResource)");
        if expected != "ok" {
            assert!(all_tags(&client, &key).await.is_empty(), "{why}: nothing is tagged in part");
        }
    }
    let key = create(&client, KeySpec::SymmetricDefault).await;
    let list = || client.list_resource_tags().key_id(&key);
    assert_eq!(outcome(list().limit(51).send().await), "ValidationException", "API_ListResourceTags");
    assert_eq!(outcome(list().limit(0).send().await), "ValidationException", "API_ListResourceTags");
    assert_eq!(outcome(list().marker("!").send().await), "InvalidMarkerException", "API_ListResourceTags");
}

#[tokio::test]
async fn forty_changes_at_once_lose_none() {
    let (_kms, client) = start(Some(crate::fresh_path("keys.json"))).await;
    let key = create(&client, KeySpec::SymmetricDefault).await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..40 {
        let (client, key) = (client.clone(), key.clone());
        tasks.spawn(async move {
            let tagged = client.tag_resource().key_id(key).tags(tag(&format!("t{n:02}"), "v"));
            tagged.send().await.expect("tagged");
        });
    }
    tasks.join_all().await;
    assert_eq!(all_tags(&client, &key).await.len(), 40);
}
