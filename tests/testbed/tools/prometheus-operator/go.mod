module evolution-operator/tests/prometheus-operator

go 1.25.0

require github.com/prometheus-operator/prometheus-operator v0.76.2
