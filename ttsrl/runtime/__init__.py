"""Running work on one machine: jobs as processes, progress, exit codes, what the machine has.

Imports nothing of ttsrl but its errors.
"""
