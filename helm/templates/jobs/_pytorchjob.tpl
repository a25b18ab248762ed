{{/* Training by Kubeflow's training operator: arguments as those of ttsrl.rayjob */}}
{{- define "ttsrl.pytorchjob" -}}
{{- $root := .root -}}
{{- $nodes := int $root.Values.run.train.nodes -}}
{{- $train := include "ttsrl.jobSettings" (list $root "train") | fromJson -}}
{{- $base := dict "root" $root "run" .run "config" .config "component" "train" "settings" $train -}}
{{- $_ := set $base "gpus" (include "ttsrl.gpus" (list $root "train") | int) -}}
apiVersion: kubeflow.org/v1
kind: PyTorchJob
metadata:
  {{- include "ttsrl.jobMetadata" (merge (dict "name" (include "ttsrl.trainName" .)) $base) | nindent 2 }}
spec:
  runPolicy:
    activeDeadlineSeconds: {{ int $root.Values.train.activeDeadlineSeconds }} # also ends a job whose pods are refused
    cleanPodPolicy: Running # what has ended stays, for its logs
  pytorchReplicaSpecs:
    Master: # the first node; more are Workers with the same template
      replicas: 1
      restartPolicy: ExitCode # 1 to 127 end the job; the operator counts no restarts: --max-starts
      template:
        {{- include "ttsrl.pytorchPod" $base | nindent 8 }}
    {{- if gt $nodes 1 }}
    Worker:
      replicas: {{ sub $nodes 1 }}
      restartPolicy: ExitCode # 1 to 127 end the job; the operator counts no restarts: --max-starts
      template:
        {{- include "ttsrl.pytorchPod" $base | nindent 8 }}
    {{- end }}
{{- end }}

{{- define "ttsrl.pytorchPod" -}}
{{- $mounts := list "run" "token" "s3" "huggingface" "models" "tmp" "shm" -}}
{{- $pod := merge (dict "account" "train" "image" "train" "mounts" $mounts "trackers" true) . -}}
{{- $_ := set $pod "resources" (include "ttsrl.pytorchResources" .root | fromJson) -}}
metadata:
  {{- include "ttsrl.jobPodMetadata" $pod | nindent 2 }}
spec:
  {{- if .container }}
  restartPolicy: Never
  {{- end }}
  terminationGracePeriodSeconds: {{ int .root.Values.train.terminationGracePeriodSeconds }}
  {{- include "ttsrl.jobPod" $pod | nindent 2 }}
  containers:
    - name: {{ .container | default "pytorch" }} # the operator wants this name
      command: [ttsrl, job, pytorchjob]
      args: [--config, /etc/ttsrl/run.json, --work-dir, /tmp/ttsrl, --max-starts, {{ .root.Values.train.backoffLimit | int | add1 | quote }}, --run, {{ .run | quote }}]
      ports:
        - {name: metrics, containerPort: 9400}
      {{- include "ttsrl.jobContainer" $pod | nindent 6 }}
  volumes:
    {{- include "ttsrl.jobVolumes" $pod | trim | nindent 4 }}
{{- end }}

{{/* One pod is a Ray head and a worker together: train.pytorchjob.resources, else those of a worker */}}
{{- define "ttsrl.pytorchResources" -}}
{{ toJson (merge (deepCopy .Values.train.pytorchjob.resources) (deepCopy .Values.train.resources)) }}
{{- end }}
