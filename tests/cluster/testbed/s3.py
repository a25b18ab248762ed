"""An S3 server that checks signatures and rights: versitygw on a folder, as a host process."""

import json
import secrets

from .node import address
from .paths import STATE
from .processes import run, start
from .processes import stop as stop_process
from .tools import binary

PORT = 7070
KEYS = STATE / "s3.json"


def up() -> None:
    folders = [STATE / "s3", STATE / "s3-accounts"]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    if not KEYS.exists():
        KEYS.touch(mode=0o600)
        KEYS.write_text(json.dumps({"access": "root", "secret": secrets.token_urlsafe(24)}))
    keys = json.loads(KEYS.read_text())
    # By environment: the arguments of a process are open to every user of the machine.
    names = (f"ROOT_ACCESS_KEY={keys['access']}", f"ROOT_SECRET_KEY={keys['secret']}")
    gateway = [binary("versitygw"), "--port", f"{address()}:{PORT}", "--iam-dir", folders[1]]
    start("versitygw", "env", *names, *gateway, "posix", folders[0])


def stop() -> None:
    stop_process("versitygw")


def endpoint() -> str:
    return f"http://{address()}:{PORT}"


def admin(*arguments: str) -> str:
    """versitygw's administration: create-user, update-user, delete-user, change-bucket-owner."""
    keys = json.loads(KEYS.read_text())
    login = ["--access", keys["access"], "--secret", keys["secret"], "--endpoint-url", endpoint()]
    return run(binary("versitygw"), "admin", *login, *arguments)
