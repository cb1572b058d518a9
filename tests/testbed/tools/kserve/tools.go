//go:build tools

// Package tools pins the KServe that the tests on a node install.
package tools

import _ "github.com/kserve/kserve/cmd/manager"
