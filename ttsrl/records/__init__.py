"""What a run writes down, as typed records, and the one place that reads and writes their files.

Imports nothing of ttsrl but the wire's outcomes and the errors; rooms from `runtime` up import it.
"""
