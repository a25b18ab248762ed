{{/* Training by Kubeflow Trainer 2: a runtime for each run, and the job that uses it; arguments as those of
     ttsrl.rayjob. Pods are those of the PyTorchJob: a JobSet makes all of them anew when one fails. */}}
{{- define "ttsrl.trainjob" -}}
{{- $base := dict "root" .root "run" .run "component" "train" -}}
apiVersion: trainer.kubeflow.org/v1alpha1
kind: TrainJob
metadata:
  {{- include "ttsrl.jobMetadata" (merge (dict "name" (include "ttsrl.trainName" .)) $base) | nindent 2 }}
spec:
  runtimeRef: {apiGroup: trainer.kubeflow.org, kind: TrainingRuntime, name: {{ include "ttsrl.trainName" . }}}
{{- end }}

{{- define "ttsrl.trainingruntime" -}}
{{- $root := .root -}}
{{- $name := include "ttsrl.trainName" . -}}
{{- $nodes := int $root.Values.run.train.nodes -}}
{{- $train := include "ttsrl.jobSettings" (list $root "train") | fromJson -}}
{{- $meeting := list
  (dict "name" "RANK" "valueFrom" (dict "fieldRef" (dict "fieldPath" "metadata.annotations['batch.kubernetes.io/job-completion-index']")))
  (dict "name" "WORLD_SIZE" "value" ($nodes | toString))
  (dict "name" "MASTER_ADDR" "value" (printf "%s-node-0-0.%s" $name $name))
  (dict "name" "MASTER_PORT" "value" "23456") -}}
{{- $_ := set $train "extraEnv" (concat $meeting ($train.extraEnv | default list)) -}}
{{- $base := dict "root" $root "run" .run "config" .config "component" "train" "settings" $train -}}
{{- $_ := set $base "gpus" (include "ttsrl.gpus" (list $root "train") | int) -}}
apiVersion: trainer.kubeflow.org/v1alpha1
kind: TrainingRuntime
metadata:
  {{- include "ttsrl.jobMetadata" (merge (dict "name" (include "ttsrl.trainName" .)) (omit $base "settings")) | nindent 2 }}
spec:
  mlPolicy:
    numNodes: {{ $nodes }}
  {{- if eq ($train.schedulerName | default "") "volcano" }}
  podGroupPolicy: {volcano: {}} # the pods of all machines start together or wait
  {{- end }}
  template:
    spec:
      failurePolicy:
        maxRestarts: {{ sub (int $root.Values.train.maxAttempts) 1 }}
        rules: # what another start cannot do better, and what takes too long
          - {name: ends, action: FailJobSet, onJobFailureReasons: [PodFailurePolicy, DeadlineExceeded]}
      replicatedJobs:
        - name: node
          template:
            metadata:
              labels:
                trainer.kubeflow.org/trainjob-ancestor-step: trainer
            spec:
              backoffLimit: 0 # the end of one pod is the end of all: the JobSet starts them anew
              activeDeadlineSeconds: {{ int $root.Values.train.activeDeadlineSeconds }} # for each attempt
              podFailurePolicy:
                rules:
                  - action: FailJob # bad input, a guard's stop, --max-starts: a retry cannot fix it
                    onExitCodes: {containerName: node, operator: In, values: [1, 2, 3, 126, 127]}
              template:
                {{- include "ttsrl.pytorchPod" (merge (dict "container" "node") $base) | nindent 16 }}
{{- end }}
