//go:build tools

// Package tools pins the Kubeflow training operator that the tests on a node install.
package tools

import _ "github.com/kubeflow/training-operator/cmd/training-operator.v1"
