"""Archives and templates in the account's bucket, by content: what is there already is not sent again."""

import hashlib
import json

from botocore.exceptions import ClientError

from aws import code_of
from say import say, stop


class Bucket:
    """The bucket of an account and region, shared by its stages, each below its own prefix."""

    def __init__(self, account, stage):
        self.account = account
        self.s3 = account.client("s3")
        self.name = f"leasehold-deploy-{account.id}-{account.region}"
        self.prefix = f"{stage.name}/"
        # A bucket of this name in another account would get our code and give us its own.
        self.ours = {} if account.endpoint else {"ExpectedBucketOwner": account.id}

    def exists(self):
        try:
            self.s3.head_bucket(Bucket=self.name, **self.ours)
        except ClientError as error:
            if code_of(error) in ("404", "NoSuchBucket"):
                return False
            stop(f"The bucket {self.name} is not ours to use ({code_of(error)}).")
        return True

    def ensure(self):
        """Makes the bucket where there is none: private, encrypted."""
        if self.exists():
            return
        say(f"  making the bucket {self.name}")
        where = {"CreateBucketConfiguration": {"LocationConstraint": self.account.region}}
        self.s3.create_bucket(Bucket=self.name, **({} if self.account.region == "us-east-1" else where))
        self.s3.put_public_access_block(
            Bucket=self.name,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True,
                "IgnorePublicAcls": True,
                "BlockPublicPolicy": True,
                "RestrictPublicBuckets": True,
            },
        )

    def put(self, key, data):
        """Stores data unless it is there; the key must depend on the content."""
        key = self.prefix + key
        try:
            self.s3.head_object(Bucket=self.name, Key=key, **self.ours)
        except ClientError as error:
            if code_of(error) not in ("404", "NoSuchKey"):
                raise
            self.s3.put_object(Bucket=self.name, Key=key, Body=data, **self.ours)
            say(f"  sent {key} ({len(data) / 1e6:.1f} MB)")
        return key

    def write(self, key, value):
        """Stores a small document, whatever was there."""
        self.s3.put_object(Bucket=self.name, Key=self.prefix + key, Body=json.dumps(value).encode(), **self.ours)

    def read(self, key):
        answer = self.s3.get_object(Bucket=self.name, Key=self.prefix + key, **self.ours)
        return json.loads(answer["Body"].read())

    def keys(self, below=""):
        """The keys of this stage below a prefix, without the stage's own."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.name, Prefix=self.prefix + below, **self.ours
        )
        return [item["Key"].removeprefix(self.prefix) for page in pages for item in page.get("Contents", [])]

    def url(self, key):
        """Where CloudFormation reads a template."""
        if self.account.endpoint:
            return f"{self.account.endpoint}/{self.name}/{key}"
        return f"https://{self.name}.s3.{self.account.region}.amazonaws.com/{key}"

    def remove(self):
        """Removes what is this stage's, and the bucket when nothing is left in it."""
        if not self.exists():
            return
        for key in self.keys():
            self.s3.delete_object(Bucket=self.name, Key=self.prefix + key, **self.ours)
        if not self.s3.list_objects_v2(Bucket=self.name, MaxKeys=1, **self.ours).get("Contents"):
            self.s3.delete_bucket(Bucket=self.name, **self.ours)


def send(bucket, archives):
    """Sends the archives; where each lies, by function, as the template wants it."""
    places = {}
    for short, (digest, data) in archives.items():
        key = bucket.put(f"code/{short}-{digest}.zip", data)
        places[short] = {"Bucket": bucket.name, "Key": key}
    return places


def send_template(bucket, expanded):
    text = json.dumps(expanded, sort_keys=True).encode()
    return bucket.put(f"templates/{hashlib.sha256(text).hexdigest()[:20]}.json", text)
