"""In the way of a development tool that kubernetes imports where it is, which takes seconds.

Users have none, and do not wait.
"""

raise ImportError("users have none")
