{{/* Labels of a job and of its pods: (dict "root" . "run" name "component" "train" "settings" ...).
     They have no chart's version: a job stays the same object over upgrades of the chart. */}}
{{- define "ttsrl.jobLabels" -}}
{{- $ours := include "ttsrl.selectorLabels" . | fromYaml -}}
{{- $_ := set $ours "app.kubernetes.io/part-of" "ttsrl" -}}
{{- $_ := set $ours "app.kubernetes.io/version" .root.Chart.AppVersion -}}
{{- $_ := set $ours "ttsrl.dev/run" .run -}}
{{ toYaml (merge $ours ((.settings | default dict).podLabels | default dict) .root.Values.commonLabels) }}
{{- end }}

{{/* Name of a training job, and of what it refers to */}}
{{- define "ttsrl.trainName" -}}
{{ .train | default (printf "%s-train" .job) }}
{{- end }}

{{/* Metadata of a job, which lies in whichever namespace it is created in, as long as its release. */}}
{{- define "ttsrl.jobMetadata" -}}
{{- $labels := include "ttsrl.jobLabels" (omit . "settings") | fromYaml -}}
{{- with .root.Values.job.queue }}{{ $_ := set $labels "kueue.x-k8s.io/queue-name" . }}{{ end -}}
name: {{ .name | quote }}
labels:
  {{- toYaml $labels | nindent 2 }}
{{- with .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "ttsrl.jobPodMetadata" -}}
labels:
  {{- include "ttsrl.jobLabels" . | nindent 2 }}
{{- $networks := dig "fabric" "networks" "" .settings -}}
{{- $ours := ternary (dict "k8s.v1.cni.cncf.io/networks" $networks) dict (ne $networks "") -}}
{{- with merge $ours .settings.podAnnotations .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Who a pod is and where it runs: (dict "root" . "settings" ... "account" "train" "gpus" 1) */}}
{{- define "ttsrl.jobPod" -}}
{{- $settings := .settings -}}
serviceAccountName: {{ include "ttsrl.serviceAccount" (list .root .account) | quote }}
automountServiceAccountToken: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $settings.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- with $settings.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with $settings.schedulerName }}
schedulerName: {{ . | quote }}
{{- end }}
securityContext:
  {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with $settings.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $affinity := deepCopy ($settings.affinity | default dict) }}
{{- if not $affinity.nodeAffinity }}
{{- $node := dict }}
{{- if and .gpus $settings.gpu.products }}
{{- $product := dict "key" "nvidia.com/gpu.product" "operator" "In" "values" $settings.gpu.products }}
{{- $_ := set $node "requiredDuringSchedulingIgnoredDuringExecution" (dict "nodeSelectorTerms" (list (dict "matchExpressions" (list $product)))) }}
{{- end }}
{{- if and $settings.pool (not (hasKey ($settings.nodeSelector | default dict) "ttsrl.dev/pool")) }}
{{- $pool := dict "key" "ttsrl.dev/pool" "operator" "In" "values" (list $settings.pool) }}
{{- $_ := set $node "preferredDuringSchedulingIgnoredDuringExecution" (list (dict "weight" 100 "preference" (dict "matchExpressions" (list $pool)))) }}
{{- end }}
{{- with $node }}{{ $_ := set $affinity "nodeAffinity" . }}{{ end }}
{{- end }}
{{- with $affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $tolerations := $settings.tolerations | default list }}
{{- if .gpus }}
{{- $taint := printf "%s/gpu" (splitList "/" $settings.gpu.resource | first) }}
{{- $tolerations = prepend $tolerations (dict "key" $taint "operator" "Exists" "effect" "NoSchedule") }}
{{- end }}
{{- with $tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $settings.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .gpus }}
{{- with $settings.resourceClaims }}
resourceClaims:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{/* What every container of a job has: (dict "root" . "settings" ... "image" "train" "gpus" 1
     "mounts" (list "run" "tmp") "trackers" true) */}}
{{- define "ttsrl.jobContainer" -}}
image: {{ include "ttsrl.image" (list .root .image) }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
envFrom:
  - configMapRef: {name: {{ include "ttsrl.fullname" .root }}-env} # caches, endpoint, where credentials lie
  {{- if .trackers }}
  - secretRef: {name: {{ include "ttsrl.trackersSecret" .root | quote }}, optional: {{ empty .root.Values.trackers.existingSecret }}} # keys of the run's trackers
  {{- end }}
  {{- with .settings.extraEnvFrom }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- $env := list -}}
{{- range $name, $value := dig "fabric" "nccl" dict .settings -}}
{{- $env = append $env (dict "name" $name "value" $value) -}}
{{- end -}}
{{- if not (has "models" .mounts) -}}
{{- /* The models' folder, where the others keep what is compiled, is not there: no file may be made. */ -}}
{{- range $name, $folder := dict "TORCHINDUCTOR_CACHE_DIR" "torchinductor" "TRITON_CACHE_DIR" "triton" "VLLM_CACHE_ROOT" "vllm" -}}
{{- $env = append $env (dict "name" $name "value" (printf "/tmp/compiled/%s" $folder)) -}}
{{- end -}}
{{- end -}}
{{- with concat $env (.settings.extraEnv | default list) }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $security := deepCopy .root.Values.containerSecurityContext -}}
{{- if dig "fabric" "lockMemory" false .settings -}}
{{- $capabilities := $security.capabilities | default dict -}}
{{- $_ := set $capabilities "add" (append ($capabilities.add | default list) "IPC_LOCK") -}}
{{- $_ := set $security "capabilities" $capabilities -}}
{{- end }}
securityContext:
  {{- toYaml $security | nindent 2 }}
