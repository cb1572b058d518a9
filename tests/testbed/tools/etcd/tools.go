//go:build tools

// Package tools pins the store of the control plane that the cluster tests run.
package tools

import _ "go.etcd.io/etcd/server/v3"
