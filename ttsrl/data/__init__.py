"""The user's texts and recordings -> prompts and speech tokens for training.

May import scorers and the rooms below it. May be imported by client, guards and synthesis and the
rooms above them.
"""
