"""The command `ttsrl`: each module holds the commands of one topic, and each command is one call.

Imports any other room, and only inside of its commands: `ttsrl --help` must answer at once.
Nothing imports it.
"""
