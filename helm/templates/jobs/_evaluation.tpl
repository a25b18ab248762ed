{{/* Merge, shards, reduce and follow; arguments as those of ttsrl.rayjob. What a Job and a JobSet share
     is ttsrl.mergeSpec, ttsrl.shardsSpec and ttsrl.reduceSpec. */}}

{{/* Metadata of a Job: (merge (dict "name" "eval" "component" "eval") .) */}}
{{- define "ttsrl.evaluationJob" -}}
apiVersion: batch/v1
kind: Job
metadata:
  {{- include "ttsrl.jobMetadata" (merge (dict "name" (printf "%s-%s" .job .name)) .) | nindent 2 }}
{{- end }}

{{- define "ttsrl.mergejob" -}}
{{ include "ttsrl.evaluationJob" (merge (dict "name" "merge" "component" "merge") .) }}
spec:
  ttlSecondsAfterFinished: {{ int .root.Values.merge.ttlSecondsAfterFinished }}
  {{- include "ttsrl.mergeSpec" . | nindent 2 }}
{{- end }}

{{- define "ttsrl.shardsjob" -}}
{{ include "ttsrl.evaluationJob" (merge (dict "name" "eval" "component" "eval") .) }}
spec:
  ttlSecondsAfterFinished: {{ int .root.Values.eval.ttlSecondsAfterFinished }}
  {{- include "ttsrl.shardsSpec" . | nindent 2 }}
{{- end }}

{{- define "ttsrl.reducejob" -}}
{{ include "ttsrl.evaluationJob" (merge (dict "name" "eval-reduce" "component" "eval") .) }}
spec:
  ttlSecondsAfterFinished: {{ int .root.Values.eval.ttlSecondsAfterFinished }}
  {{- include "ttsrl.reduceSpec" . | nindent 2 }}
{{- end }}

{{- define "ttsrl.podFailurePolicy" -}}
podFailurePolicy:
  rules:
    - action: FailJob # bad input, or a guard's stop: a retry cannot fix it
      onExitCodes: {containerName: {{ . }}, operator: In, values: [2, 3]}
    - action: Ignore # a drained or lost node is not a failure of the job
      onPodConditions: [{type: DisruptionTarget, status: "True"}]
{{- end }}

{{- define "ttsrl.mergeSpec" -}}
{{- $values := .root.Values.merge -}}
{{- $settings := include "ttsrl.jobSettings" (list .root "merge") | fromJson -}}
{{- $pod := merge (dict "component" "merge" "account" "jobs" "image" "train" "settings" $settings "gpus" 0 "mounts" (list "run" "s3" "tmp")) . -}}
backoffLimit: {{ int $values.backoffLimit }}
activeDeadlineSeconds: {{ int $values.activeDeadlineSeconds }}
{{ include "ttsrl.podFailurePolicy" "merge" }}
template:
  metadata:
    {{- include "ttsrl.jobPodMetadata" $pod | nindent 4 }}
  spec:
    restartPolicy: Never
    {{- include "ttsrl.jobPod" $pod | nindent 4 }}
    containers:
      - name: merge # by the training image: verl reads its own shards
        command: [ttsrl, job, merge]
        args: [--config, /etc/ttsrl/run.json, --work-dir, /tmp/ttsrl, --wait-s, {{ $values.waitSeconds | int | quote }}]
        {{- include "ttsrl.jobContainer" $pod | nindent 8 }}
    volumes:
      {{- include "ttsrl.jobVolumes" $pod | trim | nindent 6 }}
{{- end }}

{{- define "ttsrl.shardsSpec" -}}
{{- $values := .root.Values.eval -}}
{{- $settings := include "ttsrl.jobSettings" (list .root "eval") | fromJson -}}
{{- $gpus := include "ttsrl.gpus" (list .root "eval") | int -}}
{{- $pod := merge (dict "component" "eval" "account" "jobs" "image" "eval" "settings" $settings "gpus" $gpus "mounts" (list "run" "s3" "huggingface" "models" "tmp" "shm")) . -}}
completionMode: Indexed
completions: {{ int $values.shards }}
parallelism: {{ int $values.shards }}
backoffLimitPerIndex: {{ int $values.backoffLimit }}
maxFailedIndexes: 0
activeDeadlineSeconds: {{ int $values.activeDeadlineSeconds }}
{{ include "ttsrl.podFailurePolicy" "eval" }}
template:
  metadata:
    {{- include "ttsrl.jobPodMetadata" $pod | nindent 4 }}
  spec:
    restartPolicy: Never
    {{- include "ttsrl.jobPod" $pod | nindent 4 }}
    containers:
      - name: eval
        command: [ttsrl, job, eval-shard] # which shard: JOB_COMPLETION_INDEX
        args: [--config, /etc/ttsrl/run.json, --work-dir, /tmp/ttsrl, --of, {{ $values.shards | int | quote }}, --wait-s, {{ $values.waitSeconds | int | quote }}]
        {{- include "ttsrl.jobContainer" $pod | nindent 8 }}
    volumes:
      {{- include "ttsrl.jobVolumes" $pod | trim | nindent 6 }}
{{- end }}

