"""A job's entrypoint that a guard stops."""

import sys
from pathlib import Path

from ttsrl.errors import Stopped
from ttsrl.runtime.exit_codes import exit_code
from ttsrl.training import supervisor


def stopped(*_: object, **__: object) -> None:
    raise Stopped("guard pitch at step 7")


supervisor.train = stopped
sys.exit(exit_code(lambda: supervisor.train_until_terminated(Path("run.json"))))
