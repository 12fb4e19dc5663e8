"""What an error of Azure's packages means: ask again, a plain no, or one line for the user."""

from __future__ import annotations

from typing import Any

from azure.core import exceptions as core

from mlship.errors import RegistryError
from mlship.store.asking import Again, Declined, seconds_of
from mlship_azure.address import Address

ERRORS = (core.AzureError, OSError, ValueError)
_CUT = (core.ServiceRequestError, core.ServiceResponseError, core.IncompleteReadError, OSError)
_AGAIN_STATUS = (408, 429, 500, 502, 503, 504)
_AGAIN_CODES = ("Md5Mismatch", "OperationTimedOut", "ServerBusy", "InternalError")
_NO = {
    "BlobNotFound": "absent",
    "ResourceNotFound": "absent",
    "BlobAlreadyExists": "condition",
    "UnauthorizedBlobOverwrite": "condition",
    "ConditionNotMet": "condition",
    "TargetConditionNotMet": "condition",
    "InvalidRange": "range",
    "InvalidBlockList": "upload",
    "InvalidBlobOrBlock": "upload",
}
_NO_STATUS = {404: "absent", 412: "condition", 416: "range"}
_LOGIN = "Run `az login`, or set AZURE_STORAGE_CONNECTION_STRING, _SAS_TOKEN or _KEY"
_ROLE = "Get the role Storage Blob Data Contributor on it (a SAS needs r, c, w, d and l)"
_CAUSES = {
    "ContainerNotFound": ("there is no such container", "Look for its name with `az storage container list`"),
    "ContainerBeingDeleted": ("the container is being deleted", "Repeat the command later"),
    "AuthenticationFailed": ("the key or SAS is wrong or has expired", _LOGIN),
    "InvalidAuthenticationInfo": ("the credentials are not accepted", _LOGIN),
    "NoAuthenticationInformation": ("the credentials are not accepted", _LOGIN),
    "AuthorizationPermissionMismatch": ("permission denied", _ROLE),
    "AuthorizationFailure": (
        "the key or SAS is wrong or has expired, or the account's firewall keeps this machine out",
        _LOGIN,
    ),
    "AccountIsDisabled": ("the account is disabled", "Ask its owner"),
    "LeaseIdMissing": ("somebody holds a lease on it", "Break the lease (az storage blob lease break)"),
    "BlobImmutableDueToPolicy": ("a policy keeps it from being changed", "Use another container for tags"),
    "Md5Mismatch": (
        "what arrived is not what was sent",
        "Repeat the command; look for a proxy that changes it",
    ),
}


def judge(error: Exception) -> Again | None:
    """Whether to ask again (see asking.Judge)."""
    if isinstance(error, core.IncompleteReadError):
        return Again()
    if isinstance(error, core.HttpResponseError):
        if error.status_code in _AGAIN_STATUS or code_of(error) in _AGAIN_CODES:
            response: Any = error.response
            headers = response.headers if response is not None else {}
            return Again(seconds_of(headers.get("Retry-After")))
        return Again(once=True) if error.status_code == 401 else None
    return Again() if isinstance(error, _CUT) else None


def declined(error: Exception, unsure: bool) -> Declined | None:
    """The plain no that `error` is; None if it is trouble."""
    if not isinstance(error, core.HttpResponseError):
        return None
    code = code_of(error)
    why = _NO.get(code) or (None if code in _CAUSES else _NO_STATUS.get(error.status_code or 0))
    return Declined(why, unsure=unsure) if why else None


def explained(error: Exception, address: Address) -> RegistryError:
    """The one line about `error`. What was said is not repeated: it may hold the URL with its SAS."""
    what = f"cannot use azblob://{address.account}/{address.container}"
    if isinstance(error, core.HttpResponseError) and error.status_code:
        code = code_of(error)
        if code in _CAUSES:
            cause, fix = _CAUSES[code]
        elif error.status_code in (401, 403):
            cause, fix = ("the credentials are not accepted", _LOGIN)
        elif judge(error):
            cause, fix = f"it answers {error.status_code} again and again", "Repeat the command later"
        else:
            cause, fix = f"the request was refused: {error.status_code} {code[:40]}", "Look at the container"
        return RegistryError(what, cause=cause, fix=fix)
    if isinstance(error, core.ClientAuthenticationError):
        return RegistryError(what, cause="no Azure credentials were found, or they have expired", fix=_LOGIN)
    if isinstance(error, _CUT):
        return RegistryError(
            what,
            cause=f"it cannot be reached or stopped answering ({type(error).__name__})",
            fix="Look at the account's name, the network and HTTPS_PROXY, then repeat the command",
        )
    return RegistryError(
        what,
        cause=f"Azure's package reports {type(error).__name__}",
        fix="Look at the AZURE_STORAGE_ settings",
    )


def code_of(error: Any) -> str:
    """The service's word for what is wrong; empty if it said none."""
    code = getattr(error, "error_code", None) or ""
    return str(getattr(code, "value", code))
