{{/* Names */}}

{{- define "ttsrl.fullname" -}}
{{- .Values.fullnameOverride | default (ternary .Release.Name (printf "%s-ttsrl" .Release.Name) (contains "ttsrl" .Release.Name)) -}}
{{- end }}

{{/* Name of a service account: (list . "reward") */}}
{{- define "ttsrl.serviceAccount" -}}
{{- $root := index . 0 -}}
{{- $room := index . 1 -}}
{{- $account := index $root.Values.serviceAccounts $room -}}
{{ $account.name | default (ternary (printf "%s-%s" (include "ttsrl.fullname" $root) $room) "default" $account.create) }}
{{- end }}

{{- define "ttsrl.tokenSecret" -}}
{{ .Values.token.existingSecret | default (printf "%s-token" (include "ttsrl.fullname" .)) }}
{{- end }}

{{- define "ttsrl.s3Secret" -}}
{{ .Values.s3.existingSecret | default (printf "%s-s3" (include "ttsrl.fullname" .)) }}
{{- end }}

{{- define "ttsrl.huggingfaceSecret" -}}
{{ .Values.huggingface.existingSecret | default (printf "%s-huggingface" (include "ttsrl.fullname" .)) }}
{{- end }}

{{- define "ttsrl.trackersSecret" -}}
{{ .Values.trackers.existingSecret | default (printf "%s-trackers" (include "ttsrl.fullname" .)) }}
{{- end }}

{{- define "ttsrl.modelsClaim" -}}
{{ .Values.models.existingClaim | default (printf "%s-models" (include "ttsrl.fullname" .)) }}
{{- end }}

{{/* Labels and metadata: (dict "root" . "component" "reward" "labels" ... "annotations" ...); what
     belongs to the whole release has no component. Labels of the user never replace ours. */}}

{{- define "ttsrl.selectorLabels" -}}
app.kubernetes.io/name: ttsrl
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{- define "ttsrl.labels" -}}
{{- $ours := include "ttsrl.selectorLabels" . | fromYaml -}}
{{- $_ := set $ours "app.kubernetes.io/part-of" "ttsrl" -}}
{{- $_ := set $ours "app.kubernetes.io/version" .root.Chart.AppVersion -}}
{{- $_ := set $ours "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ := set $ours "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") -}}
{{ toYaml (merge $ours (.labels | default dict) .root.Values.commonLabels) }}
{{- end }}

{{- define "ttsrl.metadata" -}}
name: {{ .name | quote }}
namespace: {{ .namespace | default .root.Release.Namespace | quote }}
labels:
  {{- include "ttsrl.labels" . | nindent 2 }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The run as every pod reads it: what the values say, completed with what the release knows */}}
{{- define "ttsrl.run" -}}
{{- $url := printf "http://%s-reward.%s:3000" (include "ttsrl.fullname" .) .Release.Namespace -}}
{{- $derived := dict "name" .Release.Name "reward" (dict "url" $url "token_file" "/var/run/ttsrl/token/token") "train" (dict "metrics_port" 9400) -}}
{{- if gt (int .Values.reward.gpu.count) 1 -}}
{{- $_ := set $derived.reward "workers" (int .Values.reward.gpu.count) -}}
{{- end -}}
{{- $run := mergeOverwrite $derived (deepCopy .Values.run) -}}
{{- if .Values.texts -}}
{{- $_ := set $run.data "texts" "/etc/ttsrl/texts.jsonl" -}}
{{- end -}}
{{ toPrettyJson $run }}
{{- end }}

{{/* What pods mount of the run, as the data of a ConfigMap */}}
{{- define "ttsrl.runFiles" -}}
run.json: |
  {{- include "ttsrl.run" . | nindent 2 }}
{{- with .Values.texts }}
texts.jsonl: {{ quote . }}
{{- end }}
{{- end }}

{{/* keda, hpa, or nothing where the API of the one that is asked for is missing */}}
{{- define "ttsrl.autoscaler" -}}
{{- if and .Values.reward.autoscaling.keda.enabled (.Capabilities.APIVersions.Has "keda.sh/v1alpha1") -}}
keda
{{- else if .Values.reward.autoscaling.hpa.enabled -}}
hpa
{{- end -}}
{{- end }}

{{- define "ttsrl.priorityClass" -}}
{{ .Release.Namespace }}.{{ include "ttsrl.fullname" . }}-reward
{{- end }}

{{/* Newest API of Kueue that the cluster has, or nothing */}}
{{- define "ttsrl.kueueApi" -}}
{{- range list "kueue.x-k8s.io/v1beta2" "kueue.x-k8s.io/v1beta1" }}
{{- if $.Capabilities.APIVersions.Has . }}{{ . }}{{ break }}{{ end }}
{{- end }}
{{- end }}

{{/* Certificates of private authorities, in every pod: whether there are any, their mount and their volume */}}
{{- define "ttsrl.hasCertificates" -}}
{{- if or .Values.certificates.configMap .Values.certificates.secret }}true{{ end -}}
{{- end }}

{{- define "ttsrl.certificatesMount" -}}
{{- if include "ttsrl.hasCertificates" . }}
- {name: certificates, mountPath: /etc/ttsrl-certificates, readOnly: true}
{{- end }}
{{- end }}

{{- define "ttsrl.certificatesVolume" -}}
{{- $items := list (dict "key" .Values.certificates.key "path" "ca.crt") -}}
{{- with .Values.certificates.configMap }}
- name: certificates
  configMap: {name: {{ . | quote }}, items: {{ toJson $items }}}
{{- end }}
{{- with .Values.certificates.secret }}
- name: certificates
  secret: {secretName: {{ . | quote }}, items: {{ toJson $items }}}
{{- end }}
{{- end }}
