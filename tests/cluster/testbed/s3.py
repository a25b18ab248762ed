"""S3 servers that check signatures and rights: versitygw on a folder, as a host process."""

import json
import secrets
from dataclasses import dataclass

from .node import address
from .paths import STATE
from .processes import run, start, stop
from .tools import binary

KEYS = STATE / "s3.json"


@dataclass(frozen=True)
class Gateway:
    """A server with folders of its own; its name is that of its process, too."""

    name: str = "s3"
    port: int = 7070

    @property
    def endpoint(self) -> str:
        return f"http://{address()}:{self.port}"

    def up(self) -> None:
        folders = [STATE / self.name, STATE / f"{self.name}-accounts"]
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        keys = _keys()
        # By environment: the arguments of a process are open to every user of the machine.
        names = (f"ROOT_ACCESS_KEY={keys['access']}", f"ROOT_SECRET_KEY={keys['secret']}")
        place = ("--port", f"{address()}:{self.port}", "--iam-dir", folders[1])
        start(self.name, "env", *names, binary("versitygw"), *place, "posix", folders[0])

    def stop(self) -> None:
        stop(self.name)

    def admin(self, *arguments: str) -> str:
        """versitygw's administration: create-user, update-user, delete-user, ..."""
        keys = _keys()
        login = ["--access", keys["access"], "--secret", keys["secret"]]
        return run(
            binary("versitygw"), "admin", *login, "--endpoint-url", self.endpoint, *arguments
        )


SHARED = Gateway()
"""Every test's that does not stop it."""


def _keys() -> dict[str, str]:
    if not KEYS.exists():
        KEYS.touch(mode=0o600)
        KEYS.write_text(json.dumps({"access": "root", "secret": secrets.token_urlsafe(24)}))
    return json.loads(KEYS.read_text())
