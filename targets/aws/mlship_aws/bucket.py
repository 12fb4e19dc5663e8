"""One bucket, asked through boto3: with our own patience, and errors that say what to do."""

from __future__ import annotations

import threading
from typing import Any

from mlship.errors import RegistryError
from mlship.store.asking import Declined, Patience, Trial, asked
from mlship_aws.address import Address

# Calls that no key's absence explains: whatever they are refused for is trouble.
_OF_THE_BUCKET = ("list_objects_v2", "list_multipart_uploads", "create_multipart_upload")


class Bucket:
    """Asks for nothing until the first call. Not tied to a thread."""

    def __init__(self, address: Address, patience: Patience) -> None:
        self.address, self._patience = address, patience
        self._client: Any = None
        self._making = threading.Lock()

    def ask(self, operation: str, **words: Any) -> Any:
        """The answer to one S3 call on this bucket. Raises Declined for a plain no, RegistryError for
        trouble."""
        client = self._ready()
        from botocore import exceptions as boto

        from mlship_aws import trouble

        def call(unsure: bool) -> Any:
            try:
                return getattr(client, operation)(Bucket=self.address.bucket, **words)
            except boto.ClientError as error:
                no = None if operation in _OF_THE_BUCKET else trouble.declined(error, unsure)
                raise no or error from error

        try:
            return asked(self._patience, trouble.judge, call)
        except Declined:
            raise
        except (boto.BotoCoreError, boto.ClientError, OSError) as error:
            raise self._explained(error) from error

    def trial(self) -> Trial:
        """The attempts at something that `ask` only begins."""
        from mlship_aws import trouble

        return Trial(self._patience, trouble.judge)

    @property
    def interruptions(self) -> tuple[type[Exception], ...]:
        """What comes out of a body that is cut off."""
        from mlship_aws import trouble

        return trouble.INTERRUPTIONS

    def pause(self, trial: Trial, error: Exception) -> None:
        """Wait after an interruption; RegistryError if it was one too many."""
        try:
            trial.failed(error)
        except self.interruptions as last:
            raise self._explained(last) from last

    def _explained(self, error: Exception) -> RegistryError:
        from mlship_aws import trouble

        return trouble.explained(error, self.address)

    def _ready(self) -> Any:
        with self._making:
            if self._client is None:
                self._client = self._made()
            return self._client

    def _made(self) -> Any:
        try:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError
        except ModuleNotFoundError as missing:
            raise RegistryError(
                f"s3:// needs a package that is not installed ({missing.name})",
                fix="pip install 'mlship-toolchain[aws]'",
            ) from missing
        settings = Config(
            retries={"total_max_attempts": 1, "mode": "standard"},
            connect_timeout=self._patience.connect,
            read_timeout=self._patience.stall,
            max_pool_connections=16,
            request_checksum_calculation="when_required",  # ours are SHA-256, and always sent
            response_checksum_validation="when_required",
            user_agent_extra="mlship",
        )
        try:
            session = boto3.session.Session(profile_name=self.address.profile)
            return session.client(
                "s3",
                region_name=self.address.region,
                endpoint_url=self.address.endpoint,
                config=settings,
            )
        except (BotoCoreError, ValueError) as error:
            raise self._explained(error) from error
