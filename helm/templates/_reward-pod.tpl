{{/* What the reward service reads when it starts: with another, replicas are replaced. Of the run it
     reads neither how texts are sampled, trained on and evaluated, nor where that is published. */}}
{{- define "ttsrl.rewardReads" -}}
{{- $run := include "ttsrl.run" . | fromJson -}}
{{- $read := omit $run "name" "seed" "model" "rollout" "train" "eval" "trackers" "storage" "verl" -}}
{{- $_ := set $read "data" (pick $run.data "language") -}}
{{- $_ := set $read "guards" (pick ($run.guards | default dict) "prosody_share") -}}
{{ toJson $read }}
{{ include "ttsrl.environment" . }}
{{- end }}

{{/* Seconds until an upgrade counts as failed: not before the slowest start that the probe allows */}}
{{- define "ttsrl.startBudget" -}}
{{- $probe := .Values.reward.probes.startup -}}
{{ add ($probe.initialDelaySeconds | default 0) (mul $probe.periodSeconds $probe.failureThreshold) .Values.reward.minReadySeconds }}
{{- end }}

{{- define "ttsrl.progressDeadline" -}}
{{- $models := ternary (int .Values.prefetch.activeDeadlineSeconds) 0 .Values.prefetch.enabled -}}
{{- .Values.reward.progressDeadlineSeconds | default (add (include "ttsrl.startBudget" . | int) $models 900) -}}
{{- end }}

{{- define "ttsrl.rewardPod" -}}
serviceAccountName: {{ include "ttsrl.serviceAccount" (list . "reward") | quote }}
automountServiceAccountToken: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.reward.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- include "ttsrl.rewardPlacement" . }}
# The scores under way are finished before the pod ends.
terminationGracePeriodSeconds: {{ addf .Values.reward.preStopSeconds .Values.run.reward.sample_deadline_s | ceil | int }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- if or .Values.prefetch.enabled .Values.reward.initContainers }}
initContainers:
  {{- if .Values.prefetch.enabled }}
  {{- include "ttsrl.awaitModels" . | nindent 2 }}
  {{- end }}
  {{- with .Values.reward.initContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
containers:
  - name: reward
    image: {{ include "ttsrl.image" (list . "reward") }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    command: [ttsrl, serve, --config, /etc/ttsrl/run.json, --host, "::", --port, "3000"]
    envFrom:
      - configMapRef:
          name: {{ include "ttsrl.fullname" . }}-env
      {{- with .Values.reward.extraEnvFrom }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- with .Values.reward.extraEnv }}
    env:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    ports:
      - name: http
        containerPort: 3000
    startupProbe:
      httpGet: {path: /readyz, port: http}
      {{- toYaml .Values.reward.probes.startup | nindent 6 }}
    readinessProbe:
      httpGet: {path: /readyz, port: http}
      {{- toYaml .Values.reward.probes.readiness | nindent 6 }}
    livenessProbe:
      httpGet: {path: /livez, port: http}
      {{- toYaml .Values.reward.probes.liveness | nindent 6 }}
    lifecycle:
      preStop:
        exec:
          command: [sleep, {{ .Values.reward.preStopSeconds | quote }}]
    resources:
      {{- include "ttsrl.rewardResources" . | nindent 6 }}
    securityContext:
      {{- toYaml .Values.containerSecurityContext | nindent 6 }}
    volumeMounts:
      - {name: run, mountPath: /etc/ttsrl, readOnly: true}
      - {name: token, mountPath: /var/run/ttsrl/token, readOnly: true}
      - {name: huggingface, mountPath: /var/run/ttsrl/huggingface, readOnly: true}
      - {name: models, mountPath: /models}
      - {name: tmp, mountPath: /tmp}
      {{- with include "ttsrl.certificatesMount" . | trim }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- with .Values.reward.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
volumes:
  - name: run
    configMap:
      name: {{ include "ttsrl.fullname" . }}-run
  - name: token
    secret:
      secretName: {{ include "ttsrl.tokenSecret" . | quote }}
  - name: huggingface
    secret:
      secretName: {{ include "ttsrl.huggingfaceSecret" . | quote }}
      optional: true
  - name: models
    {{- include "ttsrl.modelsVolume" . | nindent 4 }}
  - name: tmp
    emptyDir: {}
  {{- with include "ttsrl.certificatesVolume" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with .Values.reward.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* Nodes: the pool, the GPU's product, and replicas apart from each other */}}
{{- define "ttsrl.rewardPlacement" -}}
{{- $gpu := .Values.reward.gpu }}
{{- with .Values.reward.priorityClassName | default (ternary (include "ttsrl.priorityClass" .) "" .Values.priorityClass.create) }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .Values.reward.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $affinity := deepCopy .Values.reward.affinity }}
{{- with $gpu.products }}
{{- $product := dict "key" "nvidia.com/gpu.product" "operator" "In" "values" . }}
{{- $terms := list (dict "matchExpressions" (list $product)) }}
{{- $required := dict "requiredDuringSchedulingIgnoredDuringExecution" (dict "nodeSelectorTerms" $terms) }}
{{- $_ := set $affinity "nodeAffinity" $required }}
{{- end }}
{{- $selector := include "ttsrl.selectorLabels" (dict "root" . "component" "reward") | fromYaml }}
{{- $spread := .Values.reward.topologySpreadConstraints }}
{{- if not (or $spread (hasKey $affinity "podAntiAffinity")) }}
{{- /* Zones not by a spread: a node without their label would void the one over nodes too. */}}
{{- $term := dict "topologyKey" "topology.kubernetes.io/zone" "labelSelector" (dict "matchLabels" $selector) }}
{{- $preferred := list (dict "weight" 50 "podAffinityTerm" $term) }}
{{- $_ := set $affinity "podAntiAffinity" (dict "preferredDuringSchedulingIgnoredDuringExecution" $preferred) }}
{{- end }}
{{- with $affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if or $gpu.count .Values.reward.tolerations }}
tolerations:
  {{- if $gpu.count }}
  - key: {{ splitList "/" $gpu.resource | first }}/gpu
    operator: Exists
    effect: NoSchedule
  {{- end }}
  {{- with .Values.reward.tolerations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- if $gpu.count }}
{{- with .Values.reward.resourceClaims }}
resourceClaims:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
topologySpreadConstraints:
{{- with $spread }}
  {{- toYaml . | nindent 2 }}
{{- else }}
  - topologyKey: kubernetes.io/hostname
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- toYaml $selector | nindent 8 }}
{{- end }}
{{- end }}

{{/* Requests and limits; GPUs are a resource, or claims of devices */}}
{{- define "ttsrl.rewardResources" -}}
{{- $resources := deepCopy .Values.reward.resources -}}
{{- if and .Values.reward.gpu.count .Values.reward.resourceClaims -}}
{{- $claims := list -}}
{{- range .Values.reward.resourceClaims -}}{{- $claims = append $claims (dict "name" .name) -}}{{- end -}}
{{- $_ := set $resources "claims" $claims -}}
{{- else if .Values.reward.gpu.count -}}
{{- $gpu := dict .Values.reward.gpu.resource (int .Values.reward.gpu.count) -}}
{{- $_ := set $resources "limits" (merge $gpu ($resources.limits | default dict)) -}}
{{- end -}}
{{ toYaml $resources }}
{{- end }}
