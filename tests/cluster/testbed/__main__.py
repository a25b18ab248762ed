"""python -m testbed tools|up [core|scale|full] ...: build what is missing; start the cluster.
python -m testbed down: end it.
"""

import argparse
import sys

from . import cluster
from .down import down
from .node import require_machine
from .paths import KUBECONFIG, TestbedError
from .tools import GROUPS, build

parser = argparse.ArgumentParser(prog="python -m testbed", description=__doc__)
parser.add_argument("command", choices=["tools", "up", "down"])
parser.add_argument("group", nargs="?", choices=GROUPS, default="scale")
arguments = parser.parse_args()
try:
    if arguments.command == "down":
        down()
    elif arguments.command == "tools":
        build(GROUPS[: GROUPS.index(arguments.group) + 1])
    else:
        require_machine()
        cluster.up(arguments.group)
        print(f"export KUBECONFIG={KUBECONFIG}")
except TestbedError as error:
    sys.exit(f"error: {error}")
