"""What is stored: one interface over S3 and a folder, and the manifests that make what lies there readable.

Used by both halves, known to none: it depends on the contract, boto3 and pyarrow alone.
"""
