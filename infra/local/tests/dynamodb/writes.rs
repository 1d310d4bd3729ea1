//! Single-item writes and the reads beside them.

use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::update_item::UpdateItemError,
    types::{KeysAndAttributes, ReturnValue, ReturnValuesOnConditionCheckFailure},
};

use crate::{Item, TABLE, get, item, key, number, outcome, put, start, text};

/// The shape of a rotation: on to `version` + 1, if it is still `seen`.
async fn rotate(client: &Client, seen: u64) -> Result<(), SdkError<UpdateItemError>> {
    client
        .update_item()
        .table_name(TABLE)
        .set_key(Some(key("T#acme#U#u1", "F#f1")))
        .update_expression("SET #v = :next")
        .condition_expression("#v = :seen")
        .expression_attribute_names("#v", "version")
        .expression_attribute_values(":seen", number(seen))
        .expression_attribute_values(":next", number(seen + 1))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .send()
        .await
        .map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_a_hundred_conditional_updates_wins() {
    let (_database, client) = start(None).await;
    for round in 0..5 {
        put(&client, item("T#acme#U#u1", "F#f1", 1)).await;
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let client = client.clone();
            tasks.spawn(async move { rotate(&client, 1).await });
        }
        let (mut winners, mut losers) = (0, 0);
        for result in tasks.join_all().await {
            match result.map_err(SdkError::into_service_error) {
                Ok(()) => winners += 1,
                // API_UpdateItem, ReturnValuesOnConditionCheckFailure: what is there instead.
                Err(UpdateItemError::ConditionalCheckFailedException(lost)) => {
                    assert_eq!(lost.item, Some(item("T#acme#U#u1", "F#f1", 2)));
                    losers += 1;
                }
                Err(error) => panic!("round {round}: {error}"),
            }
        }
        assert_eq!((winners, losers), (1, 99), "round {round}");
    }
}

#[tokio::test]
async fn a_failed_condition_returns_the_old_item_only_when_asked() {
    let (_database, client) = start(None).await;
    put(&client, item("p", "s", 7)).await;
    let all_old = ReturnValuesOnConditionCheckFailure::AllOld;
    let none = ReturnValuesOnConditionCheckFailure::None;
    let there = Some(item("p", "s", 7));
    let rows = [
        ("asked, on an item that is there", "API_PutItem", "s", all_old.clone(), there),
        ("asked, on an item that is not", "API_PutItem", "absent", all_old, None),
        ("not asked", "API_PutItem", "s", none, None),
    ];
    for (why, page, sk, asked, expected) in rows {
        let put = client
            .put_item()
            .table_name(TABLE)
            .set_item(Some(item("p", sk, 8)))
            .condition_expression("version = :v")
            .expression_attribute_values(":v", number(6))
            .return_values_on_condition_check_failure(asked.clone());
        let put = put.send().await.expect_err(why).into_service_error();
        let aws_sdk_dynamodb::operation::put_item::PutItemError::ConditionalCheckFailedException(lost) = put
        else {
            panic!("{why}: {put}");
        };
        assert_eq!(lost.item, expected, "{why} ({page})");

        let delete = client
            .delete_item()
            .table_name(TABLE)
            .set_key(Some(key("p", sk)))
            .condition_expression("version = :v")
            .expression_attribute_values(":v", number(6))
            .return_values_on_condition_check_failure(asked);
        let delete = delete.send().await.expect_err(why).into_service_error();
        let aws_sdk_dynamodb::operation::delete_item::DeleteItemError::ConditionalCheckFailedException(lost) =
            delete
        else {
            panic!("{why}: {delete}");
        };
        assert_eq!(lost.item, expected, "{why} (API_DeleteItem)");
    }
    assert_eq!(get(&client, "p", "s").await, Some(item("p", "s", 7)), "nothing was written");
}

#[tokio::test]
async fn conditions_decide_writes() {
    let (_database, client) = start(None).await;
    let lost = "ConditionalCheckFailedException";
    let rows = [
        ("new, and it is", "API_PutItem", "attribute_not_exists(PK)", "fresh", "ok"),
        ("new, and it is not", "API_PutItem", "attribute_not_exists(PK)", "s", lost),
        ("there, and it is", "API_PutItem", "attribute_exists(PK)", "s", "ok"),
        ("there, and it is not", "API_PutItem", "attribute_exists(PK)", "absent", lost),
        ("the version seen", "API_PutItem", "version = :v", "s", "ok"),
        ("another version", "API_PutItem", "version <> :v", "s", lost),
        ("a missing attribute equals nothing", "API_PutItem", "absent_attribute = :v", "s", lost),
        ("either", "API_PutItem", "attribute_not_exists(PK) OR version = :v", "s", "ok"),
        ("a condition that does not parse", "API_PutItem", "version == :v", "s", "ValidationException"),
        ("a value nobody gave", "API_PutItem", "version = :w", "s", "ValidationException"),
    ];
    for (why, page, condition, sk, expected) in rows {
        put(&client, item("p", "s", 7)).await;
        let request = client
            .put_item()
            .table_name(TABLE)
            .set_item(Some(item("p", sk, 8)))
            .condition_expression(condition)
            .set_expression_attribute_values(
                condition.contains(":v").then(|| [(":v".to_owned(), number(7))].into()),
            );
        assert_eq!(outcome(request.send().await), expected, "{why} ({page})");
    }
}

