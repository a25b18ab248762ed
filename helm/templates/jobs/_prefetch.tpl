{{/* The Job that fills the cache of models, and the container of the reward service that waits for it. */}}
{{- define "ttsrl.prefetchSpec" -}}
{{- $values := .Values.prefetch -}}
{{- $run := include "ttsrl.run" . | fromJson -}}
{{- $settings := include "ttsrl.jobSettings" (list . "prefetch") | fromJson -}}
{{- if eq $values.from "hub" -}}
{{- $_ := set $settings "extraEnv" (prepend ($settings.extraEnv | default list) (dict "name" "HF_HUB_OFFLINE" "value" "0")) -}}
{{- end -}}
{{- $pod := dict "root" . "run" $run.name "config" (printf "%s-run" (include "ttsrl.fullname" .)) "component" "prefetch" "account" "jobs" "image" "eval" "settings" $settings "gpus" 0 "mounts" (list "run" "s3" "huggingface" "models" "tmp") -}}
backoffLimit: {{ int $values.backoffLimit }}
activeDeadlineSeconds: {{ int $values.activeDeadlineSeconds }}
{{ include "ttsrl.podFailurePolicy" "prefetch" }}
template:
  metadata:
    {{- include "ttsrl.jobPodMetadata" $pod | nindent 4 }}
  spec:
    restartPolicy: Never
    {{- include "ttsrl.jobPod" $pod | nindent 4 }}
    containers:
      - name: prefetch
        command: [ttsrl, job, prefetch]
        args: [--config, /etc/ttsrl/run.json, --from, {{ $values.from | quote }}]
        {{- include "ttsrl.jobContainer" $pod | nindent 8 }}
    volumes:
      {{- include "ttsrl.jobVolumes" $pod | trim | nindent 6 }}
{{- end }}

{{- define "ttsrl.awaitModels" -}}
- name: await-models
  image: {{ include "ttsrl.image" (list . "reward") }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [ttsrl, job, await-models, --config, /etc/ttsrl/run.json, --wait-s, {{ .Values.prefetch.activeDeadlineSeconds | int | quote }}]
  envFrom:
    - configMapRef:
        name: {{ include "ttsrl.fullname" . }}-env
  resources:
    requests: {cpu: 10m, memory: 256Mi, ephemeral-storage: 10Mi}
    limits: {memory: 1Gi}
  securityContext:
    {{- toYaml .Values.containerSecurityContext | nindent 4 }}
  volumeMounts:
    - {name: run, mountPath: /etc/ttsrl, readOnly: true}
    - {name: models, mountPath: /models}
    - {name: tmp, mountPath: /tmp}
    {{- with include "ttsrl.certificatesMount" . | trim }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with .Values.reward.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