resources:
  {{- include "ttsrl.jobResources" . | nindent 2 }}
volumeMounts:
  {{- $paths := dict "run" "/etc/ttsrl" "token" "/var/run/ttsrl/token" "s3" "/var/run/ttsrl/s3" "huggingface" "/var/run/ttsrl/huggingface" "models" "/models" "merged" "/merged" "tmp" "/tmp" "shm" "/dev/shm" }}
  {{- range .mounts }}
  - {name: {{ . }}, mountPath: {{ index $paths . }}{{ if has . (list "run" "token" "s3" "huggingface") }}, readOnly: true{{ end }}}
  {{- end }}
  {{- with include "ttsrl.certificatesMount" .root | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with .settings.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* The volumes of those mounts; `config` is the ConfigMap of the run. */}}
{{- define "ttsrl.jobVolumes" -}}
{{- $root := .root -}}
{{- $settings := .settings -}}
{{- $config := .config -}}
{{- range .mounts }}
- name: {{ . }}
  {{- if eq . "run" }}
  configMap: {name: {{ $config | quote }}}
  {{- else if eq . "token" }}
  secret: {secretName: {{ include "ttsrl.tokenSecret" $root | quote }}}
  {{- else if eq . "s3" }}
  secret: {secretName: {{ include "ttsrl.s3Secret" $root | quote }}, optional: {{ empty $root.Values.s3.existingSecret }}} # absent with workload identity
  {{- else if eq . "huggingface" }}
  secret: {secretName: {{ include "ttsrl.huggingfaceSecret" $root | quote }}, optional: {{ empty $root.Values.huggingface.existingSecret }}}
  {{- else if eq . "models" }}
  {{- include "ttsrl.modelsVolume" $root | nindent 2 }}
  {{- else if eq . "shm" }}
  emptyDir: {medium: Memory, sizeLimit: {{ $settings.shm }}}
  {{- else }}
  {{- include "ttsrl.scratchVolume" $settings.scratch | nindent 2 }}
  {{- end }}
{{- end }}
{{- with include "ttsrl.certificatesVolume" $root | trim }}
{{ . }}
{{- end }}
{{- with .settings.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "ttsrl.modelsVolume" -}}
{{- if .Values.models.hostPath -}}
hostPath: {path: {{ .Values.models.hostPath | quote }}, type: DirectoryOrCreate}
{{- else if .Values.models.enabled -}}
persistentVolumeClaim: {claimName: {{ include "ttsrl.modelsClaim" . | quote }}}
{{- else -}}
emptyDir: {}
{{- end -}}
{{- end }}

{{- define "ttsrl.scratchVolume" -}}
{{- if eq .type "claim" -}}
ephemeral:
  volumeClaimTemplate:
    spec:
      accessModes: [ReadWriteOnce]
      {{- with .storageClass }}
      storageClassName: {{ . | quote }}
      {{- end }}
      resources:
        requests: {storage: {{ .size }}}
{{- else if eq .type "hostPath" -}}
hostPath: {path: {{ .path | quote }}, type: DirectoryOrCreate}
{{- else -}}
emptyDir: {sizeLimit: {{ .size }}}
{{- end -}}
{{- end }}
