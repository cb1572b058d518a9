//go:build tools

// Package tools pins the Argo Workflows that the operator is measured against.
package tools

import _ "github.com/argoproj/argo-workflows/v3/cmd/workflow-controller"
