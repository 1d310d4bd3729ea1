//! The table as somebody sees it who got hold of a dump: every item, every stored value.
//!
//! Only the tests scan. They talk to the embedded DynamoDB directly, past the functions and any proxy.

use serde_json::{Value, json};

use crate::http::{Call, Http, Reply};

/// The table behind one stack.
pub struct Table {
    url: String,
    http: Http,
    name: String,
}

impl Table {
    /// Finds the one table of the stack at this DynamoDB endpoint.
    pub async fn open(url: &str, http: &Http) -> Self {
        let names = call(url, http, "ListTables", &json!({})).await.expect(200).json();
        let name = names["TableNames"][0].as_str().expect("a table").to_owned();
        Self { url: url.to_owned(), http: http.clone(), name }
    }

    /// Every item, as DynamoDB JSON.
    pub async fn dump(&self) -> Vec<Value> {
        let mut items = Vec::new();
        let mut start = Value::Null;
        loop {
            let mut request = json!({"TableName": self.name, "ConsistentRead": true});
            if !start.is_null() {
                request["ExclusiveStartKey"] = start;
            }
            let mut page = call(&self.url, &self.http, "Scan", &request).await.expect(200).json();
            if let Value::Array(more) = page["Items"].take() {
                items.extend(more);
            }
            start = page["LastEvaluatedKey"].take();
            if start.is_null() {
                return items;
            }
        }
    }

    /// The items whose partition belongs to a tenant.
    pub async fn dump_tenant(&self, tenant: &str) -> Vec<Value> {
        let own = format!("T#{tenant}");
        let below = format!("{own}#");
        let mut items = self.dump().await;
        items.retain(|item| strings(item).iter().any(|text| **text == own || text.starts_with(&below)));
        items
    }

    /// Stores an item as it is.
    pub async fn put(&self, item: &Value) {
        call(&self.url, &self.http, "PutItem", &json!({"TableName": self.name, "Item": item}))
            .await
            .expect(200);
    }

    /// Removes an item by its whole key.
    pub async fn delete(&self, key: &Value) {
        let request = json!({"TableName": self.name, "Key": key});
        call(&self.url, &self.http, "DeleteItem", &request).await.expect(200);
    }

    /// The names of partition and sort key.
    pub async fn key_names(&self) -> (String, String) {
        let about =
            call(&self.url, &self.http, "DescribeTable", &json!({"TableName": self.name})).await.json();
        let name =
            |n: usize| about["Table"]["KeySchema"][n]["AttributeName"].as_str().expect("a key").to_owned();
        (name(0), name(1))
    }
}

async fn call(url: &str, http: &Http, operation: &str, body: &Value) -> Reply {
    // In the region of a local stack: a witness keeps the tables of each apart.
    let scope = "Credential=local/20260101/eu-west-1/dynamodb/aws4_request";
    Call::post(url)
        .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
        .header("x-amz-date", "20260101T000000Z")
        .header("authorization", format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=00"))
        .body("application/x-amz-json-1.0", body.to_string())
        .send(http)
        .await
}

/// Every string value anywhere below, in DynamoDB JSON or any other.
pub fn strings(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(strings).collect(),
        Value::Object(members) => members.values().flat_map(strings).collect(),
        _ => Vec::new(),
    }
}
