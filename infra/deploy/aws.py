"""The account: who we are there, and the clients. `AWS_ENDPOINT_URL` leads to an emulator, as with AWS's own tools."""

import os

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ProfileNotFound

from say import stop

EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
UNKNOWN = {"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "AuthFailure"}
HOW = "Set AWS_PROFILE, or run `aws sso login`, or export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."


class Account:
    """An account and region that the caller has credentials for."""

    def __init__(self, session, region):
        self.session = session
        self.region = region
        self.endpoint = os.environ.get("AWS_ENDPOINT_URL")
        identity = self.client("sts").get_caller_identity()
        self.id, self.arn = identity["Account"], identity["Arn"]

    def client(self, service, **config):
        # An emulator on this machine has no names for buckets.
        style = {"s3": {"addressing_style": "path"}} if self.endpoint else {}
        return self.session.client(
            service, region_name=self.region, config=Config(retries={"mode": "standard"}, **style, **config)
        )

    @property
    def pause(self):
        """Seconds between two looks at something that takes its time."""
        return 0.3 if self.endpoint else 4


def connect(stage):
    """The account of a stage; stops with a message when there are no credentials, or others than the stage wants."""
    try:
        account = Account(boto3.Session(), stage.region)
    except ProfileNotFound as error:
        stop(f"{error}. {HOW}")
    except NoCredentialsError:
        stop(f"There are no AWS credentials. {HOW}")
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in EXPIRED:
            stop(f"The AWS credentials have expired. {HOW}")
        if code in UNKNOWN:
            stop(f"AWS does not know these credentials ({code}). {HOW}")
        stop(f"AWS refuses to say who we are ({code}).")
    except BotoCoreError as error:
        stop(f"AWS can't be asked who we are: {error} {HOW}")
    if stage.account and account.id != stage.account:
        stop(f"These credentials are of account {account.id}; {stage.name} belongs to {stage.account}.")
    return account


def code_of(error):
    return error.response["Error"]["Code"]
