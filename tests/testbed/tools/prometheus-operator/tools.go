//go:build tools

// Package tools pins the schemas that a ServiceMonitor is held to.
package tools

import _ "github.com/prometheus-operator/prometheus-operator/cmd/operator"
