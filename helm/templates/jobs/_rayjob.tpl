{{/* Training by KubeRay: (dict "root" . "job" prefix of names "run" name "config" ConfigMap), and "train"
     where the job is not to be called JOB-train */}}
{{- define "ttsrl.rayjob" -}}
{{- $root := .root -}}
{{- $train := include "ttsrl.jobSettings" (list $root "train") | fromJson -}}
{{- $head := include "ttsrl.jobSettings" (list $root "train" "head") | fromJson -}}
{{- $gpus := include "ttsrl.gpus" (list $root "train") | int -}}
{{- $grace := max 1 (sub (int $root.Values.train.terminationGracePeriodSeconds) 5) -}}
{{- $mounts := list "run" "token" "s3" "huggingface" "models" "tmp" "shm" -}}
{{- $base := dict "root" $root "run" .run "config" .config "component" "train" "account" "train" "image" "train" -}}
{{- $ofHead := merge (dict "settings" $head "gpus" 0 "mounts" $mounts) $base -}}
{{- $ofWorker := merge (dict "settings" $train "gpus" $gpus "mounts" $mounts) $base -}}
{{- $small := merge (dict "scratch" (dict "type" "emptyDir" "size" "1Gi")) $head -}}
{{- $ofSubmitter := merge (dict "settings" $small "gpus" 0 "mounts" (list "tmp") "resources" $root.Values.train.submitter.resources) $base -}}
apiVersion: ray.io/v1
kind: RayJob
metadata:
  {{- include "ttsrl.jobMetadata" (merge (dict "name" (include "ttsrl.trainName" .)) $base) | nindent 2 }}
spec:
  entrypoint: ttsrl job train --config /etc/ttsrl/run.json --work-dir /tmp/ttsrl --max-starts {{ $root.Values.train.backoffLimit | int | add1 }} --run {{ .run }}
  # A submitter that never retries, and a job that does: the loss of the head, of a worker or of the
  # driver is one failed attempt, and the next one begins with a new Ray cluster. Other modes submit
  # again without counting, or stay in a state that never ends.
  submissionMode: K8sJobMode
  submitterConfig:
    backoffLimit: 0
  backoffLimit: {{ sub (int $root.Values.train.maxAttempts) 1 }} # of all attempts; --max-starts counts those that get nowhere
  activeDeadlineSeconds: {{ int $root.Values.train.activeDeadlineSeconds }} # for each attempt
  {{- with $root.Values.train.preRunningDeadlineSeconds }}
  preRunningDeadlineSeconds: {{ int . }} # until all pods run: else what is there is given back
  {{- end }}
  shutdownAfterJobFinishes: true
  ttlSecondsAfterFinished: {{ int $root.Values.train.ttlSecondsAfterFinished }} # the pods stay that long, with their GPUs
  submitterPodTemplate:
    metadata:
      {{- include "ttsrl.jobPodMetadata" $ofSubmitter | nindent 6 }}
    spec:
      restartPolicy: Never
      {{- include "ttsrl.jobPod" $ofSubmitter | nindent 6 }}
      containers:
        - name: submitter
          {{- include "ttsrl.jobContainer" $ofSubmitter | nindent 10 }}
      volumes:
        {{- include "ttsrl.jobVolumes" $ofSubmitter | trim | nindent 8 }}
  rayClusterSpec:
    rayVersion: {{ $root.Values.train.ray.version }} # that of the image: it decides how pods are probed
    {{- if $root.Values.train.ray.auth }}
    authOptions: {mode: token} # Ray runs what it is sent: only from who has KubeRay's token
    {{- end }}
    headGroupSpec:
      rayStartParams:
        num-cpus: "0" # Ray's own processes and the supervisor live here, nothing of verl
        object-store-memory: {{ $root.Values.train.head.objectStoreBytes | int64 | quote }}
      template:
        metadata:
          {{- include "ttsrl.jobPodMetadata" $ofHead | nindent 10 }}
        spec:
          terminationGracePeriodSeconds: {{ int $root.Values.train.terminationGracePeriodSeconds }}
          {{- include "ttsrl.jobPod" $ofHead | nindent 10 }}
          containers:
            - name: ray-head
              lifecycle: # training saves a checkpoint before the pod goes
                preStop: {exec: {command: [ttsrl, job, leave, --work-dir, /tmp/ttsrl, --grace-s, {{ $grace | quote }}]}}
              ports: # KubeRay names Ray's own only where none is named, and finds the dashboard by it
                - {name: gcs-server, containerPort: 6379}
                - {name: dashboard, containerPort: 8265}
                - {name: client, containerPort: 10001}
                - {name: metrics, containerPort: 9400}
              {{- include "ttsrl.jobContainer" (merge (dict "trackers" true) $ofHead) | nindent 14 }}
          volumes:
            {{- include "ttsrl.jobVolumes" $ofHead | trim | nindent 12 }}
    workerGroupSpecs:
      - groupName: gpu
        # All nodes of the run (train.nodes), fixed: training starts with all of them or not at all.
        replicas: {{ int $root.Values.run.train.nodes }}
        minReplicas: {{ int $root.Values.run.train.nodes }}
        maxReplicas: {{ int $root.Values.run.train.nodes }}
        scaleStrategy: {} # KubeRay writes it where it is missing
        rayStartParams:
          num-cpus: {{ $root.Values.train.ray.slots | int | quote }} # slots for actors, no cores
          num-gpus: {{ $root.Values.run.train.gpus_per_node | int | quote }} # train.gpus_per_node; on CPUs verl counts processes by it
          object-store-memory: {{ $root.Values.train.objectStoreBytes | int64 | quote }}
        template:
          metadata:
            {{- include "ttsrl.jobPodMetadata" $ofWorker | nindent 12 }}
          spec:
            terminationGracePeriodSeconds: {{ int $root.Values.train.terminationGracePeriodSeconds }}
            {{- include "ttsrl.jobPod" $ofWorker | nindent 12 }}
            containers:
              - name: ray-worker
                lifecycle: # as the head's, which it asks
                  preStop: {exec: {command: [ttsrl, job, leave, --worker, --work-dir, /tmp/ttsrl, --grace-s, {{ $grace | quote }}]}}
                ports:
                  - {name: metrics, containerPort: 9400}
                {{- include "ttsrl.jobContainer" $ofWorker | nindent 16 }}
            volumes:
              {{- include "ttsrl.jobVolumes" $ofWorker | trim | nindent 14 }}
{{- end }}
