"""Object storage of runs: publish folders, pull them back whole, verified and resumable.

    store = RunStore("s3://bucket/prefix", "quickstart")  # or a plain folder
    store.storage.publish(folder, store.checkpoint(100))
    store.write_latest(100)
    store.storage.pull(store.checkpoint(100), folder)

Every published folder is a prefix with a MANIFEST.json, written last: the size and SHA-256 of each
file. A prefix without one does not exist for readers. S3 credentials come from boto3's own chain
(environment, shared file, web identity), the endpoint from AWS_ENDPOINT_URL or AWS_ENDPOINT_URL_S3.
Importing this package loads no boto3.

May import text and the rooms below it. May be imported by reward and the rooms above it.
"""
