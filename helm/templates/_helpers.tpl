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

{{- define "ttsrl.modelsClaim" -}}
{{ .Values.models.existingClaim | default (printf "%s-models" (include "ttsrl.fullname" .)) }}
{{- end }}

{{/* Labels: (list . "reward"), or (list . "") of what belongs to the whole release */}}

{{- define "ttsrl.labels" -}}
{{- $root := index . 0 -}}
{{ include "ttsrl.selectorLabels" . }}
app.kubernetes.io/part-of: ttsrl
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "ttsrl.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: ttsrl
app.kubernetes.io/instance: {{ $root.Release.Name }}
{{- with index . 1 }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{/* Metadata of an object: (list . name component) or (list . name component annotations) */}}
{{- define "ttsrl.metadata" -}}
{{- $root := index . 0 -}}
{{- $annotations := dict -}}
{{- if gt (len .) 3 }}{{ $annotations = index . 3 }}{{ end -}}
name: {{ index . 1 }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "ttsrl.labels" (list $root (index . 2)) | nindent 2 }}
{{- with merge (dict) $annotations $root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "ttsrl.rewardImage" -}}
{{- $image := .Values.reward.image -}}
{{- with .Values.image.registry }}{{ . }}/{{ end -}}
{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{/* The run as every pod reads it: what the values say, completed with what the release knows */}}
{{- define "ttsrl.run" -}}
{{- $url := printf "http://%s-reward.%s:3000" (include "ttsrl.fullname" .) .Release.Namespace -}}
{{- $derived := dict "name" .Release.Name "reward" (dict "url" $url "token_file" "/var/run/ttsrl/token/token") -}}
{{- $run := mergeOverwrite $derived (deepCopy .Values.run) -}}
{{- if .Values.texts -}}
{{- $_ := set $run.data "texts" "/etc/ttsrl/texts.jsonl" -}}
{{- end -}}
{{ toPrettyJson $run }}
{{- end }}

{{/* keda, hpa, or nothing where the API of the one that is asked for is missing */}}
{{- define "ttsrl.autoscaler" -}}
{{- if and .Values.reward.autoscaling.keda.enabled (.Capabilities.APIVersions.Has "keda.sh/v1alpha1") -}}
keda
{{- else if .Values.reward.autoscaling.hpa.enabled -}}
hpa
{{- end -}}
{{- end }}
