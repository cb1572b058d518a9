"""One interface over S3 and a folder, and the manifests that make what lies there readable."""
