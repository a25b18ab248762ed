"""botocore's errors in plain words: the fact, the value, the way out; never a secret."""

from __future__ import annotations

from urllib.parse import urlsplit

from botocore import exceptions as e
from botocore.exceptions import ClientError
from urllib3.exceptions import HTTPError

from ttsrl.errors import BadInput
from ttsrl.storage.errors import StorageError
from ttsrl.storage.s3_answers import NotS3Error
from ttsrl.storage.transfer import PART_BYTES

WRONG_CODES = {
    "SignatureDoesNotMatch": "the secret access key does not belong to the access key id",
    "InvalidAccessKeyId": "the server does not know the access key id",
    "ExpiredToken": "the session token has expired",
    "ExpiredTokenException": "the session token has expired",
    "TokenRefreshRequired": "the session token has expired",
    "InvalidToken": "the session token is not valid",
    "InvalidClientTokenId": "the session token is not valid",
    "RequestExpired": "the request was signed too long ago; check this machine's clock",
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it",
}
CREDENTIAL_CODES = {*WRONG_CODES, "400", "403", "AuthorizationHeaderMalformed"}
"""Codes that other credentials may fix; a HEAD request has no more than its HTTP status."""

BUSY_CODES = {
    "SlowDown",
    "ServiceUnavailable",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "TooManyRequests",
    "429",
    "503",
}

CREDENTIALS_HELP = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), or point "
    "AWS_SHARED_CREDENTIALS_FILE to a file that holds them"
)


def code_of(error: ClientError) -> str:
    """S3's error code, or the HTTP status of an answer without body."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: ClientError) -> int:
    """HTTP status of the answer; 0 where it has none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def explain(
    error: Exception, address: str, endpoint: str, attempts: int
) -> BadInput | StorageError:
    """BadInput for what a retry cannot fix, StorageError for the rest.

    Built from the error's code or type alone: the texts of servers are not passed on.
    """
    server = _host(endpoint)
    if isinstance(error, ClientError):
        return _explain_answer(error, address, server, attempts)
    return _explain_failure(error, address, server, attempts)


def explain_stranger(
    error: NotS3Error, address: str, endpoint: str, sent_bytes: int, *, is_first: bool
) -> BadInput | StorageError:
    """BadInput where S3 has never answered; StorageError where something stands between."""
    server = _host(endpoint)
    if is_first:
        return BadInput(f"{server} is not an S3 endpoint: it answered {error}; {error.hint}")
    if error.status == 413:
        return StorageError(
            f"a proxy before {server} refuses {sent_bytes} bytes in one request, of {address} "
            f"(HTTP 413); have it pass {PART_BYTES} (nginx: client_max_body_size)"
        )
    return StorageError(
        f"a proxy before {server} answered {error} for {address}, which S3 does not; nothing is "
        "known of the object; look at the proxy, then run again"
    )


def _explain_answer(
    error: ClientError, address: str, server: str, attempts: int
) -> BadInput | StorageError:
    code = code_of(error)
    bucket = address.removeprefix("s3://").split("/")[0]
    if code in WRONG_CODES:
        return BadInput(f"{server} refused the credentials: {WRONG_CODES[code]}; renew them")
    if code in BUSY_CODES:
        return StorageError(
            f"{server} is too busy ({code}, {attempts} attempts) for {address}; try again later, "
            "or raise AWS_MAX_ATTEMPTS"
        )
    match code:
        case "AccessDenied" | "403" | "AllAccessDisabled" | "AccountProblem":
            return BadInput(
                f"access denied to {address} on {server}: these credentials may not "
                f"{error.operation_name}; it takes GetObject, PutObject, DeleteObject and "
                "ListBucket"
            )
        case "NoSuchBucket":
            return BadInput(f"no bucket {bucket!r} on {server}; create it, or correct `storage`")
        case "InvalidBucketName":
            return BadInput(f"{bucket!r} is not a valid name of a bucket; correct `storage`")
        case "400" | "AuthorizationHeaderMalformed":
            return BadInput(
                f"{server} refused the credentials or their region; renew them and check AWS_REGION"
            )
        case "PermanentRedirect" | "301" | "IllegalLocationConstraintException":
            return BadInput(f"bucket {bucket!r} lives in another region; set AWS_REGION to it")
        case "QuotaExceeded" | "XMinioStorageFull" | "InsufficientStorage" | "507":
            return StorageError(f"{server} is full ({code}); free some space there")
        case _:
            said = "" if code in ("", str(status_of(error))) else f" ({code})"
            return StorageError(
                f"{server}, or a proxy before it, answered {error.operation_name} of {address} "
                f"with HTTP {status_of(error)}{said}, {attempts} attempts; try again later"
            )


def _explain_failure(
    error: Exception, address: str, server: str, attempts: int
) -> BadInput | StorageError:
    kind = type(error).__name__
    match error:
        case e.NoCredentialsError() | e.NoAuthTokenError():
            return BadInput(f"no credentials for {address}: {CREDENTIALS_HELP}")
        case e.PartialCredentialsError():
            return BadInput(f"half of the credentials for {address} is missing; {CREDENTIALS_HELP}")
        case e.ProfileNotFound():
            return BadInput("AWS_PROFILE names a profile that no configuration file has")
        case e.CredentialRetrievalError() | e.SSOError() | e.MetadataRetrievalError():
            return BadInput(f"the credentials for {address} could not be fetched ({kind}); log in")
        case e.SSLError():
            return StorageError(
                f"{server}'s certificate is not trusted, or it speaks no TLS; check the endpoint's "
                "scheme, or set AWS_CA_BUNDLE to your own authority"
            )
        case e.ParamValidationError():
            return BadInput(f"{address} is not a valid address of an object; correct `storage`")
        case e.HTTPClientError() | e.ConnectionError() | e.IncompleteReadError() | HTTPError():
            return StorageError(
                f"{server} cannot be reached, or cuts connections ({kind}, {attempts} attempts); "
                "check the network and AWS_ENDPOINT_URL"
            )
        case _:
            return StorageError(f"{kind} at {address} on {server}")


def _host(endpoint: str) -> str:
    """Scheme, host and port: an endpoint with a password in it keeps that to itself."""
    url = urlsplit(endpoint)
    if not url.hostname:
        return "S3"
    return f"{url.scheme}://{url.hostname}" + (f":{url.port}" if url.port else "")
