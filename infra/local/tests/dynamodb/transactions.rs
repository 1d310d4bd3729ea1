//! All or nothing, over several items.

use aws_sdk_dynamodb::{
    Client,
    operation::transact_write_items::TransactWriteItemsError,
    types::{ConditionCheck, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem},
};

use crate::{Item, TABLE, get, item, key, number, outcome, put, start};

fn put_new(new: Item) -> TransactWriteItem {
    let put = Put::builder()
        .table_name(TABLE)
        .set_item(Some(new))
        .condition_expression("attribute_not_exists(PK)")
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .build()
        .expect("a put");
    TransactWriteItem::builder().put(put).build()
}

fn check_version(pk: &str, sk: &str, version: u64) -> TransactWriteItem {
    let check = ConditionCheck::builder()
        .table_name(TABLE)
        .set_key(Some(key(pk, sk)))
        .condition_expression("version = :v")
        .expression_attribute_values(":v", number(version))
        .build()
        .expect("a check");
    TransactWriteItem::builder().condition_check(check).build()
}

async fn transact(client: &Client, writes: Vec<TransactWriteItem>) -> Result<(), TransactWriteItemsError> {
    let result = client.transact_write_items().set_transact_items(Some(writes)).send().await;
    result.map(drop).map_err(aws_sdk_dynamodb::error::SdkError::into_service_error)
}

#[tokio::test]
async fn one_refused_write_undoes_the_others() {
    let (_database, client) = start(None).await;
    put(&client, item("p", "taken", 7)).await;
    let error = transact(
        &client,
        vec![put_new(item("p", "first", 1)), put_new(item("p", "taken", 1)), put_new(item("p", "last", 1))],
    )
    .await
    .expect_err("cancelled");
    let TransactWriteItemsError::TransactionCanceledException(cancelled) = error else { panic!("{error}") };
    // API_TransactWriteItems: one reason for each write, in order, with the item that was in the way.
    let reasons = cancelled.cancellation_reasons.expect("reasons");
    let codes: Vec<_> = reasons.iter().map(|reason| reason.code.as_deref().unwrap_or_default()).collect();
    assert_eq!(codes, ["None", "ConditionalCheckFailed", "None"]);
    assert_eq!(reasons[1].item, Some(item("p", "taken", 7)));
    assert_eq!(get(&client, "p", "first").await, None);
    assert_eq!(get(&client, "p", "taken").await, Some(item("p", "taken", 7)));
    assert_eq!(get(&client, "p", "last").await, None);
}

#[tokio::test]
async fn transactions_land_whole_or_are_refused() {
    let (_database, client) = start(None).await;
    put(&client, item("p", "tenant", 7)).await;
    let many = |count: u64| (0..count).map(|n| put_new(item("many", &n.to_string(), n))).collect::<Vec<_>>();
    let cancelled = "TransactionCanceledException";
    let rows = [
        (
            "a check that holds",
            "API_TransactWriteItems",
            vec![check_version("p", "tenant", 7), put_new(item("p", "a", 1))],
            "a",
            "ok",
        ),
        (
            "a check that does not",
            "API_TransactWriteItems",
            vec![check_version("p", "tenant", 6), put_new(item("p", "b", 1))],
            "b",
            cancelled,
        ),
        (
            "a check on nothing",
            "API_TransactWriteItems",
            vec![check_version("p", "absent", 7), put_new(item("p", "c", 1))],
            "c",
            cancelled,
        ),
        (
            "one item twice",
            "API_TransactWriteItems",
            vec![put_new(item("p", "d", 1)), put_new(item("p", "d", 2))],
            "d",
            "ValidationException",
        ),
        ("a hundred", "API_TransactWriteItems", many(100), "none", "ok"),
        ("a hundred and one", "API_TransactWriteItems", many(101), "none", "ValidationException"),
    ];
    for (why, page, writes, sk, expected) in rows {
        assert_eq!(outcome(transact(&client, writes).await), expected, "{why} ({page})");
        let written = get(&client, "p", sk).await.is_some();
        assert_eq!(written, expected == "ok" && sk != "none", "{why} ({page}): {sk}");
    }
}

#[tokio::test]
async fn a_repeated_token_lands_once() {
    let (_database, client) = start(None).await;
    let send = |token: &'static str, writes: Vec<TransactWriteItem>| {
        client.transact_write_items().client_request_token(token).set_transact_items(Some(writes)).send()
    };
    // API_TransactWriteItems, ClientRequestToken.
    let first = vec![put_new(item("p", "once", 1))];
    assert_eq!(outcome(send("token-1", first.clone()).await), "ok");
    assert_eq!(outcome(send("token-1", first.clone()).await), "ok", "the same again is a success");
    assert_eq!(
        outcome(send("token-2", first).await),
        "TransactionCanceledException",
        "another token is another try"
    );
    let other = vec![put_new(item("p", "other", 1))];
    assert_eq!(outcome(send("token-1", other).await), "IdempotentParameterMismatchException");
    assert_eq!(get(&client, "p", "other").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_transactions_that_meet_one_lands_and_no_half() {
    let (_database, client) = start(None).await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..30 {
        let client = client.clone();
        tasks.spawn(async move {
            let writes = vec![put_new(item("p", &format!("own-{n}"), n)), put_new(item("p", "shared", n))];
            transact(&client, writes).await.is_ok().then_some(n)
        });
    }
    let winners: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    let [winner] = winners[..] else { panic!("winners: {winners:?}") };
    for n in 0..30 {
        assert_eq!(get(&client, "p", &format!("own-{n}")).await.is_some(), n == winner, "{n}");
    }
    assert_eq!(get(&client, "p", "shared").await, Some(item("p", "shared", winner)));
}
