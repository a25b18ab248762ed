"""Dashboards for Grafana, written as Python and kept in the chart as JSON.

python -m monitoring                          writes helm/dashboards/*.json
python -m monitoring --check http://host:9090 asks a Prometheus each panel's query

A room of its own: only who edits the chart needs it, so neither the library nor an image carries
it. The rules beside the dashboards, helm/rules/ttsrl.yaml, are Prometheus' own format.

Every series of a release must carry the labels `namespace`, `release` (app.kubernetes.io/instance
of its pod) and `pod`; the chart's ServiceMonitor and PodMonitor set them.
"""
