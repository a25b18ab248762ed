"""The command `ttsrl`: each module holds the commands of one topic, and each command is one call.

Other rooms are imported only inside of the commands: `ttsrl --help` must answer at once.

May import quickstart and the rooms below it. May be imported by no room.
"""
