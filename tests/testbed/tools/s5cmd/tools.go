//go:build tools

// Package tools pins the S3 client that the storage is measured against.
package tools

import _ "github.com/peak/s5cmd/v2"
