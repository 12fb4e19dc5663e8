"""What an error of boto3 means: ask again, a plain no, or one line for the user."""

from __future__ import annotations

from typing import Any

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from mlship.errors import RegistryError
from mlship.store.asking import Again, Declined, seconds_of
from mlship_aws.address import Address

INTERRUPTIONS = (boto.ConnectionError, boto.HTTPClientError, boto.IncompleteReadError, HTTPError, OSError)
_AGAIN_STATUS = (429, 500, 502, 503, 504)
_AGAIN_CODES = (
    "SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "InternalError", "ServiceUnavailable",
    "ConditionalRequestConflict", "OperationAborted", "RequestTimeoutException", "BadDigest",
)  # fmt: skip
_NO = {
    "NoSuchKey": "absent",
    "PreconditionFailed": "condition",
    "InvalidRange": "range",
    "NoSuchUpload": "upload",
    "InvalidPart": "upload",
}
_NO_STATUS = {404: "absent", 412: "condition", 416: "range"}
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired")
_LOGIN = "Run `aws sso login` or `aws configure`, or set AWS_PROFILE"
_CAUSES = {
    "NoSuchBucket": ("there is no such bucket", "Look for its name with `aws s3 ls`, or create it"),
    "InvalidAccessKeyId": ("AWS does not know the access key", _LOGIN),
    "SignatureDoesNotMatch": ("the secret key does not fit the access key", _LOGIN),
    "RequestTimeTooSkewed": ("this machine's clock is wrong", "Set the clock, then repeat the command"),
    "NotImplemented": (
        "this server does not know conditional writes",
        "Use one that does (AWS, MinIO, Ceph since Squid)",
    ),
    "QuotaExceeded": ("its quota is used up", "Free space there, then repeat the command"),
    "BadDigest": (
        "what arrived is not what was sent",
        "Repeat the command; look for a proxy that changes it",
    ),
}


class DeniedError(RegistryError):
    """The credentials are good, and not for this."""


def judge(error: Exception) -> Again | None:
    """Whether to ask again (see asking.Judge)."""
    if isinstance(error, boto.ClientError):
        answer = error.response.get("ResponseMetadata", {})
        status, code = answer.get("HTTPStatusCode"), _code(error)
        if status in _AGAIN_STATUS or code in _AGAIN_CODES:
            return Again(seconds_of(answer.get("HTTPHeaders", {}).get("retry-after")))
        return Again(once=True) if status == 401 else None
    if isinstance(error, ResponseParserError):  # what a proxy on the way says
        return Again()
    if isinstance(error, boto.SSLError | boto.ProxyConnectionError):
        return None
    return Again() if isinstance(error, INTERRUPTIONS) else None


def declined(error: Exception, unsure: bool) -> Declined | None:
    """The plain no that `error` is; None if it is trouble."""
    if not isinstance(error, boto.ClientError):
        return None
    code, status = _code(error), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    why = _NO.get(code) or (None if code in _CAUSES else _NO_STATUS.get(status))
    return Declined(why, unsure=unsure) if why else None


def explained(error: Exception, address: Address) -> RegistryError:
    """The one line about `error`. What the server said is not repeated, for it may hold what is secret."""
    what = f"cannot use s3://{address.bucket}"
    if isinstance(error, boto.ClientError):
        return _refusal(error, what)
    for kinds, cause, fix in _OTHERS:
        if isinstance(error, kinds):
            return RegistryError(what, cause=cause, fix=fix)
    if isinstance(error, INTERRUPTIONS):
        return RegistryError(
            what,
            cause=f"it cannot be reached or stopped answering ({type(error).__name__})",
            fix="Look at the network, AWS_ENDPOINT_URL and HTTPS_PROXY, then repeat the command",
        )
    return RegistryError(what, cause=f"boto3 reports {type(error).__name__}", fix="Look at the AWS settings")


def _refusal(error: Any, what: str) -> RegistryError:
    code, status = _code(error), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code in _EXPIRED or status == 401:
        cause = "the AWS credentials have expired" if code in _EXPIRED else "the credentials are not accepted"
        return RegistryError(what, cause=cause, fix=_LOGIN)
    if code in _CAUSES:
        cause, fix = _CAUSES[code]
        return RegistryError(what, cause=cause, fix=fix)
    if status == 403:
        return DeniedError(
            what,
            cause=f"permission denied to {error.operation_name}",
            fix="Get s3:GetObject, PutObject, DeleteObject and ListBucket on it, or use another AWS_PROFILE",
        )
    if judge(error):
        return RegistryError(
            what, cause=f"it answers {status} ({code[:40]}) again and again", fix="Repeat the command later"
        )
    return RegistryError(
        what, cause=f"{error.operation_name} was refused: {status} {code[:40]}", fix="Look at the bucket"
    )


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


_OTHERS: tuple[tuple[Any, str, str], ...] = (
    ((boto.NoCredentialsError, boto.PartialCredentialsError), "no AWS credentials were found", _LOGIN),
    (
        (
            boto.SSOError,
            boto.TokenRetrievalError,
            boto.CredentialRetrievalError,
            boto.RefreshWithMFAUnsupportedError,
        ),
        "the AWS credentials cannot be renewed",
        _LOGIN,
    ),
    (boto.ProfileNotFound, "there is no such AWS profile", "Look at AWS_PROFILE and ~/.aws/config"),
    (boto.SSLError, "the certificate is not trusted", "Set AWS_CA_BUNDLE to your CA's file"),
    (boto.ProxyConnectionError, "the proxy cannot be reached", "Look at HTTPS_PROXY"),
)
