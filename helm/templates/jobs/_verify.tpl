{{/* What `skaffold verify` takes the containers of: arguments as those of ttsrl.rayjob */}}
{{- define "ttsrl.verifyjob" -}}
apiVersion: batch/v1
kind: Job
metadata:
  {{- include "ttsrl.jobMetadata" (merge (dict "name" (printf "%s-verify" .job) "component" "test") .) | nindent 2 }}
spec:
  backoffLimit: 0
  activeDeadlineSeconds: 600
  template:
    metadata:
      labels: # by which the reward service's NetworkPolicy knows it
        {{- include "ttsrl.jobLabels" (merge (dict "component" "test") .) | nindent 8 }}
    spec:
      {{- include "ttsrl.testPodSpec" (dict "root" .root "checks" (list "score" "storage" "metrics")) | nindent 6 }}
{{- end }}