#[tokio::test]
async fn counters_add_up() {
    let (_database, client) = start(None).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let client = client.clone();
        tasks.spawn(async move {
            let add = client
                .update_item()
                .table_name(TABLE)
                .set_key(Some(key("T#acme#X#login", "address")))
                .update_expression("ADD attempts :one")
                .expression_attribute_values(":one", number(1))
                .return_values(ReturnValue::UpdatedNew);
            let added = add.send().await.expect("added").attributes.expect("the new value");
            added["attempts"].as_n().expect("a number").parse::<u64>().expect("a number")
        });
    }
    let mut seen = tasks.join_all().await;
    seen.sort_unstable();
    assert_eq!(seen, (1..=50).collect::<Vec<_>>(), "each caller its own count (API_UpdateItem, ADD)");
}

#[tokio::test]
async fn bad_writes_are_refused() {
    let (_database, client) = start(None).await;
    let mut no_sort_key = item("p", "s", 1);
    no_sort_key.remove("SK");
    let mut numeric_key = item("p", "s", 1);
    numeric_key.insert("PK".to_owned(), number(1));
    let mut large = item("p", "s", 1);
    large.insert("blob".to_owned(), text(&"x".repeat(400 * 1024)));
    let rows: [(&str, &str, &str, Item, &str); 6] = [
        ("no sort key", "API_PutItem", TABLE, no_sort_key, "ValidationException"),
        ("a key of another type", "API_PutItem", TABLE, numeric_key, "ValidationException"),
        ("an empty key", "API_PutItem", TABLE, item("", "s", 1), "ValidationException"),
        (
            "a key over 2048 bytes",
            "API_PutItem",
            TABLE,
            item(&"p".repeat(2049), "s", 1),
            "ValidationException",
        ),
        ("an item over 400 KB", "API_PutItem", TABLE, large, "ValidationException"),
        ("no such table", "API_PutItem", "absent", item("p", "s", 1), "ResourceNotFoundException"),
    ];
    for (why, page, table, item, expected) in rows {
        let put = client.put_item().table_name(table).set_item(Some(item)).send().await;
        assert_eq!(outcome(put), expected, "{why} ({page})");
    }
}

#[tokio::test]
async fn a_batch_reads_what_is_there_consistently() {
    let (_database, client) = start(None).await;
    put(&client, item("T#acme", "TENANT", 1)).await;
    put(&client, item("T#acme", "CLIENT#web", 2)).await;
    put(&client, item("T#globex", "TENANT", 3)).await;
    for version in 4..20 {
        put(&client, item("T#acme", "TENANT", version)).await;
        let keys = [key("T#acme", "TENANT"), key("T#acme", "CLIENT#web"), key("T#acme", "CLIENT#absent")];
        let request = KeysAndAttributes::builder().set_keys(Some(keys.into())).consistent_read(true).build();
        let batch =
            client.batch_get_item().request_items(TABLE, request.expect("keys")).send().await.expect("read");
        let mut found = batch.responses.expect("responses").remove(TABLE).expect("the table's");
        found.sort_by_key(|item| item["SK"].as_s().expect("a sort key").clone());
        // API_BatchGetItem: absent items are absent, and ConsistentRead sees the last write.
        assert_eq!(found, [item("T#acme", "CLIENT#web", 2), item("T#acme", "TENANT", version)]);
        assert!(batch.unprocessed_keys.unwrap_or_default().is_empty());
    }
    let twice = KeysAndAttributes::builder().keys(key("p", "s")).keys(key("p", "s")).build().expect("keys");
    let batch = client.batch_get_item().request_items(TABLE, twice).send().await;
    assert_eq!(outcome(batch), "ValidationException", "one key twice (API_BatchGetItem)");
    let many = (0..101).map(|n| key("p", &n.to_string())).collect();
    let many = KeysAndAttributes::builder().set_keys(Some(many)).build().expect("keys");
    let batch = client.batch_get_item().request_items(TABLE, many).send().await;
    assert_eq!(outcome(batch), "ValidationException", "over a hundred keys (API_BatchGetItem)");
}

#[tokio::test]
async fn a_query_stays_in_its_partition_and_pages() {
    let (_database, client) = start(None).await;
    for n in 0..5 {
        put(&client, item("T#acme#U#u1", &format!("F#{n}"), n)).await;
    }
    put(&client, item("T#acme#U#u1", "USER", 9)).await;
    put(&client, item("T#acme#U#u10", "F#0", 9)).await;
    let (mut found, mut start_key, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = client
            .query()
            .table_name(TABLE)
            .key_condition_expression("PK = :p AND begins_with(SK, :f)")
            .expression_attribute_values(":p", text("T#acme#U#u1"))
            .expression_attribute_values(":f", text("F#"))
            .limit(2)
            .set_exclusive_start_key(start_key)
            .send()
            .await
            .expect("a page");
        pages += 1;
        found.extend(page.items.unwrap_or_default());
        start_key = page.last_evaluated_key;
        if start_key.is_none() {
            break;
        }
    }
    let expected: Vec<_> = (0..5).map(|n| item("T#acme#U#u1", &format!("F#{n}"), n)).collect();
    assert_eq!((found, pages), (expected, 3), "in order of the sort key (API_Query)");
}
