"""`python -m ttsrl`: the command `ttsrl`."""

from ttsrl.cli.app import main

main()