{{- define "ttsrl.reduceSpec" -}}
{{- $values := .root.Values.eval -}}
{{- $settings := include "ttsrl.jobSettings" (list .root "eval" "reduce") | fromJson -}}
{{- $pod := merge (dict "component" "eval" "account" "jobs" "image" "eval" "settings" $settings "gpus" 0 "trackers" true "mounts" (list "run" "s3" "tmp")) . -}}
backoffLimit: {{ int $values.backoffLimit }}
activeDeadlineSeconds: {{ int $values.activeDeadlineSeconds }}
{{ include "ttsrl.podFailurePolicy" "reduce" }}
template:
  metadata:
    {{- include "ttsrl.jobPodMetadata" $pod | nindent 4 }}
  spec:
    restartPolicy: Never
    {{- include "ttsrl.jobPod" $pod | nindent 4 }}
    containers:
      - name: reduce
        command: [ttsrl, job, eval-reduce]
        args: [--config, /etc/ttsrl/run.json, --work-dir, /tmp/ttsrl, --of, {{ $values.shards | int | quote }}, --wait-s, {{ $values.reduceWaitSeconds | int | quote }}]
        {{- include "ttsrl.jobContainer" $pod | nindent 8 }}
    volumes:
      {{- include "ttsrl.jobVolumes" $pod | trim | nindent 6 }}
{{- end }}

{{- define "ttsrl.followjob" -}}
{{ include "ttsrl.evaluationJob" (merge (dict "name" "follow" "component" "follow") .) }}
spec:
  ttlSecondsAfterFinished: {{ int .root.Values.follow.ttlSecondsAfterFinished }}
  {{- include "ttsrl.followSpec" . | nindent 2 }}
{{- end }}

{{- define "ttsrl.followSpec" -}}
{{- $values := .root.Values.follow -}}
{{- $settings := include "ttsrl.jobSettings" (list .root "follow") | fromJson -}}
{{- $gpus := include "ttsrl.gpus" (list .root "follow") | int -}}
{{- $pod := merge (dict "component" "follow" "account" "jobs" "image" "eval" "settings" $settings "gpus" $gpus "mounts" (list "run" "s3" "huggingface" "models" "merged" "tmp" "shm")) . -}}
{{- $beside := merge (dict "image" "train" "resources" $values.merge.resources "mounts" (list "run" "s3" "merged" "tmp")) (omit $pod "gpus") -}}
backoffLimit: {{ int $values.backoffLimit }}
activeDeadlineSeconds: {{ int $values.activeDeadlineSeconds }} # longer than training's
{{ include "ttsrl.podFailurePolicy" "follow" }}
template:
  metadata:
    {{- include "ttsrl.jobPodMetadata" $pod | nindent 4 }}
  spec:
    restartPolicy: Never
    {{- include "ttsrl.jobPod" $pod | nindent 4 }}
    initContainers:
      - name: merge # beside the container below, for as long as that runs; verl reads its own shards
        restartPolicy: Always
        command: [ttsrl, job, merge-wanted]
        args: [--config, /etc/ttsrl/run.json, --merged, /merged]
        {{- include "ttsrl.jobContainer" $beside | nindent 8 }}
    containers:
      - name: follow
        command: [ttsrl, job, follow]
        args: [--config, /etc/ttsrl/run.json, --work-dir, /tmp/ttsrl, --merged, /merged, --idle-s, {{ $values.idleSeconds | int | quote }}]
        {{- include "ttsrl.jobContainer" $pod | nindent 8 }}
    volumes:
      {{- include "ttsrl.jobVolumes" $pod | trim | nindent 6 }}
{{- end }}

{{- define "ttsrl.jobset" -}}
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  {{- include "ttsrl.jobMetadata" (merge (dict "name" (printf "%s-eval" .job) "component" "eval") .) | nindent 2 }}
spec:
  network: {enableDNSHostnames: false}
  failurePolicy: {maxRestarts: 0} # a failed pod is retried by its job
  ttlSecondsAfterFinished: {{ int .root.Values.eval.ttlSecondsAfterFinished }}
  replicatedJobs:
    - name: merge
      template:
        metadata:
          labels:
            {{- include "ttsrl.jobLabels" (merge (dict "component" "merge") .) | nindent 12 }}
        spec:
          {{- include "ttsrl.mergeSpec" . | nindent 10 }}
    - name: shards
      dependsOn: [{name: merge, status: Complete}]
      template:
        metadata:
          labels:
            {{- include "ttsrl.jobLabels" (merge (dict "component" "eval") .) | nindent 12 }}
        spec:
          {{- include "ttsrl.shardsSpec" . | nindent 10 }}
    - name: reduce
      dependsOn: [{name: shards, status: Complete}]
      template:
        metadata:
          labels:
            {{- include "ttsrl.jobLabels" (merge (dict "component" "eval") .) | nindent 12 }}
        spec:
          {{- include "ttsrl.reduceSpec" . | nindent 10 }}
{{- end }}
